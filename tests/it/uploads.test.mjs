// Uploads by tus 1.0.0: the real daemon, tus-js-client as published, and the protocol's own words.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Readable } from "node:stream";
import { event, serveDev, until } from "./daemon.mjs";
import { BYTES, create, isWhole, metadata, offsetOf, patch, request, sha256, upload, whole } from "./tus.mjs";

let folder, daemon;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "ringway-uploads-"));
  daemon = await serveDev("--uploads", folder, "--shards", "2", "--set", "uploads.bytes_max=1073741824", "--set", "uploads.idle_timeout_ms=3000");
});

after(async () => {
  assert.equal(await daemon.stop(), 0, daemon.log());
  rmSync(folder, { recursive: true });
});

const codeOf = (answer) => JSON.parse(answer.body).code;
const head = (method, where, headers) =>
  `${method} ${where} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
const patchHead = (where, offset, more) => head("PATCH", where, { "Upload-Offset": offset, ...BYTES, ...more });

/** A connection that says what it is told to, and keeps what it hears. */
function raw() {
  const socket = net.connect({ port: daemon.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.heard = "";
  socket.on("data", (chunk) => { socket.heard += chunk; });
  socket.on("error", () => {});
  return socket;
}

describe("the protocol", { timeout: 60_000 }, () => {
  test("OPTIONS says what there is", async () => {
    const { status, headers } = await request(daemon, "OPTIONS", "/uploads/");
    assert.equal(status, 204);
    assert.equal(headers["tus-version"], "1.0.0");
    assert.equal(headers["tus-max-size"], "1073741824");
    assert.equal(headers["tus-extension"], "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration,concatenation");
    assert.ok(headers["tus-checksum-algorithm"].split(",").includes("sha1"));
  });

  test("an upload in three pieces is whole at the end, and is nothing before", async () => {
    const bytes = randomBytes(300_000);
    const where = await create(daemon, bytes.length, { "upload-metadata": metadata({ filename: "a.bin" }) });
    assert.equal(await offsetOf(daemon, where), 0);
    const before = whole(folder).length;
    for (const [from, to] of [[0, 1], [1, 200_000], [200_000, 300_000]]) {
      assert.equal(whole(folder).length, before);
      const answer = await patch(daemon, where, from, bytes.subarray(from, to));
      assert.deepEqual([answer.status, answer.headers["upload-offset"]], [204, String(to)]);
    }
    assert.ok(isWhole(folder, bytes));
    const file = whole(folder).find((one) => one.bytes.equals(bytes));
    const got = await fetch(`${daemon.url}/uploads/files/${file.name}`);
    assert.equal(sha256(Buffer.from(await got.arrayBuffer())), sha256(bytes));
    assert.match(got.headers.get("content-disposition"), /^attachment/);
  });

  test("a file without bytes is whole at once", async () => {
    const where = await create(daemon, 0, { "upload-metadata": metadata({ filename: "none.empty" }) });
    assert.ok(whole(folder).some(({ name, bytes }) => name.endsWith(".empty") && bytes.length === 0));
    assert.equal(await offsetOf(daemon, where), 0);
  });

  test("a wrong offset, type, version or place is refused, and nothing moves", async () => {
    const where = await create(daemon, 10);
    const hello = Buffer.from("hello");
    assert.equal((await patch(daemon, where, 5, hello)).status, 409);
    assert.equal((await patch(daemon, where, 0, hello, { "content-type": "text/plain" })).status, 415);
    const old = await patch(daemon, where, 0, hello, { "tus-resumable": "0.2.2" });
    assert.deepEqual([old.status, old.headers["tus-version"]], [412, "1.0.0"]);
    assert.equal((await patch(daemon, `${where}x`, 0, hello)).status, 404);
    assert.equal((await request(daemon, "GET", where)).status, 405);
    assert.equal((await patch(daemon, where, 0, Buffer.alloc(11))).status, 413, "more than was promised");
    assert.equal(await offsetOf(daemon, where), 0);
  });

  test("lengths that no file has are refused, wherever they stand", async () => {
    for (const length of ["-1", "abc", "1.5", ""]) {
      assert.equal((await request(daemon, "POST", "/uploads/", { "upload-length": length })).status, 400, length);
    }
    for (const length of ["1073741825", "9223372036854775807", "9223372036854775808", "18446744073709551616"]) {
      const answer = await request(daemon, "POST", "/uploads/", { "upload-length": length });
      assert.deepEqual([answer.status, codeOf(answer)], [413, "RW-2806"], length);
    }
    for (const length of ["9223372036854775807", "9223372036854775808"]) {
      const socket = raw();
      socket.write(head("POST", "/uploads/", { "Upload-Length": 5, ...BYTES, "Content-Length": length }));
      await until(() => socket.heard.startsWith("HTTP/1.1 413 ") && socket.readableEnded);
      socket.end();
    }
  });

  test("checksums", async () => {
    const bytes = randomBytes(1000);
    const digest = (algorithm, what) => ({ "upload-checksum": `${algorithm} ${createHash(algorithm).update(what).digest("base64")}` });
    const where = await create(daemon, 2000);
    const wrong = await patch(daemon, where, 0, bytes, digest("sha1", "else"));
    assert.deepEqual([wrong.status, codeOf(wrong)], [460, "RW-2809"]);
    assert.equal(await offsetOf(daemon, where), 0);
    assert.equal((await patch(daemon, where, 0, bytes, { "upload-checksum": "crc9 AAAA" })).status, 400);
    // What is announced to come behind the body would not be looked at.
    const behind = await patch(daemon, where, 0, [bytes], { trailer: "Upload-Checksum" });
    assert.deepEqual([behind.status, codeOf(behind), await offsetOf(daemon, where)], [400, "RW-2818", 0]);
    assert.equal((await patch(daemon, where, 0, bytes, digest("sha1", bytes))).status, 204);
    assert.equal((await patch(daemon, where, 1000, bytes, digest("sha256", bytes))).status, 204);
    assert.ok(isWhole(folder, Buffer.concat([bytes, bytes])));
  });

  test("termination", async () => {
    const where = await create(daemon, 10);
    await patch(daemon, where, 0, Buffer.from("hello"));
    assert.equal((await request(daemon, "DELETE", where)).status, 204);
    assert.equal((await request(daemon, "HEAD", where)).status, 410);
    const id = where.split("/").at(-1);
    assert.deepEqual(readdirSync(path.join(folder, "parts")).filter((name) => name.startsWith(id)), []);
  });

  test("what was terminated is let go of at once, whoever was sent it", async () => {
    const own = mkdtempSync(path.join(tmpdir(), "ringway-uploads-"));
    const one = await serveDev("--uploads", own, "--shards", "1");
    const where = await create(one, 1 << 20);
    assert.equal((await patch(one, where, 0, randomBytes(1 << 20))).status, 204);
    const id = where.split("/").at(-1);
    const [{ name }] = whole(own);
    const fds = `/proc/${one.process.pid}/fd`;
    const isHeld = () => readdirSync(fds).some((fd) => {
      try { return readlinkSync(`${fds}/${fd}`).includes(id); } catch { return false; }
    });
    const got = await fetch(`${one.url}/uploads/files/${name}`, { headers: { range: "bytes=0-9" } });
    assert.deepEqual([got.status, (await got.arrayBuffer()).byteLength, isHeld()], [206, 10, true]);
    assert.equal((await request(one, "DELETE", where)).status, 204);
    await until(() => !isHeld(), 1000);
    assert.equal((await fetch(`${one.url}/uploads/files/${name}`)).status, 404);
    assert.equal(await one.stop(), 0);
    rmSync(own, { recursive: true });
  });

  test("creation with its first bytes", async () => {
    const answer = await request(daemon, "POST", "/uploads/", { "upload-length": "10", ...BYTES }, Buffer.from("hello"));
    assert.deepEqual([answer.status, answer.headers["upload-offset"]], [201, "5"]);
    const where = new URL(answer.headers.location, daemon.url).pathname;
    assert.equal((await patch(daemon, where, 5, Buffer.from("world"))).status, 204);
    assert.ok(isWhole(folder, Buffer.from("helloworld")));
  });

  test("a length that is said later", async () => {
    const answer = await request(daemon, "POST", "/uploads/", { "upload-defer-length": "1" });
    const where = new URL(answer.headers.location, daemon.url).pathname;
    const bytes = randomBytes(5000);
    assert.equal((await patch(daemon, where, 0, bytes.subarray(0, 2000))).status, 204);
    assert.equal((await request(daemon, "HEAD", where)).headers["upload-defer-length"], "1");
    assert.equal((await patch(daemon, where, 2000, bytes.subarray(2000), { "upload-length": "5000" })).status, 204);
    assert.ok(isWhole(folder, bytes));
  });

  test("a body in chunks", async () => {
    const pieces = Array.from({ length: 20 }, (_, index) => randomBytes(1 + index * 3001));
    const bytes = Buffer.concat(pieces);
    const where = await create(daemon, bytes.length);
    const answer = await patch(daemon, where, 0, pieces);
    assert.deepEqual([answer.status, answer.headers["upload-offset"]], [204, String(bytes.length)]);
    assert.ok(isWhole(folder, bytes));
  });

  test("parts become one", async () => {
    const parts = [randomBytes(700_000), randomBytes(5), Buffer.alloc(0)];
    const places = [];
    for (const part of parts) {
      const where = await create(daemon, part.length, { "upload-concat": "partial" });
      if (part.length > 0) assert.equal((await patch(daemon, where, 0, part)).status, 204);
      places.push(where);
    }
    const open = await create(daemon, 5, { "upload-concat": "partial" });
    const early = await request(daemon, "POST", "/uploads/", { "upload-concat": `final;${open}` });
    assert.equal(early.status, 403);
    const final = await request(daemon, "POST", "/uploads/", { "upload-concat": `final;${places.join(" ")}` });
    assert.equal(final.status, 201, String(final.body));
    const where = new URL(final.headers.location, daemon.url).pathname;
    const { headers } = await request(daemon, "HEAD", where);
    assert.equal(headers["upload-length"], "700005");
    assert.equal((await patch(daemon, where, 0, Buffer.from("x"))).status, 403);
    assert.ok(isWhole(folder, Buffer.concat(parts)));
    for (const part of places) assert.equal((await request(daemon, "HEAD", part)).status, 410, "their bytes are stored once");
  });
});

describe("connections", { timeout: 60_000 }, () => {
  test("a second writer is refused, and the first one, if it is silent, gives way", async () => {
    const where = await create(daemon, 1000);
    const first = raw();
    first.write(`${patchHead(where, 0, { "Content-Length": 1000 })}abc`);
    const second = () => patch(daemon, where, 3, Buffer.from("d"));
    await until(async () => (await second()).status === 423);
    await until(async () => (await second()).status === 204);
    assert.equal(await offsetOf(daemon, where), 4);
    first.destroy();
  });

  test("what came of a body that breaks off counts", async () => {
    const where = await create(daemon, 1000);
    for (const [end, offset] of [["destroy", 0], ["end", 3], ["resetAndDestroy", 6]]) {
      const socket = raw();
      socket.write(`${patchHead(where, offset, { "Content-Length": 500 })}abc`);
      await until(async () => (await patch(daemon, where, offset, Buffer.alloc(0))).status === 423);
      const part = path.join(folder, "parts", `${where.split("/").at(-1)}.part`);
      await until(() => statSync(part).size === offset + 3);
      const gone = event(socket, end === "end" ? "finish" : "close");
      socket[end]();
      await gone;
      // Who asks at once is told when it is known.
      assert.equal(await offsetOf(daemon, where), offset + 3, end);
      socket.destroy();
    }
  });

  // The daemon pauses clients that send faster than it writes; a reset that came then is heard of when it goes on. Of what it is not, it hears by the client's silence.
  test("a reset in the middle of much is heard of", async () => {
    const own = mkdtempSync(path.join(tmpdir(), "ringway-uploads-"));
    const one = await serveDev("--uploads", own, "--shards", "1", "--set", "limits.keep_alive_timeout_ms=600000");
    for (let round = 0; round < 40; round += 1) {
      const where = await create(one, 64 << 20);
      const socket = net.connect({ port: one.port, host: "127.0.0.1" }).on("error", () => {});
      socket.write(patchHead(where, 0, { "Content-Length": 64 << 20 }));
      await new Promise((resolve) => socket.write(Buffer.alloc((1 + round % 20) << 20), resolve));
      socket.resetAndDestroy();
      await until(async () => (await patch(one, where, await offsetOf(one, where), Buffer.alloc(1))).status === 204);
      assert.equal((await request(one, "DELETE", where)).status, 204);
    }
    // Counts appear once a second.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const page = await (await fetch(`${one.admin}/metrics`)).text();
    assert.equal(/ringway_refusals_total\{shard="0",code="RW-2013"\} (\d+)\n/.exec(page)[1], "0");
    assert.equal(await one.stop(), 0, one.log());
    rmSync(own, { recursive: true });
  });

  test("a client that has said all hears its answer", async () => {
    const where = await create(daemon, 3);
    const socket = raw();
    socket.end(`${patchHead(where, 0, { "Content-Length": 3 })}abc`);
    await until(() => socket.readableEnded);
    assert.match(socket.heard, /^HTTP\/1\.1 204 /);
    assert.ok(isWhole(folder, Buffer.from("abc")));
  });

  test("requests of one connection are answered in their order", async () => {
    const where = await create(daemon, 6);
    const socket = raw();
    socket.write(`${patchHead(where, 0, { "Content-Length": 3 })}abc${patchHead(where, 3, { "Content-Length": 3 })}def${head("HEAD", where, { Connection: "close" })}`);
    await until(() => socket.readableEnded);
    assert.deepEqual([...socket.heard.matchAll(/HTTP\/1\.1 (\d+) |upload-offset: (\d+)/gi)].map(([, status, offset]) => status ?? offset), ["204", "3", "204", "6", "200", "6"]);
    socket.end();
  });

  test("a client that asks first is told to go on, or not to", async () => {
    const where = await create(daemon, 3);
    const socket = raw();
    socket.write(patchHead(where, 0, { "Content-Length": 3, Expect: "100-continue" }));
    await until(() => socket.heard === "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write("abc");
    await until(() => /204 No Content/.test(socket.heard));
    socket.destroy();
    const refused = raw();
    refused.write(patchHead(where, 7, { "Content-Length": 3, Expect: "100-continue" }));
    await until(() => refused.readableEnded);
    assert.match(refused.heard, /^HTTP\/1\.1 409 /);
    refused.destroy();
  });

  test("RFC 9110 10.1.1: an old client that asks first is told nothing", async () => {
    const where = await create(daemon, 3);
    const socket = raw();
    socket.write(patchHead(where, 0, { "Content-Length": 3, Expect: "100-continue" }).replace("HTTP/1.1", "HTTP/1.0"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.write("abc");
    await until(() => socket.readableEnded);
    assert.match(socket.heard, /^HTTP\/1\.1 204 /);
    socket.destroy();
  });

  test("any method is the one that it names instead", async () => {
    const where = await create(daemon, 3);
    const named = (sent, name, headers, body) => request(daemon, sent, where, { "x-http-method-override": name, ...headers }, body);
    const put = await named("PUT", "PATCH", { "upload-offset": "0", ...BYTES }, Buffer.from("ab"));
    assert.deepEqual([put.status, put.headers["upload-offset"]], [204, "2"]);
    const got = await named("GET", "HEAD");
    assert.deepEqual([got.status, got.headers["upload-offset"], got.body.length], [200, "2", 0]);
    assert.equal((await named("POST", "PUT")).status, 405);
    assert.equal((await named("OPTIONS", "DELETE")).status, 204);
    assert.equal((await named("GET", "HEAD")).status, 410);
  });

  test("a refusal is heard while the body is still being sent", async () => {
    const where = await create(daemon, 5 << 20);
    const answer = await patch(daemon, where, 1, Buffer.alloc(5 << 20));
    assert.deepEqual([answer.status, codeOf(answer)], [409, "RW-2805"]);
  });

  test("chunks that are none end the request, and what came before counts", async () => {
    const where = await create(daemon, 100);
    const socket = raw();
    socket.write(`${patchHead(where, 0, { "Transfer-Encoding": "chunked" })}3\r\nabc\r\nno\r\n`);
    await until(() => socket.readableEnded);
    assert.match(socket.heard, /^HTTP\/1\.1 400 /);
    await until(async () => (await offsetOf(daemon, where)) === 3);
    socket.destroy();
  });

  test("a client that falls silent in the middle is let go", async () => {
    const where = await create(daemon, 100);
    const socket = raw();
    socket.write(`${patchHead(where, 0, { "Content-Length": 100 })}abc`);
    const closed = event(socket, "end");
    await closed;
    await until(async () => (await offsetOf(daemon, where)) === 3);
    socket.destroy();
  });

  test("many at a time, more than there are buffers for", async () => {
    const all = Array.from({ length: 100 }, () => randomBytes(400_000));
    await Promise.all(all.map(async (bytes) => {
      const where = await create(daemon, bytes.length);
      assert.equal((await patch(daemon, where, 0, bytes)).status, 204);
    }));
    const hashes = new Set(whole(folder).map(({ bytes }) => sha256(bytes)));
    for (const bytes of all) assert.ok(hashes.has(sha256(bytes)));
  });

  test("clients that stand still in the middle hold no memory", async () => {
    const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.process.pid}/status`, "utf8"))[1]);
    const places = await Promise.all(Array.from({ length: 380 }, () => create(daemon, 200_000)));
    const before = resident();
    const sockets = places.map((where) => {
      const socket = raw();
      socket.write(patchHead(where, 0, { "Content-Length": 200_000 }));
      socket.write(Buffer.alloc(100_000));
      return socket;
    });
    for (const where of places) await until(() => statSync(path.join(folder, "parts", `${where.split("/").at(-1)}.part`)).size === 100_000);
    // 64 buffers of 128 KiB on the one shard that has them, as much again that came before there was a buffer for it, and what is small of each; a hundred
    // kilobytes of each would be 36 MiB.
    assert.ok(resident() - before < 28 << 10, `${resident() - before} KiB`);
    for (const socket of sockets) socket.destroy();
    await until(async () => (await metric("ringway_upload_transfers")) === 0);
  });

  test("clients that never stand still and send next to nothing hold no memory either", async () => {
    const own = mkdtempSync(path.join(tmpdir(), "ringway-uploads-"));
    const small = await serveDev("--uploads", own, "--shards", "1", "--set", "uploads.buffers=2", "--set", "uploads.idle_timeout_ms=3000");
    const trickling = [];
    for (let number = 0; number < 4; number += 1) {
      const where = await create(small, 1_000_000);
      const socket = net.connect({ port: small.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      socket.write(patchHead(where, 0, { "Content-Length": 1_000_000 }));
      const timer = setInterval(() => socket.write("x"), 1);
      trickling.push({ where, end: () => { clearInterval(timer); socket.destroy(); } });
    }
    for (let number = 0; number < 5; number += 1) {
      const bytes = randomBytes(2_000_000);
      const where = await create(small, bytes.length);
      const answer = await patch(small, where, 0, bytes);
      assert.equal(answer.status, 204, answer.body);
      assert.ok(isWhole(own, bytes));
    }
    trickling.forEach(({ end }) => end());
    for (const { where } of trickling) await until(async () => await offsetOf(small, where) > 0);
    assert.equal(await small.stop(), 0, small.log());
    rmSync(own, { recursive: true });
  });

  test("no descriptor stays open", async () => {
    const open = () => readdirSync(`/proc/${daemon.process.pid}/fd`).length;
    await until(async () => (await metric("ringway_upload_transfers")) === 0);
    const where = await create(daemon, 10);
    const before = open();
    for (let index = 0; index < 5; index += 1) {
      assert.equal((await patch(daemon, where, 0, Buffer.from("x"), { "upload-checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=" })).status, 460);
      const socket = raw();
      socket.write(`${patchHead(where, 0, { "Content-Length": 5 })}`);
      await until(async () => (await patch(daemon, where, 0, Buffer.alloc(0))).status === 423);
      socket.destroy();
      await until(async () => (await patch(daemon, where, 0, Buffer.alloc(0))).status === 204);
    }
    await until(() => open() <= before);
  });

  test("nor of uploads whose requests end without anything that counts", async () => {
    const open = () => readdirSync(`/proc/${daemon.process.pid}/fd`).length;
    await until(async () => (await metric("ringway_upload_transfers")) === 0);
    const places = await Promise.all(Array.from({ length: 20 }, () => create(daemon, 10)));
    const before = open();
    const size = (where) => statSync(path.join(folder, "parts", `${where.split("/").at(-1)}.part`)).size;
    for (const where of places) {
      const socket = raw();
      socket.write(`${patchHead(where, 0, { "Content-Length": 5, "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=" })}abc`);
      await until(() => size(where) === 3);
      socket.destroy();
    }
    await until(async () => (await metric("ringway_upload_transfers")) === 0);
    // Connections that clients of before keep alive may come and go, but not as many as these.
    await until(() => open() <= before + 5);
    for (const where of places) assert.deepEqual([size(where), await offsetOf(daemon, where)], [0, 0]);
  });
});

