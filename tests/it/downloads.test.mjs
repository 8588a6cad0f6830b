// Downloads that are compressed on the way, permitted by tokens, and shaped: the real daemon, and clients that know nothing of it.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { binary, event, serve, serveDev, until } from "./daemon.mjs";
import { total } from "./metrics.mjs";

const curl = promisify(execFile);
const [WORDS, KIB] = ["ringway files rooms shards laps sockets uploads order ready".split(" "), 1024];
let folder, daemon;

/** Text that compresses as text does, another one for each seed. */
function text(bytes, seed = 1) {
  let [state, out] = [seed, ""];
  while (out.length < bytes) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    out += `${WORDS[(state >>> 16) % WORDS.length]} ${state >>> 20}\n`;
  }
  return Buffer.from(out.slice(0, bytes));
}

const file = (name, body) => writeFileSync(path.join(folder, name), body);

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "ringway-downloads-"));
  daemon = await serveDev("--files", folder, "--shards", "1");
});
after(async () => {
  assert.equal(await daemon.stop(), 0);
  rmSync(folder, { recursive: true });
});

/** An answer as it is on the wire: status, headers and the body's bytes, not decoded. */
const ask = (where, headers = {}, { method = "GET", from = daemon } = {}) => new Promise((resolve, reject) => {
  const request = http.request({ port: from.port, host: "127.0.0.1", path: where, method, headers });
  request.on("error", reject).on("response", (response) => {
    const parts = [];
    response.on("data", (part) => parts.push(part)).on("error", reject);
    response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, raw: response.rawHeaders, body: Buffer.concat(parts) }));
  });
  request.end();
});

const decoders = { gzip: zlib.gunzipSync, br: zlib.brotliDecompressSync, zstd: (body) => execFileSync("zstd", ["-dcq"], { input: body, maxBuffer: 64 << 20 }) };
const decode = (answer) => (decoders[answer.headers["content-encoding"]] ?? ((body) => body))(answer.body);
const without = ({ date: _, ...headers }) => headers;

