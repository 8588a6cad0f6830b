// Files over HTTP: the real daemon, real files, and what RFC 9110 says about them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, chmodSync, closeSync, ftruncateSync, linkSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { io } from "socket.io-client";
import { blocksOf } from "./blocks.mjs";
import { binary, event, freePort, serve, serveDev, until } from "./daemon.mjs";
import { create, patch } from "./tus.mjs";

const SIZES = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 300_000, 1 << 20, (5 << 20) + 3];
const bodies = new Map(SIZES.map((size) => [`${size}.bin`, randomBytes(size)]));
const MODIFIED = new Date("2026-02-03T04:05:06Z");
let folder, outside, daemon, agent;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "ringway-files-"));
  outside = mkdtempSync(path.join(tmpdir(), "ringway-outside-"));
  for (const [name, bytes] of bodies) file(name, bytes);
  file("hello.txt", "hello, world\n");
  file("page.html", "<p>x</p>");
  mkdirSync(path.join(folder, "deep/er"), { recursive: true });
  file("deep/er/ä b.txt", "deep");
  file(".secret", "no");
  writeFileSync(path.join(outside, "passwd"), "root");
  symlinkSync(path.join(outside, "passwd"), path.join(folder, "escape"));
  symlinkSync("hello.txt", path.join(folder, "inside"));
  execFileSync("mkfifo", [path.join(folder, "pipe")]);
  daemon = await serveDev("--files", folder, "--shards", "2");
  agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
});

after(async () => {
  agent.destroy();
  assert.equal(await daemon.stop(), 0);
  for (const one of [folder, outside]) rmSync(one, { recursive: true });
});

function file(name, bytes) {
  const whole = path.join(folder, name);
  writeFileSync(whole, bytes);
  utimesSync(whole, MODIFIED, MODIFIED);
}

/** One request; the path goes out as it stands. */
function ask(where, headers = {}, method = "GET") {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port: daemon.port, path: where, headers, method, agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    });
    request.on("error", reject).end();
  });
}

const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const descriptors = () => readdirSync(`/proc/${daemon.process.pid}/fd`).length;

test("files of all sizes arrive as they are, several times on one connection", async () => {
  for (const round of [1, 2]) {
    for (const [name, bytes] of bodies) {
      const { status, headers, body } = await ask(`/files/${name}`);
      assert.equal(status, 200, `${name}, round ${round}`);
      assert.equal(Number(headers["content-length"]), bytes.length);
      assert.equal(sha(body), sha(bytes), `${name}, round ${round}`);
    }
  }
});

test("what a file's answer says", async () => {
  const { headers } = await ask("/files/hello.txt");
  assert.equal(headers["content-type"], "text/plain; charset=utf-8");
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["accept-ranges"], "bytes");
  assert.equal(headers["last-modified"], MODIFIED.toUTCString());
  assert.match(headers.etag, /^"[^"]+"$/);
  const page = await ask("/files/page.html");
  assert.match(page.headers["content-type"], /^text\/html/);
  const deep = await ask("/files/deep/er/%C3%A4%20b.txt");
  assert.equal(String(deep.body), "deep");
});

test("HEAD says what GET would", async () => {
  const [head, get] = [await ask("/files/300000.bin", {}, "HEAD"), await ask("/files/300000.bin")];
  assert.equal(head.body.length, 0);
  const { date: _, ...said } = head.headers;
  const { date: __, ...wouldSay } = get.headers;
  assert.deepEqual([head.status, said], [get.status, wouldSay]);
});

test("other methods are refused, and say which there are", async () => {
  const answer = await ask("/files/hello.txt", {}, "DELETE");
  assert.equal(answer.status, 405);
  assert.match(answer.headers.allow, /GET/);
});

test("ranges", async () => {
  const name = "300000.bin";
  const bytes = bodies.get(name);
  for (const [range, first, last] of [
    ["0-0", 0, 0], ["1-99999", 1, 99_999], ["299999-", 299_999, 299_999], ["-5", 299_995, 299_999], ["100-999999999", 100, 299_999], ["-999999999", 0, 299_999],
  ]) {
    const { status, headers, body } = await ask(`/files/${name}`, { range: `bytes=${range}` });
    assert.equal(status, 206, range);
    assert.equal(headers["content-range"], `bytes ${first}-${last}/300000`);
    assert.ok(body.equals(bytes.subarray(first, last + 1)), range);
  }
  for (const range of ["300000-", "400000-500000", "-0"]) {
    const { status, headers } = await ask(`/files/${name}`, { range: `bytes=${range}` });
    assert.deepEqual([status, headers["content-range"]], [416, "bytes */300000"], range);
  }
  for (const ignored of ["lines=1-2", "bytes=5-1", "bytes=a-b", "bytes"]) {
    const { status, body } = await ask(`/files/${name}`, { range: ignored });
    assert.deepEqual([status, body.length], [200, 300_000], ignored);
  }
});