async function metric(name) {
  const page = await (await fetch(`${daemon.admin}/metrics`)).text();
  const lines = page.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

describe("tus-js-client, unmodified", { timeout: 60_000 }, () => {
  test("in one request, in several, and from a stream of unknown length", async () => {
    const bytes = randomBytes((5 << 20) + 7);
    for (const options of [{ chunkSize: Infinity }, {}, { uploadDataDuringCreation: true }]) {
      const own = Buffer.concat([bytes, randomBytes(8)]);
      await upload(daemon, own, options);
      assert.ok(isWhole(folder, own));
    }
    await upload(daemon, Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]), { uploadLengthDeferred: true });
    assert.ok(isWhole(folder, bytes));
  });

  test("in parallel parts", async () => {
    const bytes = randomBytes((3 << 20) + 1);
    const file = path.join(folder, "source");
    writeFileSync(file, bytes);
    await upload(daemon, createReadStream(file), { parallelUploads: 3, chunkSize: Infinity });
    assert.ok(isWhole(folder, bytes));
  });

  test("64 at a time", async () => {
    const all = Array.from({ length: 64 }, () => randomBytes(200_000));
    await Promise.all(all.map((bytes) => upload(daemon, bytes)));
    const hashes = new Set(whole(folder).map(({ bytes }) => sha256(bytes)));
    for (const bytes of all) assert.ok(hashes.has(sha256(bytes)));
  });
});
