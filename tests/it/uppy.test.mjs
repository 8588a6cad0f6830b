// Uppy as npm has it, in headless Chromium: its bundle comes through the daemon's own door, and what it uploads is what arrives.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { serveDev } from "./daemon.mjs";

const BUNDLE = fileURLToPath(new URL("node_modules/uppy/dist", import.meta.url));
const BYTES = 3_000_001;

let daemon, browser, folder, page;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "ringway-uppy-"));
  daemon = await serveDev("--shards", "2", "--files", BUNDLE, "--uploads", folder);
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`${daemon.url}/`);
});
after(async () => {
  await browser?.close();
  await daemon?.stop();
  rmSync(folder, { recursive: true });
});

/** Uploads such a file, in pieces, and does `meanwhile` once the first piece is there; what Uppy says of it. */
const uploadInPage = (meanwhile) => page.evaluate(async ([bytes, meanwhile]) => {
  const { Uppy, Tus } = await import("/files/uppy.min.mjs");
  const uppy = new Uppy().use(Tus, { endpoint: "/uploads/", chunkSize: 500_000, retryDelays: [50, 100, 200, 400] });
  const data = new Uint8Array(bytes).map((_, at) => (at * 31 + (at >> 8)) & 255);
  const id = uppy.addFile({ name: "picture.png", type: "image/png", data: new Blob([data], { type: "image/png" }) });
  const heard = [];
  uppy.on("upload-progress", (file, progress) => {
    heard.push(progress.bytesUploaded);
    if (meanwhile === "pause" && heard.length === 1) {
      uppy.pauseAll();
      setTimeout(() => uppy.resumeAll(), 50);
    }
  });
  const result = await uppy.upload();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return {
    failed: result.failed.map((file) => String(file.error)),
    url: uppy.getFile(id).uploadURL,
    heard,
    sha256: [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  };
}, [BYTES, meanwhile]);

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

for (const meanwhile of ["nothing", "pause"]) {
  test(`a file in pieces, and ${meanwhile} meanwhile`, { timeout: 60_000 }, async () => {
    const { failed, url, heard, sha256: sent } = await uploadInPage(meanwhile);
    assert.deepEqual(failed, []);
    assert.equal(heard.at(-1), BYTES);
    const id = new URL(url, daemon.url).pathname.split("/").at(-1);
    const name = readdirSync(path.join(folder, "whole")).find((name) => name.startsWith(id));
    assert.equal(path.extname(name), ".png");
    assert.equal(sha256(readFileSync(path.join(folder, "whole", name))), sent);
    const answer = await fetch(`${daemon.url}/uploads/files/${name}`);
    assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sent);
  });
}