test("what compresses arrives compressed, and is what it was", async () => {
  for (const size of [KIB, 20_000, 64 * KIB, 64 * KIB + 1, 300 * KIB, (3 << 20) + 7]) {
    const [name, body] = [`text-${size}.txt`, text(size, size)];
    file(name, body);
    for (const coding of Object.keys(decoders)) {
      for (const turn of ["first", "again"]) {
        const answer = await ask(`/files/${name}`, { "accept-encoding": coding });
        const what = `${size} ${coding} ${turn}`;
        assert.equal(answer.status, 200, what);
        assert.equal(answer.headers["content-encoding"], coding, what);
        assert.ok(answer.body.length < size, what);
        assert.ok(decode(answer).equals(body), what);
        assert.equal(answer.headers.vary, "Accept-Encoding");
        assert.match(answer.headers.etag, /^W\/"/);
        assert.equal(answer.headers["accept-ranges"], undefined, "there are no ranges of what is made on the way");
        // A small file is made whole before it goes out; a large one is kept if what it came to is not too large.
        const isMade = size <= 64 * KIB || turn === "again";
        assert.equal(answer.headers["content-length"], isMade ? String(answer.body.length) : undefined, what);
        assert.equal(answer.headers["transfer-encoding"], isMade ? undefined : "chunked", what);
      }
    }
    const plain = await ask(`/files/${name}`);
    assert.ok(plain.body.equals(body));
    assert.deepEqual([plain.headers["content-encoding"], plain.headers.vary, plain.headers["accept-ranges"]], [undefined, "Accept-Encoding", "bytes"]);
  }
});

test("what does not compress, or is too small or too large, goes out as it is", async () => {
  file("noise.bin", randomBytes(5000));
  file("small.txt", text(KIB - 1));
  file("huge.txt", text((8 << 20) + 1));
  for (const name of ["noise.bin", "small.txt", "huge.txt"]) {
    const { headers } = await ask(`/files/${name}`, { "accept-encoding": "gzip, br, zstd" });
    assert.deepEqual([headers["content-encoding"], headers["accept-ranges"]], [undefined, "bytes"], name);
    assert.doesNotMatch(headers.etag, /^W/);
  }
});

test("fetch and curl read it as they read everything", async () => {
  const body = text(2 << 20, 5);
  file("clients.json", body);
  const fetched = await fetch(`${daemon.url}/files/clients.json`);
  assert.equal(fetched.headers.get("content-encoding"), "gzip");
  assert.ok(Buffer.from(await fetched.arrayBuffer()).equals(body));
  for (const headers of [[], ["-H", "Accept-Encoding: br"], ["-H", "Accept-Encoding: gzip"], ["--http1.0"]]) {
    const { stdout } = await curl("curl", ["-sS", "--compressed", ...headers, `${daemon.url}/files/clients.json`], { encoding: "buffer", maxBuffer: 64 << 20 });
    assert.ok(stdout.equals(body), String(headers));
  }
  // RFC 9112 6.1: it knows no chunks, so it gets what has a length.
  const { stdout: head } = await curl("curl", ["-sS", "--http1.0", "-D-", "-o/dev/null", "-H", "Accept-Encoding: zstd;q=0.1, gzip;q=0.2", `${daemon.url}/files/text-307200.txt?x`]);
  assert.doesNotMatch(head, /content-encoding/i);
  assert.match(head, /content-length: 307200/i);
});

test("several requests on one connection, whatever is between them", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const get = (where, headers) => new Promise((resolve, reject) => {
    http.get({ port: daemon.port, host: "127.0.0.1", agent, path: where, headers }, (response) => {
      const [parts, port] = [[], response.socket.localPort];
      response.on("data", (part) => parts.push(part)).on("end", () => resolve([port, decode({ headers: response.headers, body: Buffer.concat(parts) })]));
    }).on("error", reject);
  });
  const ports = new Set();
  for (const [name, coding] of [["text-20000.txt", "gzip"], ["text-307200.txt", "br"], ["noise.bin", "gzip"], ["text-3145735.txt", "zstd"], ["text-20000.txt", "identity"]]) {
    const [port, body] = await get(`/files/${name}`, { "accept-encoding": coding });
    ports.add(port);
    const plain = await ask(`/files/${name}`);
    assert.ok(body.equals(plain.body), name);
  }
  assert.equal(ports.size, 1);
  agent.destroy();
});

test("pipelined requests are answered in their order", async () => {
  const socket = net.connect(daemon.port, "127.0.0.1");
  const paths = ["text-20000.txt", "noise.bin", "text-20000.txt"];
  const requests = paths.map((name, at) => `GET /files/${name} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: ${at === 2 ? "close" : "keep-alive"}\r\n\r\n`);
  socket.write(requests.join(""));
  const parts = [];
  socket.on("data", (part) => parts.push(part));
  await event(socket, "end");
  const heads = Buffer.concat(parts).toString("latin1").match(/HTTP\/1\.1 200 OK[^]*?\r\n\r\n/g);
  assert.deepEqual(heads.map((head) => /content-encoding: (\S+)/i.exec(head)?.[1]), ["gzip", undefined, "gzip"]);
});

