// A folder with keys and a configuration, and the tokens that they make.
import { execFileSync } from "node:child_process";
import { createHmac, createSign, sign } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { binary } from "./daemon.mjs";

export const SECRET = "a secret of at least thirty-two bytes!";
const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A new folder; `toml` may name it as FOLDER. Without keys in it, one HS256 key "k1" is configured. */
export function keyring(toml = "") {
  const folder = mkdtempSync(path.join(os.tmpdir(), "ringway-it-"));
  const config = path.join(folder, "ringway.toml");
  const ring = {
    folder,
    config,
    /** Writes the configuration anew. */
    configure: (text) => writeFileSync(config, text.replaceAll("FOLDER", folder)),
    /** A secret of another key. */
    secret: (name, text) => writeFileSync(path.join(folder, name), text),
    /** A token as `ringway token` mints it. */
    mint: (...args) => execFileSync(binary, ["token", "--config", config, ...args], { encoding: "utf8" }).trim(),
  };
  ring.secret("secret", SECRET);
  ring.configure(toml.includes("[[auth.keys]]") ? toml : `${toml}\n${HS256}`);
  return ring;
}

export const HS256 = '[[auth.keys]]\nid = "k1"\nalgorithm = "HS256"\nfile = "FOLDER/secret"\n';

/** A key pair by openssl, in files `NAME.pem` and `NAME.pub.pem`. */
export function keyPair(folder, name, ...options) {
  const [secret, open] = [path.join(folder, `${name}.pem`), path.join(folder, `${name}.pub.pem`)];
  execFileSync("openssl", ["genpkey", "-quiet", ...options, "-out", secret], { stdio: ["ignore", "ignore", "pipe"] });
  execFileSync("openssl", ["pkey", "-in", secret, "-pubout", "-out", open]);
  return { secret, open };
}

/** A token made by hand: whatever header, claims and signature one likes. */
export function forge(header, claims, signature) {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${typeof signature === "function" ? signature(signed) : encode(signature ?? "")}`;
}

/** Signatures for `forge`. */
export const signers = {
  HS256: (secret) => (text) => createHmac("sha256", secret).update(text).digest("base64url"),
  RS256: (pem) => (text) => createSign("RSA-SHA256").update(text).sign(pem, "base64url"),
  ES256: (pem) => (text) => createSign("SHA256").update(text).sign({ key: pem, dsaEncoding: "ieee-p1363" }, "base64url"),
  EdDSA: (pem) => (text) => sign(null, Buffer.from(text), pem).toString("base64url"),
};

/** Claims of somebody who may do everything for an hour. */
export const claims = (subject, more = {}) => ({ sub: subject, exp: Math.floor(Date.now() / 1000) + 3600, rw: { join: ["*"], publish: ["*"] }, ...more });
