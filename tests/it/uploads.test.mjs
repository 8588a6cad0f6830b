// Uploads by tus 1.0.0: the real daemon, tus-js-client as published, and the protocol's own words.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import * as tus from "tus-js-client";
import { event, serveDev, until } from "./daemon.mjs";

let folder, daemon;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "ringway-uploads-"));
  daemon = await serveDev("--uploads", folder, "--shards", "2");
});

after(async () => {
  assert.equal(await daemon.stop(), 0);
  rmSync(folder, { recursive: true });
});

const VERSION = { "tus-resumable": "1.0.0" };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function ask(method, where, headers = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": body.length };
    const request = http.request({ host: "127.0.0.1", port: daemon.port, path: where, method, headers: { ...VERSION, ...length, ...headers } }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    });
    request.on("error", reject).end(body);
  });
}

async function created(length, headers = {}) {
  const answer = await ask("POST", "/uploads/", { "upload-length": String(length), ...headers });
  assert.equal(answer.status, 201, String(answer.body));
  return new URL(answer.headers.location, daemon.url).pathname;
}

const patch = (where, offset, body, headers = {}) =>
  ask("PATCH", where, { "upload-offset": String(offset), "content-type": "application/offset+octet-stream", ...headers }, body);

async function offsetOf(where) {
  const { status, headers } = await ask("HEAD", where);
  assert.equal(status, 200);
  assert.equal(headers["cache-control"], "no-store");
  return Number(headers["upload-offset"]);
}

/** All that is stored under a name, wherever in the folder it is. */
function stored() {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map((entry) => readFileSync(path.join(entry.parentPath, entry.name)));
}
const isStored = (bytes) => stored().some((one) => one.equals(bytes));

test("OPTIONS says what there is", async () => {
  const { status, headers } = await ask("OPTIONS", "/uploads/");
  assert.ok([200, 204].includes(status));
  assert.equal(headers["tus-version"], "1.0.0");
  for (const extension of ["creation", "creation-with-upload", "termination", "checksum", "expiration", "concatenation"]) {
    assert.ok(headers["tus-extension"].split(",").includes(extension), extension);
  }
  assert.ok(headers["tus-checksum-algorithm"].split(",").includes("sha1"));
});

test("an upload in three pieces", async () => {
  const bytes = randomBytes(300_000);
  const where = await created(bytes.length, { "upload-metadata": `filename ${Buffer.from("a.bin").toString("base64")}` });
  assert.equal(await offsetOf(where), 0);
  for (const [from, to] of [[0, 1], [1, 200_000], [200_000, 300_000]]) {
    const answer = await patch(where, from, bytes.subarray(from, to));
    assert.deepEqual([answer.status, answer.headers["upload-offset"]], [204, String(to)]);
  }
  assert.ok(isStored(bytes));
});

test("a wrong offset, type, version or place is refused, and nothing moves", async () => {
  const where = await created(10);
  assert.equal((await patch(where, 5, Buffer.from("hello"))).status, 409);
  assert.equal((await patch(where, 0, Buffer.from("hello"), { "content-type": "text/plain" })).status, 415);
  const old = await patch(where, 0, Buffer.from("hello"), { "tus-resumable": "0.2.2" });
  assert.deepEqual([old.status, old.headers["tus-version"]], [412, "1.0.0"]);
  assert.equal((await patch(`${where}x`, 0, Buffer.from("hello"))).status, 404);
  assert.ok([400, 413].includes((await patch(where, 0, Buffer.alloc(11))).status), "more than was promised");
  assert.equal(await offsetOf(where), 0);
  for (const length of ["-1", "abc", "9223372036854775808", "1.5", ""]) {
    const { status } = await ask("POST", "/uploads/", { "upload-length": length });
    assert.ok([400, 413].includes(status), `${length}: ${status}`);
  }
  assert.equal((await ask("POST", "/uploads/", { "upload-length": "9223372036854775807" })).status, 413);
});