test("several ranges come as parts", async () => {
  const bytes = bodies.get("300000.bin");
  const { status, headers, body } = await ask("/files/300000.bin", { range: "bytes=0-9,1000-1999,-7" });
  assert.equal(status, 206);
  const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(headers["content-type"])[1];
  assert.equal(Number(headers["content-length"]), body.length);
  const parts = body.toString("latin1").split(`--${boundary}`);
  assert.equal(parts.at(-1).trim(), "--");
  const found = parts.slice(1, -1).map((part) => {
    const [head, rest] = [part.slice(0, part.indexOf("\r\n\r\n")), part.slice(part.indexOf("\r\n\r\n") + 4, -2)];
    return [/content-range: bytes (\S+)/i.exec(head)[1], rest];
  });
  const of = (first, last) => [`${first}-${last}/300000`, bytes.subarray(first, last + 1).toString("latin1")];
  assert.deepEqual(found, [of(0, 9), of(1000, 1999), of(299_993, 299_999)]);
});

test("many ranges cost no more than the file", async () => {
  const ranges = (count) => Array.from({ length: count }, (_, at) => `${at}-${at + 200_000}`).join(",");
  const { status, headers, body } = await ask("/files/300000.bin", { range: `bytes=${ranges(32)}` });
  assert.deepEqual([status, headers["content-range"]], [206, "bytes 0-200031/300000"], "what overlaps is one");
  assert.ok(body.equals(bodies.get("300000.bin").subarray(0, 200_032)));
  assert.ok([400, 416, 431].includes((await ask("/files/300000.bin", { range: `bytes=${ranges(1000)}` })).status));
});

test("conditions", async () => {
  const { headers } = await ask("/files/hello.txt");
  const modified = headers["last-modified"];
  const earlier = new Date(MODIFIED - 60_000).toUTCString();
  for (const [conditions, status] of [
    [{ "if-none-match": headers.etag }, 304], [{ "if-none-match": `"x", W/${headers.etag}` }, 304], [{ "if-none-match": "*" }, 304], [{ "if-none-match": '"x"' }, 200],
    [{ "if-modified-since": modified }, 304], [{ "if-modified-since": earlier }, 200], [{ "if-modified-since": "yesterday" }, 200],
    [{ "if-none-match": '"x"', "if-modified-since": modified }, 200],
    [{ "if-match": headers.etag }, 200], [{ "if-match": '"x"' }, 412], [{ "if-match": `W/${headers.etag}` }, 412],
    [{ "if-unmodified-since": modified }, 200], [{ "if-unmodified-since": earlier }, 412],
    [{ range: "bytes=0-1", "if-range": headers.etag }, 206], [{ range: "bytes=0-1", "if-range": '"x"' }, 200], [{ range: "bytes=0-1", "if-range": `W/${headers.etag}` }, 200],
    [{ range: "bytes=0-1", "if-range": modified }, 206], [{ range: "bytes=0-1", "if-range": earlier }, 200],
  ]) {
    const answer = await ask("/files/hello.txt", conditions);
    assert.equal(answer.status, status, JSON.stringify(conditions));
    if (status === 304) assert.deepEqual([answer.body.length, answer.headers.etag], [0, headers.etag]);
  }
});

test("what is said of a file whose time is in the future can be asked about, later too", async () => {
  const future = path.join(folder, "future.txt");
  writeFileSync(future, "not yet");
  utimesSync(future, new Date(Date.now() + 86_400_000), new Date(Date.now() + 86_400_000));
  const modified = (await ask("/files/future.txt")).headers["last-modified"];
  assert.ok(Date.parse(modified) <= Date.now(), modified);
  for (const wait of [0, 2100]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    assert.equal((await ask("/files/future.txt", { "if-unmodified-since": modified })).status, 200);
    assert.equal((await ask("/files/future.txt", { "if-modified-since": modified })).status, 304);
  }
});

test("a link that the operator put there leads where it leads, within its root", async () => {
  symlinkSync(".secret", path.join(folder, "shown"));
  assert.equal(String((await ask("/files/shown")).body), "no");
  assert.equal((await ask("/files/.secret")).status, 404);
});

