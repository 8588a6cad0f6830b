// Tokens: good ones in every algorithm, and all the ways to forge one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serve } from "./daemon.mjs";
import { HS256, SECRET, claims, forge, keyPair, keyring, signers } from "./keyring.mjs";

const ring = keyring();
const pairs = {
  RS256: keyPair(ring.folder, "r1", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
  ES256: keyPair(ring.folder, "e1", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
  EdDSA: keyPair(ring.folder, "d1", "-algorithm", "ed25519"),
};
const IDS = { HS256: "k1", RS256: "r1", ES256: "e1", EdDSA: "d1" };
const asymmetric = Object.keys(pairs).map((algorithm) => `[[auth.keys]]\nid = "${IDS[algorithm]}"\nalgorithm = "${algorithm}"\nfile = "FOLDER/${IDS[algorithm]}.pub.pem"\nprivate_file = "FOLDER/${IDS[algorithm]}.pem"\n`);
ring.configure([HS256, ...asymmetric].join("\n"));
const pem = (algorithm, half = "secret") => readFileSync(pairs[algorithm][half], "utf8");
const signer = (algorithm) => signers[algorithm](algorithm === "HS256" ? SECRET : pem(algorithm));
const signed = (algorithm, more = {}, header = {}) => forge({ alg: algorithm, typ: "JWT", kid: IDS[algorithm], ...header }, claims("anna", more), signer(algorithm));

let daemon;
const open = [];
before(async () => { daemon = await serve(["--config", ring.config, "--shards", "2"]); });
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const enter = (token, mode = "websocket only") => connect(versions["4.8"], daemon.url, { ...modes[mode], auth: { token } }, open);
const now = Math.floor(Date.now() / 1000);

describe("good tokens", { timeout: 30_000 }, () => {
  for (const [algorithm, id] of Object.entries(IDS)) {
    for (const mode of Object.keys(modes)) {
      test(`${algorithm}, ${mode}`, async () => {
        for (const token of [signed(algorithm), ring.mint("--key", id, "--subject", "anna", "--join", "*", "--publish", "*")]) {
          const socket = await enter(token, mode);
          assert.equal((await ask(socket, "join", "any")).ok, true);
          const heard = event(socket, "message");
          assert.equal((await ask(socket, "publish", "any", 1)).ok, true);
          assert.equal((await heard)[2].from, "anna");
          socket.disconnect();
        }
      });
    }
  }

  test("without a kid the only key of its algorithm is meant", async () => {
    assert.ok((await enter(signed("ES256", {}, { kid: undefined }))).connected);
  });

  test("a verification beside the shards keeps the order of what comes behind it", async () => {
    const socket = versions["4.8"](daemon.url, { ...modes["websocket only"], forceNew: true, autoConnect: false, auth: { token: signed("RS256") } });
    open.push(socket);
    const answers = Promise.all([1, 2, 3].map((i) => ask(socket, "echo", i)));
    socket.connect();
    assert.deepEqual((await answers).map(({ data }) => data), [1, 2, 3]);
  });
});

const flipped = (token) => token.replace(/\.[^.](?=[^.]*$)/, (text) => (text === ".A" ? ".B" : ".A"));
// Whoever knows a public key could sign with it as if it were a shared secret.
const confused = (algorithm) => forge({ alg: "HS256", kid: IDS[algorithm] }, claims("eve"), signers.HS256(pem(algorithm, "open")));
const header = (more) => forge({ alg: "HS256", kid: "k1", ...more }, claims("eve"), signer("HS256"));

const BAD = [
  ["none at all", undefined, "RW-2101"],
  ["null", null, "RW-2101"],
  ["empty", "", "RW-2102"],
  ["no JWT", "x.y.z", "RW-2102"],
  ["two parts", "x.y", "RW-2102"],
  ["9,000 bytes", "a".repeat(9000), "RW-2102"],
  ["half a megabyte", `${"a".repeat(500_000)}.b.c`, "RW-2102"],
  ["alg: none", forge({ alg: "none" }, claims("eve")), "RW-2102"],
  ["alg: None with a kid", forge({ alg: "None", kid: "k1" }, claims("eve")), "RW-2102"],
  ["alg: none with a signature", forge({ alg: "none", kid: "k1" }, claims("eve"), signer("HS256")), "RW-2102"],
  ["an algorithm that nobody configured", forge({ alg: "HS512", kid: "k1" }, claims("eve"), signer("HS256")), "RW-2104"],
  ["no algorithm", forge({ kid: "k1" }, claims("eve"), signer("HS256")), "RW-2102"],
  ["a list of algorithms", header({ alg: ["HS256"] }), "RW-2102"],
  ["a huge kid", header({ kid: "k".repeat(5000) }), "RW-2102"],
  ["a kid that is a path", header({ kid: "../../dev/null" }), "RW-2103"],
  ["a kid that is a query", header({ kid: "' OR 1=1 --" }), "RW-2103"],
  ["a kid that is a number", header({ kid: 7 }), "RW-2102"],
  ["RFC 7515 4.1.11: an extension that must be understood", header({ crit: ["b64"], b64: false }), "RW-2102"],
  ["a key inside the token", forge({ alg: "HS256", kid: "evil", jwk: { kty: "oct", k: "c2VjcmV0" } }, claims("eve"), signers.HS256("secret")), "RW-2103"],
  ["another secret", forge({ alg: "HS256", kid: "k1" }, claims("eve"), signers.HS256("another secret of thirty-two bytes!!")), "RW-2105"],
  ["no signature", forge({ alg: "HS256", kid: "k1" }, claims("eve")), "RW-2105"],
  ...Object.keys(IDS).map((algorithm) => [`${algorithm} with a signature that was changed`, flipped(signed(algorithm)), "RW-2105"]),
  ...Object.keys(pairs).map((algorithm) => [`${algorithm}'s public key taken for a secret`, confused(algorithm), "RW-2104"]),
  ["RS256 in the name of the ES256 key", forge({ alg: "RS256", kid: "e1" }, claims("eve"), signer("RS256")), "RW-2104"],
  ["another person's claims under a good signature", `${signed("HS256").split(".")[0]}.${signed("HS256", { sub: "root" }).split(".")[1]}.${signed("HS256").split(".")[2]}`, "RW-2105"],
  ["expired", signed("HS256", { exp: now - 10 }), "RW-2106"],
  ["expired in EdDSA", signed("EdDSA", { exp: now - 10 }), "RW-2106"],
  ["not valid yet", signed("HS256", { nbf: now + 100 }), "RW-2107"],
  ["no expiry", signed("HS256", { exp: undefined }), "RW-2108"],
  ["an expiry that is text", signed("HS256", { exp: "tomorrow" }), "RW-2108"],
  ["a negative expiry", signed("HS256", { exp: -1 }), "RW-2108"],
  ["no subject", signed("HS256", { sub: undefined }), "RW-2108"],
  ["an empty subject", signed("HS256", { sub: "" }), "RW-2108"],
  ["a huge subject", signed("HS256", { sub: "x".repeat(257) }), "RW-2108"],
  ["too many patterns", signed("HS256", { rw: { join: Array.from({ length: 65 }, (_, i) => String(i)), publish: [] } }), "RW-2108"],
  ["claims that are no object", forge({ alg: "HS256", kid: "k1" }, [1], signer("HS256")), "RW-2108"],
];

describe("bad tokens", { timeout: 30_000 }, () => {
  for (const [at, [name, token, code]] of BAD.entries()) {
    const mode = Object.keys(modes)[at % 3];
    test(`${name} (${mode})`, async () => {
      await assert.rejects(enter(token, mode), (error) => {
        assert.equal(error.data?.code, code, `${error.message} ${error.data?.code}`);
        return true;
      });
    });
  }

  test("a refresh with a bad token leaves everything as it was", async () => {
    const socket = await enter(signed("HS256"));
    for (const [token, code] of [["x.y.z", "RW-2102"], [flipped(signed("EdDSA")), "RW-2105"], [signed("ES256", { sub: "bert" }), "RW-2108"]]) {
      assert.equal((await ask(socket, "refresh", token)).code, code);
    }
    assert.equal((await ask(socket, "join", "still")).ok, true);
    // A good one of the same subject replaces the rights.
    assert.equal((await ask(socket, "refresh", signed("EdDSA", { rw: { join: [], publish: [] } }))).ok, true);
    assert.equal((await ask(socket, "join", "more")).code, "RW-2109");
  });

  for (const algorithm of ["HS256", "EdDSA"]) {
    test(`a connection ends when its ${algorithm} token expires, whatever its transport`, async () => {
      // Five seconds of leeway are the default.
      const sockets = await Promise.all(Object.keys(modes).map((mode) => enter(signed(algorithm, { exp: Math.floor(Date.now() / 1000) - 3 }), mode)));
      for (const [reason] of await Promise.all(sockets.map((socket) => event(socket, "disconnect")))) assert.match(reason, /^transport (close|error)$/);
    });
  }
});