test("HEAD and conditions say the same of it as GET does", async () => {
  file("conditions.txt", text(100 * KIB, 9));
  const where = "/files/conditions.txt";
  const accept = { "accept-encoding": "gzip" };
  const before = await ask(where, accept, { method: "HEAD" });
  const get = await ask(where, accept);
  assert.deepEqual(without(before.headers), without(get.headers), "while it is made");
  const [head, again] = [await ask(where, accept, { method: "HEAD" }), await ask(where, accept)];
  assert.deepEqual(without(head.headers), without(again.headers), "when it was made");
  assert.equal(head.body.length + before.body.length, 0);
  const { etag, "last-modified": modified } = get.headers;
  const plain = (await ask(where)).headers.etag;
  assert.notEqual(`W/${plain}`, etag);
  for (const [conditions, status] of [
    [{ "if-none-match": etag }, 304], [{ "if-none-match": etag.slice(2) }, 304], [{ "if-none-match": plain }, 200], [{ "if-modified-since": modified }, 304],
    [{ "if-match": etag }, 412], [{ "if-match": plain }, 412], [{ "if-match": "*" }, 200],
  ]) {
    const answer = await ask(where, { ...accept, ...conditions });
    assert.equal(answer.status, status, JSON.stringify(conditions));
    if (status === 304) assert.deepEqual([answer.body.length, answer.headers.etag, answer.headers.vary], [0, etag, "Accept-Encoding"]);
  }
  // A range is of the file as it is, and says so.
  const range = await ask(where, { ...accept, range: "bytes=10-19" });
  assert.deepEqual([range.status, range.headers["content-encoding"], range.headers.etag, String(range.body)], [206, undefined, plain, String(text(100 * KIB, 9).subarray(10, 20))]);
  const unlike = await ask(where, { ...accept, range: "bytes=10-19", "if-range": etag });
  assert.deepEqual([unlike.status, unlike.headers.etag, unlike.body.length], [200, plain, 100 * KIB]);
});

test("many who want a small file at once have it opened and compressed once", async () => {
  const work = async () => Promise.all(["ringway_file_jobs_total", "ringway_file_operations_total"].map((name) => total(daemon, name)));
  const missing = () => total(daemon, "ringway_refusals_total", { code: "RW-2702" });
  const cost = async (name, times) => {
    file(name, text(30_000, 3));
    // Counters are copied five times a second, all at once: with this refusal what was done before it.
    const refused = await missing();
    assert.equal((await ask("/files/not-there.css", {})).status, 404);
    await until(async () => (await missing()) > refused);
    const before = await work();
    const answers = await Promise.all(Array.from({ length: times }, () => ask(`/files/${name}`, { "accept-encoding": "gzip" })));
    for (const answer of answers) assert.ok(decode(answer).equals(text(30_000, 3)));
    await until(async () => (await work())[0] > before[0]);
    return (await work()).map((value, at) => value - before[at]);
  };
  assert.deepEqual(await cost("for-many.css", 64), await cost("for-one.css", 1));
});

/** A client that asks and reads nothing until it is told to. */
async function lazy(where, coding, from = daemon) {
  const socket = net.connect(from.port, "127.0.0.1");
  await event(socket, "connect");
  socket.pause();
  socket.write(`GET ${where} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${coding}\r\n\r\n`);
  return socket;
}

test("a reader that does not read stops the compressing, and one that goes ends it", async () => {
  const size = 6 << 20;
  const tight = Buffer.from(randomBytes(size).toString("base64").slice(0, size));
  for (const name of ["unread.txt", "left.txt", "read.txt", "read-too.txt"]) file(name, tight);
  const encoded = () => total(daemon, "ringway_file_bytes_encoded_total");
  const start = await encoded();
  const sockets = [await lazy("/files/unread.txt", "gzip"), await lazy("/files/left.txt", "zstd")];
  await Promise.all(sockets.map((socket) => event(socket, "readable")));
  sockets[1].destroy();
  // As much work of others as theirs would have been, twice, goes through the same threads.
  for (const name of ["read.txt", "read-too.txt"]) assert.ok(decode(await ask(`/files/${name}`, { "accept-encoding": "gzip" })).equals(tight));
  await until(async () => (await encoded()) - start >= 2 * size);
  const theirs = (await encoded()) - start - 2 * size;
  assert.ok(theirs < size, `${theirs} bytes for two readers that take nothing`);
  // And it goes on where it stopped.
  const parts = [];
  const ended = event(sockets[0], "end");
  sockets[0].on("data", (part) => {
    parts.push(part);
    if (part.subarray(-7).equals(Buffer.from("\r\n0\r\n\r\n"))) sockets[0].end();
  });
  await ended;
  const whole = Buffer.concat(parts);
  const from = whole.indexOf("\r\n\r\n") + 4;
  assert.ok(zlib.gunzipSync(unchunked(whole.subarray(from))).equals(tight));
});