test("nothing outside, nothing hidden, nothing that is no file", async () => {
  for (const where of [
    "/files/../etc/passwd", "/files/%2e%2e/passwd", "/files/deep/../../passwd", "/files/deep%2F..%2F..%2Fpasswd", "/files/hello.txt%00.png", "/files/escape", "/files/.secret",
    "/files/deep", "/files/deep/", "/files/", "/files", "/files/nothing", "/files/pipe", "/files//etc/passwd", `/files/${"a".repeat(4096)}`, "/files/hello.txt/", "/files/a\\b",
    "/files/%ff%fe", "/files/%zz",
  ]) {
    const { status, body } = await ask(where);
    assert.ok([400, 403, 404, 414].includes(status), `${where.slice(0, 40)}: ${status}`);
    assert.ok(!body.includes("root") && !body.equals(Buffer.from("no")), where);
  }
  const { status, body } = await ask("/files/inside");
  assert.deepEqual([status, String(body)], [200, "hello, world\n"]);
});

test("a compressed file beside it is sent to whoever takes it", async () => {
  file("app.js", "console.log('plain');\n");
  file("app.js.gz", "pretend gzip");
  file("app.js.br", "pretend brotli");
  for (const [accept, encoding, body] of [
    ["gzip", "gzip", "pretend gzip"], ["gzip, br", "br", "pretend brotli"], ["br;q=0, gzip", "gzip", "pretend gzip"], ["identity", undefined, "console.log('plain');\n"],
    ["", undefined, "console.log('plain');\n"],
  ]) {
    const answer = await ask("/files/app.js", { "accept-encoding": accept });
    assert.deepEqual([answer.headers["content-encoding"], String(answer.body)], [encoding, body], accept);
    assert.match(answer.headers.vary, /accept-encoding/i);
    assert.match(answer.headers["content-type"], /javascript/);
  }
});

test("a file that is changed is seen within the time that is promised", async () => {
  file("changing.txt", "before");
  assert.equal(String((await ask("/files/changing.txt")).body), "before");
  writeFileSync(path.join(folder, "next"), "after, and longer");
  renameSync(path.join(folder, "next"), path.join(folder, "changing.txt"));
  await until(async () => String((await ask("/files/changing.txt")).body) === "after, and longer");
  rmSync(path.join(folder, "changing.txt"));
  await until(async () => (await ask("/files/changing.txt")).status === 404);
});