test("checksums", async () => {
  const bytes = randomBytes(1000);
  const digest = (algorithm, what) => `${algorithm} ${createHash(algorithm).update(what).digest("base64")}`;
  const where = await created(2000);
  assert.equal((await patch(where, 0, bytes, { "upload-checksum": digest("sha1", "else") })).status, 460);
  assert.equal(await offsetOf(where), 0);
  assert.equal((await patch(where, 0, bytes, { "upload-checksum": "crc9 AAAA" })).status, 400);
  assert.equal((await patch(where, 0, bytes, { "upload-checksum": digest("sha1", bytes) })).status, 204);
  assert.equal((await patch(where, 1000, bytes, { "upload-checksum": digest("sha256", bytes) })).status, 204);
  assert.ok(isStored(Buffer.concat([bytes, bytes])));
});

test("termination", async () => {
  const where = await created(10);
  await patch(where, 0, Buffer.from("hello"));
  assert.equal((await ask("DELETE", where)).status, 204);
  assert.ok([404, 410].includes((await ask("HEAD", where)).status));
  assert.ok(!isStored(Buffer.from("hello")));
});

test("creation with its first bytes", async () => {
  const answer = await ask("POST", "/uploads/", { "upload-length": "10", "content-type": "application/offset+octet-stream" }, Buffer.from("hello"));
  assert.deepEqual([answer.status, answer.headers["upload-offset"]], [201, "5"]);
  const where = new URL(answer.headers.location, daemon.url).pathname;
  assert.equal((await patch(where, 5, Buffer.from("world"))).status, 204);
  assert.ok(isStored(Buffer.from("helloworld")));
});

test("parts become one", async () => {
  const parts = [randomBytes(70_000), randomBytes(5)];
  const places = [];
  for (const part of parts) {
    const where = await created(part.length, { "upload-concat": "partial" });
    assert.equal((await patch(where, 0, part)).status, 204);
    places.push(where);
  }
  const final = await ask("POST", "/uploads/", { "upload-concat": `final;${places.join(" ")}` });
  assert.equal(final.status, 201, String(final.body));
  const where = new URL(final.headers.location, daemon.url).pathname;
  const { headers } = await ask("HEAD", where);
  assert.equal(headers["upload-length"], "70005");
  assert.equal((await patch(where, 0, Buffer.from("x"))).status, 403);
  await until(() => isStored(Buffer.concat(parts)));
});

test("a second writer waits for nobody: it is refused", async () => {
  const where = await created(1000);
  const first = net.connect(daemon.port, "127.0.0.1");
  first.write(`PATCH ${where} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\nabc`);
  await until(async () => [409, 423].includes((await patch(where, 3, Buffer.from("x"))).status));
  first.destroy();
  await until(async () => (await patch(where, await offsetOf(where), Buffer.from("d"))).status === 204);
});

/** Uploads with the published client; resolves with its URL. */
const uploaded = (bytes, options = {}) => new Promise((resolve, reject) => {
  const upload = new tus.Upload(Readable.from([bytes]), {
    endpoint: `${daemon.url}/uploads/`, uploadSize: bytes.length, chunkSize: 1 << 20, retryDelays: [10, 50, 100, 200, 400, 800],
    metadata: { filename: "file.bin" }, ...options, onError: reject, onSuccess: () => resolve(upload.url),
  });
  upload.start();
});

test("tus-js-client, unmodified", async () => {
  const bytes = randomBytes((5 << 20) + 7);
  await uploaded(bytes);
  assert.ok(isStored(bytes));
  await uploaded(bytes.subarray(0, 3 << 20), { parallelUploads: 1 });
});

test("64 at a time", async () => {
  const all = Array.from({ length: 64 }, () => randomBytes(200_000));
  await Promise.all(all.map((bytes) => uploaded(bytes)));
  const hashes = new Set(stored().map(sha256));
  for (const bytes of all) assert.ok(hashes.has(sha256(bytes)));
});