/** The bytes within chunks. */
function unchunked(body) {
  const parts = [];
  for (let at = 0; ;) {
    const line = body.indexOf("\r\n", at);
    const count = Number.parseInt(body.subarray(at, line), 16);
    if (count === 0) return Buffer.concat(parts);
    parts.push(body.subarray(line + 2, line + 2 + count));
    at = line + 2 + count + 2;
  }
}

test("a file that is cut short while it is compressed has no end, and others have theirs", async () => {
  const size = 6 << 20;
  file("shrinking.txt", randomBytes(size).toString("base64").slice(0, size));
  const socket = await lazy("/files/shrinking.txt", "gzip");
  await event(socket, "readable");
  truncateSync(path.join(folder, "shrinking.txt"), 100_000);
  let tail = Buffer.alloc(0);
  socket.on("data", (part) => { tail = Buffer.concat([tail, part]).subarray(-16); }).on("error", () => {});
  await event(socket, "close");
  assert.ok(!tail.includes("\r\n0\r\n\r\n"), "its end must not look like one");
  await until(async () => (await total(daemon, "ringway_file_encodings_cut_total")) === 1);
  assert.equal((await ask("/files/text-20000.txt", { "accept-encoding": "gzip" })).status, 200);
});

test("a client that has said all gets all", async () => {
  const body = text(400 * KIB, 77);
  file("half-open.txt", body);
  const socket = net.connect({ port: daemon.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end("GET /files/half-open.txt HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\n\r\n");
  const parts = [];
  socket.on("data", (part) => parts.push(part));
  await event(socket, "end");
  socket.destroy();
  const whole = Buffer.concat(parts);
  assert.ok(zlib.brotliDecompressSync(unchunked(whole.subarray(whole.indexOf("\r\n\r\n") + 4))).equals(body));
});

test("without memory for it, or switched off, files go out as they are", async () => {
  const body = text(500 * KIB, 4);
  file("budget.txt", body);
  const poor = await serveDev("--files", folder, "--shards", "1", "--set", "files.compress_memory_bytes_max=1", "--set", "files.compress_zstd_level=0");
  const answer = await ask("/files/budget.txt", { "accept-encoding": "gzip" }, { from: poor });
  assert.deepEqual([answer.headers["content-encoding"], answer.headers.vary, answer.headers["content-length"]], [undefined, "Accept-Encoding", String(body.length)]);
  assert.ok(answer.body.equals(body));
  await until(async () => (await total(poor, "ringway_files_encodings_refused_total")) === 1);
  const small = await ask("/files/text-20000.txt", { "accept-encoding": "zstd, gzip;q=0.5" }, { from: poor });
  assert.equal(small.headers["content-encoding"], "gzip", "what is small needs no memory for long; zstd is not made at level 0");
  assert.equal(await poor.stop(), 0);
  const off = await serveDev("--files", folder, "--shards", "1", "--set", "files.compress=false");
  const plain = await ask("/files/text-20000.txt", { "accept-encoding": "gzip, br, zstd" }, { from: off });
  assert.deepEqual([plain.headers["content-encoding"], plain.body.length], [undefined, 20_000]);
  assert.equal(await off.stop(), 0);
});

/** A daemon whose files are not public; `set` goes into its configuration. */
async function closed(t, set = "", { algorithm = "HS256" } = {}) {
  const home = mkdtempSync(path.join(tmpdir(), "ringway-closed-"));
  t.after(() => rmSync(home, { recursive: true }));
  const key = algorithm === "HS256" ? { file: "secret" } : { file: "key.pub", private_file: "key.pem" };
  writeFileSync(path.join(home, "secret"), randomBytes(32));
  if (algorithm !== "HS256") {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256", privateKeyEncoding: { type: "pkcs8", format: "pem" }, publicKeyEncoding: { type: "spki", format: "pem" } });
    writeFileSync(path.join(home, "key.pem"), privateKey);
    writeFileSync(path.join(home, "key.pub"), publicKey);
  }
  const config = path.join(home, "ringway.toml");
  const files = Object.entries(key).map(([name, where]) => `${name} = "${home}/${where}"`).join("\n");
  writeFileSync(config, `shards.count = 1
[[auth.keys]]
id = "a"
algorithm = "${algorithm}"
${files}
[files]
roots = [{ directory = "${folder}" }, { prefix = "/open/", directory = "${folder}", public = true }, { prefix = "/index/", directory = "${folder}", public = true, index = "index.html" }]
url_keys = [{ id = "u", file = "${home}/secret" }]
${set}
`);
  const started = await serve(["--config", config, "--set", "auth.leeway_seconds=0"]);
  t.after(async () => assert.equal(await started.stop(), 0));
  const run = (...args) => execFileSync(binary, [args[0], "--config", config, ...args.slice(1)], { encoding: "utf8" }).trim();
  return Object.assign(started, { run, token: (subject, ...args) => run("token", "--subject", subject, ...args) });
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });

for (const algorithm of ["HS256", "ES256"]) {
  test(`a token opens the files that it names (${algorithm})`, async (t) => {
    const daemon = await closed(t, "", { algorithm });
    file("anna.txt", "for anna");
    file("bert.txt", "for bert");
    const token = daemon.token("anna", "--files", "anna*");
    const say = async (name, headers = {}) => {
      const answer = await fetch(`${daemon.url}/files/${name}`, { headers });
      const body = await answer.text();
      return answer.ok ? [answer.status, body] : [answer.status, JSON.parse(body).code, answer.headers.get("www-authenticate")];
    };
    assert.deepEqual(await say("anna.txt", bearer(token)), [200, "for anna"]);
    assert.deepEqual(await say("anna.txt", { authorization: `bEARER ${token}` }), [200, "for anna"]);
    assert.deepEqual(await say("bert.txt", bearer(token)), [403, "RW-2710", null]);
    assert.deepEqual(await say("bert.txt", bearer(daemon.token("bert", "--join", "*", "--publish", "*", "--uploads", "*"))), [403, "RW-2710", null]);
    assert.deepEqual(await say("anna.txt"), [401, "RW-2101", "Bearer"]);
    assert.match((await (await fetch(`${daemon.url}/files/anna.txt`)).json()).message, /Authorization: Bearer, or come by a signed URL/);
    assert.deepEqual(await say("anna.txt", { authorization: `Basic ${token}` }), [401, "RW-2101", "Bearer"]);
    const invalid = 'Bearer error="invalid_token"';
    assert.deepEqual(await say("anna.txt", bearer(daemon.token("anna", "--files", "*", "--expires-in", "0"))), [401, "RW-2106", invalid]);
    assert.deepEqual(await say("anna.txt", bearer(`${token.slice(0, -6)}AAAAAA`)), [401, "RW-2105", invalid]);
    assert.deepEqual(await say("anna.txt", bearer("x.y.z")), [401, "RW-2102", invalid]);
    assert.deepEqual(await say("nobody.txt", bearer(daemon.token("anna", "--files", "*"))), [404, "RW-2702", null]);
    // A path is what it names, however it is written; and a signed URL opens its file without a token.
    assert.deepEqual(await say("%61nna.txt", bearer(token)), [200, "for anna"]);
    const url = daemon.run("url", "--path", "/files/bert.txt");
    assert.equal(await (await fetch(daemon.url + url)).text(), "for bert");
    assert.equal(await (await fetch(`${daemon.url}/open/bert.txt`)).text(), "for bert");
  });
}

/** Seconds that a request takes, and its answer. */
async function timed(daemon, where, headers = {}) {
  const start = performance.now();
  const answer = await ask(where, headers, { from: daemon });
  return [(performance.now() - start) / 1000, answer];
}

test("bytes of a connection go no faster than its rate, in each form", async (t) => {
  const rate = 400_000;
  const daemon = await closed(t, `[limits]\nconnection_download_bytes_per_second = ${rate}\nconnection_download_burst_bytes = 50_000`);
  const noise = randomBytes(450_000);
  file("rate.bin", noise);
  file("rate-small.bin", noise.subarray(0, 60_000));
  file("rate.txt", noise.toString("base64").slice(0, 550_000));
  // An open file, what is compressed on the way, and that once more, out of memory.
  for (const [name, coding] of [["rate.bin", "identity"], ["rate.txt", "gzip"], ["rate.txt", "gzip"]]) {
    const [seconds, answer] = await timed(daemon, `/open/${name}`, { "accept-encoding": coding });
    assert.ok(decode(answer).equals(decode(await ask(`/files/${name}`))), name);
    const least = (answer.body.length - 50_000) / rate;
    assert.ok(least > 0.8 && seconds >= least * 0.99, `${name}: ${answer.body.length} bytes in ${seconds} s`);
  }
  await until(async () => (await total(daemon, "ringway_file_rate_waits_total")) > 3);
  // A second connection does not wait for the first one, and others are served meanwhile.
  const slow = Promise.all([1, 2, 3].map(() => timed(daemon, "/open/rate.bin")));
  const [quick, small] = await timed(daemon, "/open/rate-small.bin", { range: "bytes=0-9999" });
  assert.ok(small.status === 206 && quick < 0.7, `${quick} s`);
  for (const [, answer] of await slow) assert.ok(answer.body.equals(noise));
  // While it waits nothing of it is in the arena or in the way of its end.
  const left = await lazy("/open/rate.bin", "identity", daemon);
  await event(left, "readable");
  left.destroy();
  await until(async () => (await total(daemon, "ringway_file_transfers")) === 0);
});

test("a user's connections share the user's rate, and a signed URL has none", async (t) => {
  const rate = 400_000;
  const daemon = await closed(t, `[limits]\nuser_download_bytes_per_second = ${rate}\nuser_download_burst_bytes = 50_000`);
  file("shared.bin", randomBytes(250_000));
  const token = (name) => bearer(daemon.token(name, "--files", "*"));
  const anna = token("anna");
  const start = performance.now();
  await Promise.all([1, 2].map(() => ask("/files/shared.bin", anna, { from: daemon })));
  const seconds = (performance.now() - start) / 1000;
  assert.ok(seconds >= (2 * 250_000 - 50_000) / rate * 0.99, `${seconds} s`);
  // Nobody gets all: when the first of five has its file the others have most of theirs.
  const got = [0, 0, 0, 0, 0];
  const readers = got.map((_, at) => {
    const socket = net.connect(daemon.port, "127.0.0.1");
    socket.write(`GET /files/shared.bin HTTP/1.1\r\nHost: x\r\nAuthorization: ${anna.authorization}\r\n\r\n`);
    return socket.on("data", (part) => { got[at] += part.length; });
  });
  await until(() => got.some((bytes) => bytes >= 250_000));
  assert.ok(Math.min(...got) > 125_000, got.join());
  for (const socket of readers) socket.destroy();
  // Counters are copied five times a second, all at once: with this refusal what was done before it.
  const waited = async () => {
    const missing = () => total(daemon, "ringway_refusals_total", { code: "RW-2702" });
    const refused = await missing();
    assert.equal((await ask("/files/not-there.bin", token("bert"), { from: daemon })).status, 404);
    await until(async () => (await missing()) > refused);
    return total(daemon, "ringway_file_rate_waits_total");
  };
  await until(async () => (await total(daemon, "ringway_connections")) === 0);
  const waits = await waited();
  const free = await ask(daemon.run("url", "--path", "/files/shared.bin"), {}, { from: daemon });
  assert.deepEqual([free.status, free.body.length], [200, 250_000]);
  assert.equal(await waited(), waits);
});

test("a signed URL shares the rate of whom it is for", async (t) => {
  const rate = 400_000;
  const daemon = await closed(t, `[limits]\nuser_download_bytes_per_second = ${rate}\nuser_download_burst_bytes = 50_000`);
  file("shared.bin", randomBytes(250_000));
  const url = (...args) => daemon.run("url", "--path", "/files/shared.bin", "--subject", "anna", ...args);
  for (const where of [url(), url("--once")]) {
    const start = performance.now();
    const token = bearer(daemon.token("anna", "--files", "*"));
    const answers = await Promise.all([ask(where, {}, { from: daemon }), ask("/files/shared.bin", token, { from: daemon })]);
    assert.deepEqual(answers.map(({ status, body }) => [status, body.length]), [[200, 250_000], [200, 250_000]]);
    const seconds = (performance.now() - start) / 1000;
    assert.ok(seconds >= (2 * 250_000 - 50_000) / rate * 0.99, `${seconds} s`);
  }
});

test("pages of other origins read files, and see what they need of the answers", async (t) => {
  const daemon = await closed(t, '[origins]\nallowed = ["https://app.example"]');
  file("page.txt", "a".repeat(2000));
  file("page.png", "b");
  const origin = { origin: "https://app.example" };
  const asked = { "access-control-request-method": "GET", "access-control-request-headers": "authorization,range" };
  const say = async (where, headers, method = "GET") => {
    const { status, headers: said } = await ask(where, headers, { method, from: daemon });
    return { status, vary: said.vary, allowed: said["access-control-allow-origin"], seen: said["access-control-expose-headers"], said };
  };
  // The question comes without a token, and whether there is such a file is not its answer.
  for (const where of ["/files/page.txt", "/files/not-there", "/open/page.txt"]) {
    const { status, allowed, said } = await say(where, { ...origin, ...asked }, "OPTIONS");
    assert.deepEqual([status, allowed, said.vary, said["access-control-max-age"]], [204, origin.origin, "Origin", "600"], where);
    assert.equal(said["access-control-allow-methods"], "GET, HEAD");
    for (const name of ["Authorization", "Range", "If-None-Match", "If-Modified-Since", "If-Range"]) assert.ok(said["access-control-allow-headers"].split(", ").includes(name), name);
  }
  // OPTIONS that is no such question is a method like any other.
  assert.deepEqual([(await say("/open/page.txt", origin, "OPTIONS")).status, (await say("/open/page.txt", asked, "OPTIONS")).status], [405, 405]);
  const token = bearer(daemon.token("anna", "--files", "*"));
  const { said: { etag } } = await say("/open/page.txt", {});
  for (const [where, headers, status, vary] of [
    ["/open/page.txt", {}, 200, "Accept-Encoding, Origin"],
    ["/open/page.txt", { "accept-encoding": "gzip" }, 200, "Accept-Encoding, Origin"],
    ["/open/page.png", {}, 200, "Origin"],
    ["/open/page.txt", { range: "bytes=0-1" }, 206, "Accept-Encoding, Origin"],
    ["/open/page.txt", { "if-none-match": etag }, 304, "Accept-Encoding, Origin"],
    ["/open/page.txt", { "if-match": '"other"' }, 412, "Origin"],
    ["/open/page.txt", { range: "bytes=9999-" }, 416, "Origin"],
    ["/open/not-there", {}, 404, "Origin"],
    ["/files/page.txt", {}, 401, "Origin"],
    ["/files/page.txt", token, 200, "Accept-Encoding, Origin"],
  ]) {
    const what = `${where} ${JSON.stringify(headers)}`;
    for (const method of ["GET", "HEAD"]) {
      if (method === "HEAD" && headers.range !== undefined) continue;
      const page = await say(where, { ...headers, ...origin }, method);
      assert.deepEqual([page.status, page.allowed, page.vary], [status, origin.origin, vary], what);
      for (const name of ["ETag", "Content-Range", "Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Last-Modified"]) assert.ok(page.seen.split(", ").includes(name), name);
      // What nobody's page asked for must not be what a cache gives to one.
      const other = await say(where, headers, method);
      assert.deepEqual([other.status, other.allowed, other.vary, other.seen], [status, undefined, vary, undefined], what);
    }
  }
  // Others get what they get elsewhere.
  for (const [method, headers] of [["OPTIONS", asked], ["GET", {}], ["HEAD", {}]]) {
    const { status, allowed } = await say("/open/page.txt", { origin: "https://evil.example", ...headers }, method);
    assert.deepEqual([status, allowed], [403, undefined], method);
  }
});

test("every answer says when it was made", async (t) => {
  const uploads = mkdtempSync(path.join(tmpdir(), "ringway-dated-"));
  t.after(() => rmSync(uploads, { recursive: true }));
  const daemon = await closed(t, `[uploads]\ndirectory = "${uploads}"`);
  mkdirSync(path.join(folder, "dated"), { recursive: true });
  file("dated.txt", "a".repeat(2000));
  file("dated.bin", randomBytes(300_000));
  const { headers: { etag } } = await ask("/open/dated.txt", {}, { from: daemon });
  const tus = { "tus-resumable": "1.0.0" };
  for (const [method, where, headers, status] of [
    ["GET", "/open/dated.txt", {}, 200],
    ["GET", "/open/dated.txt", { "accept-encoding": "gzip" }, 200],
    ["GET", "/open/dated.bin", {}, 200],
    ["HEAD", "/open/dated.bin", {}, 200],
    ["GET", "/open/dated.bin", { range: "bytes=0-9,20-29" }, 206],
    ["GET", "/index/dated", {}, 301],
    ["GET", "/open/dated.txt", { "if-none-match": etag }, 304],
    ["GET", "/open/%2e%2e", {}, 400],
    ["GET", "/files/dated.txt", {}, 401],
    ["GET", "/files/dated.txt", bearer(daemon.token("anna", "--files", "other")), 403],
    ["GET", "/open/not-there", {}, 404],
    ["POST", "/open/dated.txt", {}, 405],
    ["GET", "/open/dated.txt", { "if-match": '"other"' }, 412],
    ["GET", "/open/dated.txt", { range: "bytes=9999-" }, 416],
    ["OPTIONS", "/uploads/", {}, 204],
    ["POST", "/uploads/", { "upload-length": "1", ...tus }, 401],
    ["POST", "/uploads/", { "upload-length": "1", ...tus, ...bearer(daemon.token("anna", "--uploads", "*")) }, 201],
    ["POST", "/uploads/", { ...tus, ...bearer(daemon.token("anna", "--uploads", "*")) }, 400],
    ["HEAD", "/uploads/00000000000000000000000000000000", { ...tus, ...bearer(daemon.token("anna", "--uploads", "*")) }, 404],
    ["GET", "/socket.io/?EIO=4&transport=polling", {}, 200],
    ["GET", "/nothing", {}, 404],
  ]) {
    const [answer, what] = [await ask(where, headers, { method, from: daemon }), `${method} ${where} ${JSON.stringify(headers)}`];
    assert.equal(answer.status, status, what);
    assert.ok(Math.abs(Date.parse(answer.headers.date) - Date.now()) < 5000, `${what}: ${answer.headers.date}`);
    assert.equal(answer.raw.filter((name) => name.toLowerCase() === "date").length, 1, what);
  }
});