/** A client that asks and reads nothing until it is told to. */
async function lazy(where, port = daemon.port) {
  const socket = net.connect(port, "127.0.0.1");
  await event(socket, "connect");
  socket.pause();
  socket.write(`GET ${where} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return socket;
}

test("a file that shrinks while it is sent ends its connection, and only that", async () => {
  const size = 64 << 20;
  const whole = path.join(folder, "shrinking.bin");
  const descriptor = openSync(whole, "w");
  ftruncateSync(descriptor, size);
  const socket = await lazy("/files/shrinking.bin");
  let bytes = 0;
  socket.once("readable", () => ftruncateSync(descriptor, 1 << 20));
  await event(socket, "readable");
  socket.on("data", (chunk) => { bytes += chunk.length; });
  socket.on("error", () => {});
  await event(socket, "close");
  closeSync(descriptor);
  assert.ok(bytes < size, `${bytes} bytes`);
  assert.equal((await ask("/files/hello.txt")).status, 200);
});

test("a file that is written over while it is sent, or asked for in parts, is never a mixture", async () => {
  const whole = path.join(folder, "over.bin");
  const size = 8 << 20;
  const over = (byte, from = 0) => {
    const descriptor = openSync(whole, "r+");
    writeSync(descriptor, Buffer.alloc(size - from, byte), 0, size - from, from);
    closeSync(descriptor);
  };
  file("over.bin", Buffer.alloc(size, "A"));
  const first = await ask("/files/over.bin", { range: "bytes=0-524287" });
  assert.equal(first.status, 206);
  over("Z");
  const second = await ask("/files/over.bin", { range: "bytes=524288-", "if-range": first.headers.etag });
  assert.deepEqual([second.status, second.body.length, second.body[0], second.body.at(-1)], [200, size, 90, 90]);
  assert.notEqual(second.headers.etag, first.headers.etag);
  const socket = await lazy("/files/over.bin");
  await event(socket, "readable");
  over("A", size / 2);
  let bytes = 0;
  socket.on("data", (chunk) => { bytes += chunk.length; }).on("error", () => {});
  await event(socket, "close");
  assert.ok(bytes < size, `${bytes} bytes`);
  // As rsync --inplace -t and cp -p do: as many bytes, and the time that it had.
  file("kept.txt", "before");
  assert.equal(String((await ask("/files/kept.txt")).body), "before");
  file("kept.txt", "behind");
  await until(async () => String((await ask("/files/kept.txt")).body) === "behind");
});

test("a file that is written over while it is sent, and says that it is as old as before, is not sent to its end", async () => {
  const size = 8 << 20;
  const whole = path.join(folder, "aged.bin");
  const sent = async (change) => {
    file("aged.bin", Buffer.alloc(size, "A"));
    const socket = await lazy("/files/aged.bin");
    await event(socket, "readable");
    change(statSync(whole));
    const chunks = [];
    socket.on("data", (chunk) => chunks.push(chunk)).on("error", () => {});
    // Whole, it is all the connection has; it stays open then.
    await until(() => socket.destroyed || Buffer.concat(chunks).length >= size);
    socket.destroy();
    return Buffer.concat(chunks);
  };
  const over = await sent(({ atime, mtime }) => {
    const descriptor = openSync(whole, "r+");
    writeSync(descriptor, Buffer.alloc(1000, "B"), 0, 1000, size - 1000);
    closeSync(descriptor);
    utimesSync(whole, atime, mtime);
  });
  assert.ok(over.length < size && !over.includes("B".repeat(100)), `${over.length} bytes`);
  for (const change of [() => chmodSync(whole, 0o640), () => linkSync(whole, `${whole}.two`), () => unlinkSync(whole)]) {
    const body = await sent(change);
    assert.ok(body.subarray(-size).every((byte) => byte === 65), `${change}`);
  }
});

test("a short file that is written over while a slow client is sent it ends the connection, and so does a part", async () => {
  const whole = path.join(folder, "short.bin");
  const ranges = Array.from({ length: 8 }, (_, at) => `${at * 1_000_000}-${at * 1_000_000 + 900_000}`).join(",");
  for (const [size, range] of [[1_000_000, ""], [400_000, ""], [8 << 20, "Range: bytes=0-1048575\r\n"], [8 << 20, `Range: bytes=${ranges}\r\n`]]) {
    file("short.bin", Buffer.alloc(size, "A"));
    await ask("/files/short.bin", { range: "bytes=0-0" });
    const socket = net.connect({ port: daemon.port, host: "127.0.0.1" });
    await event(socket, "connect");
    socket.pause();
    socket.write(`GET /files/short.bin HTTP/1.1\r\nHost: x\r\n${range}\r\n`);
    await event(socket, "readable");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const descriptor = openSync(whole, "r+");
    writeSync(descriptor, Buffer.alloc(size, "B"), 0, size, 0);
    closeSync(descriptor);
    let [text, bytes] = ["", 0];
    socket.on("data", (chunk) => { text ||= String(chunk.subarray(0, 2000)); bytes += chunk.length; }).on("error", () => {});
    await event(socket, "close");
    const [said, length] = /content-length: (\d+)/i.exec(text);
    assert.ok(bytes < Number(length), `${said}, ${bytes} came`);
  }
});

test("a file that grows while it is compressed goes as far as it went", async () => {
  const line = () => `2026-02-03T04:05:06Z INFO ${randomBytes(24).toString("hex")}\n`;
  const text = Array.from({ length: 50_000 }, line).join("");
  file("growing.log", text);
  for (const coding of ["gzip", "br"]) {
    const socket = net.connect({ port: daemon.port, host: "127.0.0.1" });
    await event(socket, "connect");
    socket.pause();
    socket.write(`GET /files/growing.log HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: ${coding}\r\n\r\n`);
    await event(socket, "readable");
    appendFileSync(path.join(folder, "growing.log"), line());
    const chunks = [];
    socket.on("data", (chunk) => chunks.push(chunk)).on("error", () => {});
    await event(socket, "close");
    const answer = Buffer.concat(chunks);
    assert.match(String(answer.subarray(0, 2000)), new RegExp(`content-encoding: ${coding}`, "i"));
    assert.ok(String(answer.subarray(-5)).endsWith("0\r\n\r\n"), `${coding} was cut`);
  }
});

test("who has said all, and reads slowly, gets all of a file", async () => {
  file("slow.bin", bodies.get(`${(5 << 20) + 3}.bin`));
  const socket = net.connect({ port: daemon.port, host: "127.0.0.1", allowHalfOpen: true });
  await event(socket, "connect");
  socket.pause();
  socket.end("GET /files/slow.bin HTTP/1.1\r\nHost: x\r\n\r\n");
  // More than twice the time that a connection lingers.
  await new Promise((resolve) => setTimeout(resolve, 5000));
  let bytes = 0;
  socket.on("data", (chunk) => { bytes += chunk.length; }).resume();
  await event(socket, "end");
  assert.ok(bytes > 5 << 20, `${bytes} bytes`);
});

// What goes out of memory is sent otherwise than what goes out of a file.
test("so he does of what is in memory, is compressed on the way, or was encrypted", { timeout: 60_000 }, async () => {
  const key = path.join(outside, "master");
  writeFileSync(key, randomBytes(32));
  const uploads = mkdtempSync(path.join(tmpdir(), "ringway-half-"));
  const settings = ["files.cache_file_bytes_max=2097152", `uploads.key_files=["${key}"]`, "limits.keep_alive_timeout_ms=20000"];
  const one = await serveDev("--files", folder, "--uploads", uploads, "--shards", "1", ...settings.flatMap((setting) => ["--set", setting]));
  const text = Buffer.from(randomBytes(3 << 20).toString("hex"));
  file("half.txt", text);
  file("half.bin", text.subarray(0, 2 << 20));
  const sealed = await create(one, text.length);
  assert.equal((await patch(one, sealed, 0, text)).status, 204);
  const read = async (where, bytes, coding = "identity") => {
    const socket = net.connect({ port: one.port, host: "127.0.0.1", allowHalfOpen: true });
    await event(socket, "connect");
    socket.pause();
    socket.end(`GET ${where} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`);
    // More than twice the time that a connection lingers.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const chunks = [];
    socket.on("data", (chunk) => chunks.push(chunk)).on("error", () => {}).resume();
    await event(socket, "close");
    const answer = Buffer.concat(chunks);
    const body = answer.subarray(answer.indexOf("\r\n\r\n") + 4);
    assert.match(answer.toString("latin1", 0, 20), /^HTTP\/1\.1 200 /, where);
    if (coding === "gzip") return assert.ok(sha(gunzipSync(unchunked(body))) === sha(bytes), where);
    return assert.ok(sha(body) === sha(bytes), `${where}: ${body.length} bytes`);
  };
  await Promise.all([
    read("/files/half.txt", text, "gzip"),
    read("/files/half.bin", text.subarray(0, 2 << 20)),
    read(`/uploads/files/${readdirSync(path.join(uploads, "whole"))[0]}`, text),
  ]);
  assert.equal(await one.stop(), 0, one.log());
  rmSync(uploads, { recursive: true });
});

/** The bytes of a body that came in chunks. */
function unchunked(body) {
  const pieces = [];
  for (let at = 0; ;) {
    const line = body.indexOf("\r\n", at);
    const count = parseInt(body.toString("latin1", at, line), 16);
    if (!(count > 0)) return Buffer.concat(pieces);
    pieces.push(body.subarray(line + 2, line + 2 + count));
    at = line + 2 + count + 2;
  }
}

test("what was deleted, and nobody asks for any more, is let go of", async () => {
  file("gone.bin", Buffer.alloc(1 << 20));
  const fds = `/proc/${daemon.process.pid}/fd`;
  const isHeld = () => readdirSync(fds).some((fd) => {
    try { return readlinkSync(`${fds}/${fd}`).includes("gone.bin"); } catch { return false; }
  });
  assert.equal((await ask("/files/gone.bin", { range: "bytes=0-0" })).status, 206);
  unlinkSync(path.join(folder, "gone.bin"));
  assert.ok(isHeld());
  await until(() => !isHeld(), 15_000);
});

test("what was compressed beforehand is sent whatever it is", async () => {
  for (const [name, stored] of [["model.onnx", true], ["dump.sql", true], ["photo.jpg", false]]) {
    file(name, "as it is");
    file(`${name}.gz`, gzipSync("packed"));
    const plain = await ask(`/files/${name}`);
    const packed = await ask(`/files/${name}`, { "accept-encoding": "gzip" });
    assert.equal(packed.headers["content-encoding"], stored ? "gzip" : undefined, name);
    assert.equal(String(stored ? gunzipSync(packed.body) : packed.body), stored ? "packed" : "as it is");
    for (const answer of [plain, packed]) assert.equal(answer.headers.vary, stored ? "Accept-Encoding" : undefined, name);
    assert.equal(String(plain.body), "as it is");
  }
});

test("many who read one large file slowly have it open once or twice", async () => {
  const whole = path.join(folder, "slowly.bin");
  const descriptor = openSync(whole, "w");
  ftruncateSync(descriptor, 64 << 20);
  closeSync(descriptor);
  const few = await serveDev("--files", folder, "--set", "files.open_max=64", "--set", "files.revalidate_ms=1", "--shards", "1");
  const readers = [];
  const open = () => readdirSync(`/proc/${few.process.pid}/fd`).filter((fd) => {
    try { return readlinkSync(`/proc/${few.process.pid}/fd/${fd}`) === whole; } catch { return false; }
  }).length;
  for (let at = 0; at < 80; at += 1) {
    readers.push(await lazy("/files/slowly.bin", few.port));
    await event(readers.at(-1), "readable");
  }
  assert.ok(open() <= 2, `${open()} times`);
  for (const reader of readers) reader.destroy();
  assert.equal(await few.stop(), 0);
});

test("readers that do not read cost little, and leave nothing behind", async () => {
  const whole = path.join(folder, "large.bin");
  const descriptor = openSync(whole, "w");
  ftruncateSync(descriptor, 256 << 20);
  closeSync(descriptor);
  await ask("/files/hello.txt");
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.process.pid}/status`, "utf8"))[1]);
  const [before, kibibytes] = [descriptors(), resident()];
  const readers = await Promise.all(Array.from({ length: 300 }, () => lazy("/files/large.bin")));
  await Promise.all(readers.map((socket) => event(socket, "readable")));
  assert.equal((await ask("/files/hello.txt")).status, 200, "others are served meanwhile");
  // A piece of 64 KiB for each would be 19 MiB.
  assert.ok(resident() - kibibytes < 6 << 10, `${resident() - kibibytes} KiB`);
  for (const socket of readers) socket.destroy();
  await until(() => descriptors() <= before + 2);
});

test("who has said all is answered, whether its file is known or not", async () => {
  for (const name of ["cold.txt", "cold.txt", "large.bin"]) {
    if (name === "cold.txt") file(name, "cold");
    const socket = net.connect({ port: daemon.port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end(`GET /files/${name} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-3\r\n\r\n`);
    let text = "";
    socket.on("data", (chunk) => { text += chunk.toString("latin1"); });
    await event(socket, "end");
    assert.match(text, /^HTTP\/1\.1 206 /, name);
    assert.ok(text.endsWith(name === "cold.txt" ? "cold" : "\0\0\0\0"), name);
    socket.destroy();
  }
});

test("what is sent behind a request for a file does not cut its answer", async () => {
  const size = 32 << 20;
  const descriptor = openSync(path.join(folder, "behind.bin"), "w");
  ftruncateSync(descriptor, size);
  closeSync(descriptor);
  const get = (where, more = "") => `GET /files/${where} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
  // A body that nobody reads, and requests that wait: more of both than is kept.
  const pipelined = get("hello.txt", `X-Much: ${"x".repeat(1000)}\r\n`).repeat(70) + get("hello.txt", "Connection: close\r\n");
  for (const [more, behind, answers] of [["Content-Length: 200000\r\n", "b".repeat(200_000), 1], ["", pipelined, 72]]) {
    const socket = net.connect(daemon.port, "127.0.0.1");
    await event(socket, "connect");
    socket.pause();
    socket.write(get("behind.bin", more));
    await event(socket, "readable");
    for (let at = 0; at < behind.length; at += 10_000) {
      socket.write(behind.slice(at, at + 10_000));
      await ask("/files/hello.txt");
    }
    const parts = [];
    socket.on("data", (part) => parts.push(part)).on("error", () => {});
    await event(socket, "close");
    const whole = Buffer.concat(parts).toString("latin1");
    assert.ok(whole.length > size, `${whole.length} bytes`);
    assert.equal(whole.split("HTTP/1.1 200 OK").length - 1, answers);
  }
});

test("more files than may be open are served all the same", async () => {
  const few = await serveDev("--files", folder, "--set", "files.open_max=64", "--set", "files.cache_file_bytes_max=1", "--shards", "1");
  for (let number = 0; number < 200; number += 1) file(`many-${number}.bin`, `number ${number}`);
  for (let number = 0; number < 200; number += 1) {
    const answer = await fetch(`${few.url}/files/many-${number}.bin`);
    assert.deepEqual([answer.status, await answer.text()], [200, `number ${number}`]);
  }
  assert.equal(await few.stop(), 0);
});

test("signed URLs open what is not public, for a while, and some of them once", async () => {
  const key = path.join(outside, "url.key");
  writeFileSync(key, randomBytes(32));
  const config = path.join(outside, "ringway.toml");
  writeFileSync(config, `shards.count = 2
[[auth.keys]]
id = "a"
algorithm = "HS256"
file = "${key}"
[files]
roots = [{ directory = "${folder}" }, { prefix = "/open/", directory = "${folder}/deep", public = true, cache_control = "max-age=60" }]
url_keys = [{ id = "2026", file = "${key}" }]
`);
  const closed = await serve(["--config", config]);
  const get = async (where) => {
    const answer = await fetch(closed.url + where);
    return [answer.status, await answer.text()];
  };
  const sign = (...args) => String(execFileSync(binary, ["url", "--config", config, ...args])).trim();
  const code = async (where) => {
    const [status, text] = await get(where);
    return [status, JSON.parse(text).code];
  };
  assert.deepEqual(await code("/files/hello.txt"), [401, "RW-2101"]);
  const url = sign("--path", "/files/hello.txt");
  for (let times = 0; times < 3; times += 1) assert.deepEqual(await get(url), [200, "hello, world\n"]);
  assert.deepEqual(await code(url.replace("hello.txt", "page.html")), [403, "RW-2706"]);
  assert.deepEqual(await code(url.slice(0, -1) + (url.endsWith("A") ? "B" : "A")), [403, "RW-2706"]);
  assert.deepEqual(await code(`${url}&download=x`), [403, "RW-2706"]);
  assert.deepEqual(await code(sign("--path", "/files/hello.txt", "--expires-in", "0")), [410, "RW-2707"]);
  // Whichever shard a connection comes to, one knows.
  for (let times = 0; times < 8; times += 1) {
    const once = sign("--path", "/files/hello.txt", "--once");
    assert.equal((await fetch(closed.url + once, { method: "HEAD" })).status, 200);
    // What gives nothing of the file is no use of it.
    for (const [headers, status] of [[{ range: "bytes=999-" }, 416], [{ "if-none-match": "*" }, 304], [{ "if-match": '"x"' }, 412]]) {
      assert.equal((await fetch(closed.url + once, { headers })).status, status);
    }
    const used = await fetch(closed.url + once);
    assert.deepEqual([used.status, used.headers.get("cache-control"), await used.text()], [200, "no-store", "hello, world\n"]);
    assert.deepEqual(await code(once), [410, "RW-2708"]);
  }
  const named = await fetch(closed.url + sign("--path", "/files/deep/er/ä b.txt", "--download", "Größe.txt"));
  assert.equal(await named.text(), "deep");
  assert.match(named.headers.get("content-disposition"), /^attachment; .*filename\*=UTF-8''Gr%C3%B6%C3%9Fe\.txt/);
  const open = await fetch(`${closed.url}/open/er/%C3%A4%20b.txt`);
  assert.deepEqual([open.headers.get("cache-control"), await open.text()], ["max-age=60", "deep"]);
  assert.equal(await closed.stop(), 0);
});

test("a root is the same root however its name is written", async () => {
  const [home, key] = [path.join(outside, "nested"), path.join(outside, "nested.key")];
  for (const name of ["pub/private", "other"]) mkdirSync(path.join(home, name), { recursive: true });
  for (const [name, text] of [["pub/o.txt", "open"], ["pub/private/s.txt", "SECRET"], ["other/f.bin", "other's"]]) writeFileSync(path.join(home, name), text);
  mkdirSync(path.join(home, "pub/files"));
  writeFileSync(path.join(home, "pub/files/f.bin"), "pub's");
  writeFileSync(key, randomBytes(32));
  const config = path.join(outside, "nested.toml");
  writeFileSync(config, `shards.count = 1
[[auth.keys]]
id = "a"
algorithm = "HS256"
file = "${key}"
[files]
roots = [
  { prefix = "/open/", directory = "${home}/pub", public = true }, { prefix = "/open/private/", directory = "${home}/pub/private" },
  { prefix = "/", directory = "${home}/pub" }, { prefix = "/files/", directory = "${home}/other" },
]
url_keys = [{ id = "2026", file = "${key}" }]
`);
  const nested = await serve(["--config", config]);
  // Not by fetch, which would write the path anew.
  const get = (where) => new Promise((resolve, reject) => {
    http.get({ host: "127.0.0.1", port: nested.port, path: where }, (response) => {
      let text = "";
      response.on("data", (chunk) => { text += chunk; }).on("end", () => resolve([response.statusCode, text]));
    }).on("error", reject);
  });
  assert.deepEqual(await get("/%6fpen/o.txt"), [200, "open"]);
  for (const where of ["/open/private/s.txt", "/open/%70rivate/s.txt", "/%6Fpen/%70%72ivate/%73.txt", "/open%2fprivate/s.txt", "/open/private%2Fs.txt"]) {
    const [status, text] = await get(where);
    assert.ok([400, 401].includes(status) && !text.includes("SECRET"), `${where}: ${status} ${text}`);
  }
  const url = String(execFileSync(binary, ["url", "--config", config, "--path", "/files/f.bin"])).trim();
  for (const written of ["/files/", "/%66iles/", "/%66%69les/"]) assert.deepEqual(await get(url.replace("/files/", written)), [200, "other's"], written);
  assert.equal(await nested.stop(), 0);
});

test("a directory that is not there keeps the daemon from starting", async () => {
  await assert.rejects(serveDev("--files", path.join(folder, "hello.txt")), /RW-1014.*hello\.txt/s);
});

test("rooms go on while files are sent", async () => {
  const [sender, member] = [io(daemon.url, { transports: ["websocket"] }), io(daemon.url, { transports: ["websocket"] })];
  await Promise.all([sender, member].map((client) => client.emitWithAck("join", "r")));
  const reader = await lazy("/files/large.bin");
  reader.on("data", () => {}).on("error", () => {});
  for (let number = 0; number < 50; number += 1) {
    const heard = event(member, "message");
    sender.emit("publish", "r", number);
    assert.deepEqual((await heard).slice(0, 2), ["r", number]);
  }
  reader.destroy();
  for (const client of [sender, member]) client.disconnect();
});

test("docs/files.md, block by block", async (t) => {
  const [five, toml, sign, uploads, sealed, ...more] = blocksOf("docs/files.md").map(({ text }) => text);
  assert.equal(more.length, 0, "every block runs here");
  const [port, admin] = [await freePort(), await freePort()];
  const home = mkdtempSync(path.join(tmpdir(), "ringway-docs-"));
  t.after(() => rmSync(home, { recursive: true }));
  const here = (text) => text.replaceAll("/tmp/ringway-files", `${home}/files`).replaceAll("/tmp/ringway-uploads", `${home}/uploads`).replaceAll("/tmp/ringway-sealed", `${home}/sealed`).replaceAll("/tmp/ringway-master-key", `${home}/master`).replaceAll("/etc/ringway", home).replaceAll("/srv", home).replaceAll("127.0.0.1:7300", `127.0.0.1:${port}`)
    .replaceAll("ringway serve --dev", `${binary} serve --dev --listen 127.0.0.1:${port} --admin 127.0.0.1:${admin}`).replaceAll("ringway url", `${binary} url`);
  // Job control as in the reader's shell; the daemon is there when it answers, however long that takes here.
  const patient = (text) => here(text).replace("sleep 1", `until curl -sf http://127.0.0.1:${admin}/ready >${home}/ready; do kill -0 %1 || exit 1; done`);
  const shown = (text) => execFileSync("bash", ["-cm", `exec 2>${home}/log\n${patient(text)}\nwait`], { encoding: "utf8" });
  assert.equal(shown(five), "hello, file\nfile");
  assert.equal(shown(uploads), "hello, file");
  assert.equal(shown(sealed), "hello, file0\n");
  for (const name of ["files", "assets"]) mkdirSync(path.join(home, name), { recursive: true });
  writeFileSync(path.join(home, "files/report 2026.pdf"), "report");
  writeFileSync(path.join(home, "assets/index.html"), "index");
  writeFileSync(path.join(home, "secret"), randomBytes(32));
  writeFileSync(path.join(home, "ringway.toml"), here(toml));
  const url = execFileSync("bash", ["-euc", here(sign)], { encoding: "utf8" }).trim();
  const documented = await serve(["--config", path.join(home, "ringway.toml")]);
  const report = await fetch(documented.url + url);
  assert.deepEqual([report.status, await report.text(), report.headers.get("content-disposition")], [200, "report", 'attachment; filename="Report.pdf"']);
  assert.equal(await (await fetch(`${documented.url}/assets/`)).text(), "index");
  assert.equal(await documented.stop(), 0);
});
