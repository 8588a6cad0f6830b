// Who may upload what: tokens, quotas, pages of other origins, rooms that hear of files, uploads that expire, and a disk that is full.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { binary, event, serve, serveDev, until } from "./daemon.mjs";
import { HS256, keyPair, keyring } from "./keyring.mjs";
import { refusals } from "./metrics.mjs";
import { BYTES, VERSION, create, metadata, offsetOf, patch, request, upload, whole } from "./tus.mjs";

const SETTINGS = `
[origins]
allowed = ["https://shop.example"]
[uploads]
directory = "FOLDER/uploads"
user_bytes_max = 10000
user_uploads_max = 3
url_seconds = 60
[[files.url_keys]]
id = "2026"
file = "FOLDER/url-key"
${HS256}
[[auth.keys]]
id = "e1"
algorithm = "ES256"
file = "FOLDER/e1.pub.pem"
private_file = "FOLDER/e1.pem"
`;

let ring, daemon;
const folder = () => path.join(ring.folder, "uploads");
const bearer = (subject, ...args) => ({ authorization: `Bearer ${ring.mint("--subject", subject, ...args)}` });
const codeOf = (answer) => JSON.parse(answer.body).code;
const named = (filename, more = {}) => ({ "upload-metadata": metadata({ filename, ...more }) });

before(async () => {
  ring = keyring(SETTINGS);
  writeFileSync(path.join(ring.folder, "url-key"), randomBytes(32));
  keyPair(ring.folder, "e1", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256");
  mkdirSync(folder());
  daemon = await serve(["--config", ring.config, "--shards", "2"]);
});

after(async () => {
  assert.equal(await daemon.stop(), 0, daemon.log());
  rmSync(ring.folder, { recursive: true });
});

// Their uploads have their homes on different shards: behind the first answer the connection goes there, with what came behind it.
test("uploads of several users on one connection, one behind the other", { timeout: 60_000 }, async () => {
  const several = keyring(HS256);
  mkdirSync(path.join(several.folder, "uploads"));
  const there = await serve(["--config", several.config, "--shards", "2", "--uploads", path.join(several.folder, "uploads")]);
  const users = await Promise.all(["u1", "u2", "u3", "u4", "u5", "u6"].map(async (subject) => {
    const headers = { authorization: `Bearer ${several.mint("--subject", subject, "--uploads", "*")}` };
    return { headers, bytes: randomBytes(200_000), where: await create(there, 200_000, headers) };
  }));
  const asked = ({ headers, where }, bytes) => [
    `PATCH ${where} HTTP/1.1`, "Host: x", "Tus-Resumable: 1.0.0", "Upload-Offset: 0", `Authorization: ${headers.authorization}`,
    "Content-Type: application/offset+octet-stream", `Content-Length: ${bytes}`, "", "",
  ].join("\r\n");
  const socket = net.connect(there.port, "127.0.0.1");
  let heard = "";
  socket.on("data", (chunk) => { heard += chunk; });
  socket.write(Buffer.concat(users.flatMap((user) => [Buffer.from(asked(user, user.bytes.length)), user.bytes])));
  await until(() => heard.split("HTTP/1.1 204").length === users.length + 1 || socket.destroyed);
  assert.equal(heard.match(/^HTTP\/1\.1 204/gm)?.length, users.length, heard);
  socket.destroy();
  for (const { headers, where } of users) assert.equal(await offsetOf(there, where, headers), 200_000);
  assert.equal(await there.stop(), 0, there.log());
  rmSync(several.folder, { recursive: true });
});

describe("tokens", { timeout: 60_000 }, () => {
  test("without one nothing is created, and nothing is told", async () => {
    const answer = await request(daemon, "POST", "/uploads/", { "upload-length": "5" });
    assert.deepEqual([answer.status, answer.headers["www-authenticate"], codeOf(answer)], [401, "Bearer", "RW-2101"]);
    assert.match(JSON.parse(answer.body).message, /Authorization: Bearer, or come by a signed URL/);
    const wrong = await request(daemon, "POST", "/uploads/", { "upload-length": "5", authorization: "Bearer a.b.c" });
    assert.deepEqual([wrong.status, codeOf(wrong)], [401, "RW-2102"]);
    assert.equal((await request(daemon, "HEAD", `/uploads/${"0".repeat(32)}`)).status, 401);
    assert.equal((await request(daemon, "OPTIONS", "/uploads/")).status, 204);
  });

  test("a name that the token does not have is refused", async () => {
    const anna = bearer("anna", "--uploads", "*.png");
    const refused = await request(daemon, "POST", "/uploads/", { "upload-length": "5", ...anna, ...named("a.exe") });
    assert.deepEqual([refused.status, codeOf(refused)], [403, "RW-2710"]);
    const where = await create(daemon, 5, { ...anna, ...named("a.png") });
    assert.equal((await patch(daemon, where, 0, Buffer.from("hello"), anna)).status, 204);
    assert.ok(whole(folder()).some(({ name, bytes }) => name.endsWith(".png") && String(bytes) === "hello"));
  });

  test("what is somebody else's is not there, on whichever shard its home is", async () => {
    for (let index = 0; index < 8; index += 1) {
      const [own, other] = [bearer(`owner-${index}`, "--uploads", "*"), bearer(`other-${index}`, "--uploads", "*")];
      const where = await create(daemon, 5, own);
      for (const method of ["HEAD", "DELETE"]) assert.equal((await request(daemon, method, where, other)).status, 404);
      assert.equal((await patch(daemon, where, 0, Buffer.from("a"), other)).status, 404);
      assert.equal((await patch(daemon, where, 0, Buffer.from("a"), own)).status, 204);
      assert.equal((await request(daemon, "DELETE", where, own)).status, 204);
      // Nor was it ever.
      for (const method of ["HEAD", "DELETE"]) assert.equal((await request(daemon, method, where, other)).status, 404);
      assert.equal((await request(daemon, "HEAD", where, own)).status, 410);
    }
  });

  test("a permission that was taken away ends what was begun with it", async () => {
    const [before, now] = [bearer("withdrawn", "--uploads", "*.png"), bearer("withdrawn", "--uploads", "*.txt")];
    const where = await create(daemon, 5, { ...before, ...named("a.png") });
    for (const answer of [await patch(daemon, where, 0, Buffer.from("hello"), now), await request(daemon, "DELETE", where, now)]) {
      assert.deepEqual([answer.status, codeOf(answer)], [403, "RW-2710"]);
    }
    assert.equal((await request(daemon, "HEAD", where, now)).status, 403);
    assert.equal(await offsetOf(daemon, where, before), 0);
    assert.equal((await patch(daemon, where, 0, Buffer.from("hello"), before)).status, 204);
  });

  test("whatever is sent is what it names instead, for those who may", async () => {
    const anna = bearer("anna", "--uploads", "*");
    const where = await create(daemon, 5, anna);
    const override = (name) => ({ "x-http-method-override": name });
    for (const name of ["PATCH", "DELETE", "POST"]) {
      for (const sent of ["OPTIONS", "GET", "POST"]) {
        const answer = await request(daemon, sent, where, { ...override(name), ...BYTES, "upload-offset": "0" });
        assert.equal(answer.status, 401, `${sent} ${name}`);
        const created = await request(daemon, sent, "/uploads/", { ...override(name), "upload-length": "5" });
        assert.deepEqual([created.status, created.headers.location], [401, undefined], `${sent} ${name}`);
      }
      const answer = await request(daemon, name, where, override("OPTIONS"));
      assert.deepEqual([answer.status, answer.headers["tus-version"]], [204, "1.0.0"], name);
    }
    assert.equal(await offsetOf(daemon, where, anna), 0);
    const patched = await request(daemon, "POST", where, { ...override("PATCH"), ...BYTES, "upload-offset": "0", ...anna }, Buffer.from("hello"));
    assert.deepEqual([patched.status, patched.headers["upload-offset"]], [204, "5"]);
    assert.equal((await request(daemon, "POST", where, { ...override("GET"), ...anna })).status, 405);
    for (const name of ["PATCH, DELETE", ["DELETE", "DELETE"]]) {
      const answer = await request(daemon, "POST", where, { ...override(name), ...anna });
      assert.deepEqual([answer.status, codeOf(answer)], [400, "RW-2802"], String(name));
    }
    assert.equal((await request(daemon, "POST", where, { ...override("DELETE"), ...anna })).status, 204);
    assert.equal((await request(daemon, "HEAD", where, anna)).status, 410);
  });

  test("a signature that takes long is waited for, on whichever shard", async () => {
    for (let index = 0; index < 8; index += 1) {
      const slow = bearer(`slow-${index}`, "--uploads", "*", "--key", "e1");
      const where = await create(daemon, 5, slow);
      assert.equal((await patch(daemon, where, 0, Buffer.from("hello"), slow)).status, 204);
      assert.equal((await patch(daemon, where, 5, Buffer.alloc(200_000), slow)).status, 413);
      const forged = { authorization: `${slow.authorization.slice(0, -8)}AAAAAAAA` };
      const refused = await patch(daemon, where, 5, Buffer.from("x"), forged);
      assert.deepEqual([refused.status, codeOf(refused)], [401, "RW-2105"]);
      assert.equal((await request(daemon, "DELETE", where, slow)).status, 204);
    }
  });

  test("whole files are read with a token for them, and with a signed URL", async () => {
    const eve = bearer("eve", "--uploads", "*", "--files", "*.txt");
    const where = await create(daemon, 5, { ...eve, ...named("a.txt") });
    await patch(daemon, where, 0, Buffer.from("hello"), eve);
    const file = `/uploads/files/${where.split("/").at(-1)}.txt`;
    const read = async (url, headers = {}) => fetch(`${daemon.url}${url}`, { headers });
    assert.equal((await read(file)).status, 401);
    assert.equal((await read(file, bearer("bob", "--files", "*.png"))).status, 403);
    assert.equal(await (await read(file, eve)).text(), "hello");
    const signed = execFileSync(binary, ["url", "--config", ring.config, "--path", file], { encoding: "utf8" }).trim();
    assert.equal(await (await read(signed)).text(), "hello");
    for (const hidden of [`/uploads/files/../parts/${where.split("/").at(-1)}.json`, "/uploads/files/"]) {
      assert.notEqual((await request(daemon, "GET", hidden, eve)).status, 200);
    }
  });
});

describe("signed URLs", { timeout: 60_000 }, () => {
  const sign = (...args) => execFileSync(binary, ["url", "--config", ring.config, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();

  test("whoever has one for writing uploads as its subject, by the published client", async () => {
    const bytes = randomBytes(5000);
    const endpoint = `${daemon.url}${sign("--write", "--path", "/uploads/", "--subject", "signed")}`;
    const url = await upload(daemon, bytes, { endpoint, chunkSize: 2000 });
    assert.ok(whole(folder()).some((file) => file.bytes.equals(bytes)));
    const where = new URL(url);
    assert.equal((await request(daemon, "HEAD", where.pathname + where.search)).status, 200);
    assert.equal((await request(daemon, "HEAD", where.pathname)).status, 401);
    assert.equal((await request(daemon, "HEAD", where.pathname, bearer("signed", "--uploads", "*"))).status, 200);
    assert.equal((await request(daemon, "DELETE", where.pathname + where.search)).status, 204);
  });

  test("parts have signed URLs, and become one", async () => {
    const bytes = randomBytes(3000);
    const source = path.join(ring.folder, "source");
    writeFileSync(source, bytes);
    const endpoint = `${daemon.url}${sign("--write", "--path", "/uploads/", "--subject", "parts")}`;
    await upload(daemon, createReadStream(source), { endpoint, parallelUploads: 2, chunkSize: Infinity });
    assert.ok(whole(folder()).some((file) => file.bytes.equals(bytes)));
  });

  test("one for reading, for another path, for one use, or of yesterday is none", async () => {
    const tried = async (url) => {
      const answer = await request(daemon, "POST", url, { "upload-length": "1" });
      return [answer.status, codeOf(answer)];
    };
    assert.deepEqual(await tried(sign("--path", "/uploads/")), [403, "RW-2706"]);
    const write = (...args) => sign("--write", "--subject", "tried", ...args);
    assert.deepEqual(await tried(write("--path", "/uploads/x").replace("/uploads/x", "/uploads/")), [403, "RW-2706"]);
    assert.deepEqual(await tried(write("--path", "/uploads/", "--expires-in", "0")), [410, "RW-2707"]);
    assert.throws(() => write("--once", "--path", "/uploads/"), /cannot be used with/);
  });

  /** What `sign` does, by hand: src/service/files/signed.rs. */
  function signByHand({ subject, rooms }) {
    const expires = String(Math.floor(Date.now() / 1000) + 60);
    const fields = ["2026", "write", "/uploads/", expires, undefined, subject, undefined, ...(rooms === undefined ? [] : [rooms])];
    const encode = (field) => {
      const bytes = Buffer.from(field ?? "");
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return Buffer.concat([Buffer.from([field === undefined ? 0 : 1]), length, bytes]);
    };
    const hmac = createHmac("sha256", readFileSync(path.join(ring.folder, "url-key"))).update("ringway url/1");
    for (const field of fields) hmac.update(encode(field));
    const pairs = [["rw-sub", subject], ["rw-room", rooms], ["rw-exp", expires], ["rw-key", "2026"], ["rw-sig", hmac.digest("base64url")]];
    return `/uploads/?${pairs.filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&")}`;
  }

  test("one for writing has a subject, by whomever it was signed", async () => {
    assert.throws(() => sign("--write", "--path", "/uploads/"), /--subject/);
    assert.throws(() => sign("--write", "--path", "/uploads/", "--subject", ""), /--subject/);
    assert.throws(() => sign("--path", "/uploads/", "--room", "*"), /--write/);
    const tried = async (grant) => (await request(daemon, "POST", signByHand(grant), { "upload-length": "1" })).status;
    assert.deepEqual(await Promise.all([{}, { subject: "" }, { subject: "x".repeat(257) }].map(tried)), [403, 403, 403]);
    assert.deepEqual(await Promise.all([{ subject: "hand" }, { subject: "hand", rooms: "room:*" }].map(tried)), [201, 201]);
  });

  test("one for writing names the rooms that hear of what comes by it, or none do", async () => {
    const tried = async (room, ...args) => {
      const url = sign("--write", "--path", "/uploads/", "--subject", `roomy-${room}`, ...args);
      const answer = await request(daemon, "POST", url, { "upload-length": "1", ...named("a", { room }) });
      if (answer.status !== 201) return [answer.status, codeOf(answer)];
      // What was created is continued by its own URL, whatever its room.
      return (await patch(daemon, answer.headers.location, 0, Buffer.from("a"))).status;
    };
    assert.deepEqual(await tried("room:1"), [403, "RW-2109"]);
    assert.deepEqual(await tried("other", "--room", "room:*"), [403, "RW-2109"]);
    assert.deepEqual(await tried("room:1", "--room", "room:*"), 204);
  });
});

describe("quotas", { timeout: 60_000 }, () => {
  test("a user has so many bytes and so many uploads", async () => {
    const rich = bearer("rich", "--uploads", "*");
    const first = await create(daemon, 6000, rich);
    const more = await request(daemon, "POST", "/uploads/", { "upload-length": "4001", ...rich });
    assert.deepEqual([more.status, codeOf(more)], [413, "RW-2810"]);
    await create(daemon, 0, rich);
    await create(daemon, 1, rich);
    const another = await request(daemon, "POST", "/uploads/", { "upload-length": "1", ...rich });
    assert.deepEqual([another.status, codeOf(another)], [413, "RW-2810"]);
    await create(daemon, 9000, bearer("poor", "--uploads", "*"));
    assert.equal((await request(daemon, "DELETE", first, rich)).status, 204);
    await create(daemon, 6000, rich);
  });

  test("a body in chunks ends where the quota does", async () => {
    const user = bearer("chunks", "--uploads", "*");
    const answer = await request(daemon, "POST", "/uploads/", { "upload-defer-length": "1", ...user });
    const where = new URL(answer.headers.location, daemon.url).pathname;
    const body = Array.from({ length: 20 }, () => Buffer.alloc(1000));
    const refused = await patch(daemon, where, 0, body, user);
    assert.deepEqual([refused.status, codeOf(refused)], [413, "RW-2810"]);
    // What was there when it was too much may count. What fits still fits, to the last byte, and there is no room for another.
    const kept = await offsetOf(daemon, where, user);
    assert.ok(kept <= 10_000, String(kept));
    assert.equal((await patch(daemon, where, kept, [Buffer.alloc(10_000 - kept)], user)).status, 204);
    assert.equal(await offsetOf(daemon, where, user), 10_000);
    assert.equal((await patch(daemon, where, 10_000, [Buffer.from("x")], user)).status, 413);
    const more = await request(daemon, "POST", "/uploads/", { "upload-length": "1", ...user });
    assert.deepEqual([more.status, codeOf(more)], [413, "RW-2810"]);
    assert.equal(await offsetOf(daemon, where, user), 10_000);
  });
});

test("control characters in what frames chunks end the connection", { timeout: 60_000 }, async () => {
  const user = bearer("framing", "--uploads", "*");
  const where = await create(daemon, 100, user);
  const lines = Object.entries({ host: "a", ...VERSION, ...BYTES, ...user, "upload-offset": "0", "transfer-encoding": "chunked" });
  const head = `PATCH ${where} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  const next = `OPTIONS /uploads/ HTTP/1.1\r\nhost: a\r\n\r\n`;
  for (const body of ["0;a=\0\r\n\r\n", "0;a\rb\r\n\r\n", "0\r\nt: \x01\r\n\r\n", "0\r\nt: a\rb: c\r\n\r\n"]) {
    const socket = net.connect(daemon.port, "127.0.0.1");
    let heard = "";
    socket.setEncoding("latin1").on("data", (text) => (heard += text));
    socket.write(`${head}${body}${next}`, "latin1");
    await until(() => socket.readableEnded);
    assert.deepEqual(heard.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 400"], JSON.stringify(body));
  }
});

describe("pages of other origins", { timeout: 60_000 }, () => {
  test("an allowed one may send what uploads need, and see what they say", async () => {
    const origin = { origin: "https://shop.example" };
    const asked = { "access-control-request-method": "PATCH", "access-control-request-headers": "tus-resumable,upload-offset" };
    const preflight = await request(daemon, "OPTIONS", "/uploads/", { ...origin, ...asked });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers["access-control-allow-origin"], "https://shop.example");
    assert.match(preflight.headers["access-control-allow-methods"], /PATCH/);
    assert.match(preflight.headers["access-control-allow-headers"], /Upload-Offset/);
    // tus-js-client with `addRequestId`, and one that overrides methods.
    for (const name of ["X-Request-ID", "X-HTTP-Method-Override"]) assert.ok(preflight.headers["access-control-allow-headers"].split(", ").includes(name), name);
    const answer = await request(daemon, "POST", "/uploads/", { "upload-length": "1", ...origin, ...bearer("page", "--uploads", "*") });
    assert.equal(answer.status, 201);
    assert.match(answer.headers["access-control-expose-headers"], /Location/);
  });

  test("so it may read what was uploaded", async () => {
    const origin = { origin: "https://shop.example" };
    const user = bearer("shopper", "--uploads", "*", "--files", "*");
    const where = await create(daemon, 5, user);
    assert.equal((await patch(daemon, where, 0, Buffer.from("hello"), user)).status, 204);
    const file = where.replace("/uploads/", "/uploads/files/");
    const preflight = await request(daemon, "OPTIONS", file, { ...origin, "access-control-request-method": "GET", "access-control-request-headers": "authorization" });
    assert.deepEqual([preflight.status, preflight.headers["access-control-allow-methods"]], [204, "GET, HEAD"]);
    const answer = await request(daemon, "GET", file, { ...origin, ...user });
    assert.deepEqual([answer.status, String(answer.body), answer.headers["access-control-allow-origin"]], [200, "hello", origin.origin]);
    assert.match(answer.headers["access-control-expose-headers"], /ETag/);
  });

  test("another one may not", async () => {
    const answer = await request(daemon, "POST", "/uploads/", { "upload-length": "1", origin: "https://evil.example", ...bearer("page", "--uploads", "*") });
    assert.deepEqual([answer.status, answer.headers["access-control-allow-origin"]], [403, undefined]);
  });
});

describe("rooms", { timeout: 60_000 }, () => {
  test("members hear of progress, and get a URL when the file is whole", async () => {
    const member = await connect(versions["4.8"], daemon.url, { ...modes["websocket only"], auth: { token: ring.mint("--subject", "member", "--join", "room:*") } }, []);
    assert.equal((await ask(member, "join", "room:1")).ok, true);
    const [progress, file] = [event(member, "progress"), event(member, "file")];
    const user = bearer("sender", "--uploads", "*", "--publish", "room:*");
    const where = await create(daemon, 10, { ...user, ...named("a b.txt", { room: "room:1" }) });
    await patch(daemon, where, 0, Buffer.from("hello"), user);
    const id = where.split("/").at(-1);
    assert.deepEqual((await progress).slice(0, 2), ["room:1", { id, offset: 5, length: 10 }]);
    await patch(daemon, where, 5, Buffer.from("world"), user);
    const [room, data, meta] = await file;
    const { url, ...rest } = data;
    assert.deepEqual([room, rest, meta.from], ["room:1", { id, bytes: 10, subject: "sender", metadata: { filename: "a b.txt", room: "room:1" } }, "server"]);
    const got = await fetch(`${daemon.url}${url}`);
    assert.equal(await got.text(), "helloworld");
    assert.match(got.headers.get("content-disposition"), /a b\.txt/);
    assert.equal((await fetch(`${daemon.url}${url.replace("rw-exp=", "rw-exp=1")}`)).status, 403);
    member.close();
  });

  test("hear no more than messages may come, and whoever begins more than it may is told to wait", async () => {
    const limited = keyring(HS256);
    mkdirSync(path.join(limited.folder, "uploads"));
    const limits = ["room_messages_per_second=1", "room_messages_burst=3", "user_events_per_second=1", "user_events_burst=8"];
    const set = limits.flatMap((limit) => ["--set", `limits.${limit}`]);
    const there = await serve(["--config", limited.config, "--shards", "2", "--uploads", path.join(limited.folder, "uploads"), ...set]);
    const member = await connect(versions["4.8"], there.url, { ...modes["websocket only"], auth: { token: limited.mint("--subject", "member", "--join", "room:*") } }, []);
    assert.equal((await ask(member, "join", "room:1")).ok, true);
    let heard = 0;
    for (const name of ["file", "progress"]) member.on(name, () => heard++);
    const headers = { "upload-length": "1", ...BYTES, authorization: `Bearer ${limited.mint("--subject", "sender", "--uploads", "*", "--publish", "room:*")}` };
    const begun = Date.now();
    const answers = await Promise.all(Array.from({ length: 20 }, () => request(there, "POST", "/uploads/", { ...headers, ...named("a", { room: "room:1" }) }, Buffer.from("x"))));
    const seconds = () => Math.ceil((Date.now() - begun) / 1000);
    const taken = answers.filter(({ status }) => status === 201).length;
    assert.ok(taken >= 8 && taken <= 8 + seconds(), `${taken}`);
    const late = answers.find(({ status }) => status !== 201);
    assert.deepEqual([late.status, codeOf(late), late.headers["retry-after"]], [429, "RW-2202", "1"]);
    // One `file` at least for each that was taken: what is not heard is counted.
    await until(async () => heard + ((await refusals(there))["RW-2203"] ?? 0) >= taken);
    assert.ok(heard >= 3 && heard <= 3 + seconds(), `${heard}`);
    member.close();
    assert.equal(await there.stop(), 0, there.log());
    rmSync(limited.folder, { recursive: true });
  });

  test("whoever may not publish to a room may not name it", async () => {
    const answer = await request(daemon, "POST", "/uploads/", { "upload-length": "1", ...bearer("stranger", "--uploads", "*"), ...named("a", { room: "room:1" }) });
    assert.deepEqual([answer.status, codeOf(answer)], [403, "RW-2109"]);
  });
});

test("an upload that nobody continues expires, and is gone with its bytes", { timeout: 60_000 }, async () => {
  const directory = path.join(ring.folder, "short");
  mkdirSync(directory);
  const short = await serveDev("--uploads", directory, "--shards", "1", "--set", "uploads.expire_seconds=2", "--set", "uploads.remember_seconds=2");
  const where = await create(short, 10);
  const { headers } = await patch(short, where, 0, Buffer.from("hello"));
  assert.ok(Date.parse(headers["upload-expires"]) > Date.now() - 2000);
  const url = await upload(short, Buffer.from("whole"));
  await until(async () => (await request(short, "HEAD", where)).status === 410);
  await until(() => readdirSync(path.join(directory, "parts")).length === 0);
  assert.deepEqual(whole(directory).map(({ bytes }) => String(bytes)), ["whole"], "a finished file stays");
  // It was whole a moment later than the other one was left.
  await until(async () => (await request(short, "HEAD", new URL(url).pathname)).status === 410);
  assert.equal(await short.stop(), 0, short.log());
});

/** A daemon whose uploads are on a disk of so many bytes; `null` where this user may mount none. */
async function onSmallDisk(bytes) {
  const directory = path.join(ring.folder, "small");
  mkdirSync(directory);
  const script = path.join(ring.folder, "small.sh");
  writeFileSync(script, `#!/bin/sh\nmount -t tmpfs -o size=${bytes} tmpfs ${directory} && exec ${binary} "$@"\n`, { mode: 0o755 });
  try {
    execFileSync("unshare", ["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", directory], { stdio: "ignore" });
  } catch {
    return null;
  }
  return serve(["--dev", "--uploads", directory, "--shards", "1"], {}, { command: ["unshare", "--map-root-user", "--mount", script] });
}

test("a full disk is said, what came before it counts, and other clients go on", { timeout: 60_000 }, async (context) => {
  const small = await onSmallDisk(1 << 20);
  if (small === null) return context.skip("no user namespaces here");
  const [where, other] = [await create(small, 4 << 20), await create(small, 10)];
  const full = await patch(small, where, 0, randomBytes(3 << 20)).catch((error) => error);
  assert.ok(full.status === 507 ? codeOf(full) === "RW-2812" : full.code !== undefined, String(full.status));
  await until(() => /RW-2812.*no space left/.test(small.log()));
  const offset = await until(() => offsetOf(small, where).catch(() => false).then((found) => found !== false && { found }));
  assert.ok(offset.found <= 1 << 20);
  assert.equal((await request(small, "DELETE", where, VERSION)).status, 204);
  assert.equal((await patch(small, other, 0, Buffer.from("helloworld"), BYTES)).status, 204);
  assert.equal(await small.stop(), 0, small.log());
});

test("a second daemon does not keep its uploads in the same place", { timeout: 60_000 }, async () => {
  await assert.rejects(serveDev("--uploads", folder()), /RW-1014.*another daemon/s);
});

test("a directory that is removed is said in the log, and other clients go on", { timeout: 60_000 }, async () => {
  const directory = path.join(ring.folder, "removed");
  mkdirSync(directory);
  const lost = await serveDev("--uploads", directory, "--shards", "1");
  assert.equal((await whole(directory)).length, 0);
  rmSync(directory, { recursive: true });
  for (let i = 0; i < 3; i++) {
    const answer = await request(lost, "POST", "/uploads/", { "upload-length": "5" });
    assert.deepEqual([answer.status, codeOf(answer)], [500, "RW-2813"]);
  }
  await until(() => lost.log().includes("RW-2813"));
  assert.match(lost.log(), /RW-2813.*no such directory any more/);
  assert.equal(lost.log().match(/RW-2813/g).length, 1, lost.log());
  assert.equal((await fetch(`${lost.admin}/ready`)).status, 200);
  assert.equal(await lost.stop(), 0, lost.log());
});

for (const [what, takeAway] of Object.entries({
  "the directory of whole files": (directory) => rmSync(path.join(directory, "whole"), { recursive: true }),
  "a part": (directory) => readdirSync(path.join(directory, "parts")).filter((name) => name.endsWith(".part")).forEach((name) => rmSync(path.join(directory, "parts", name))),
})) {
  test(`nobody is told that an upload is whole whose file is nowhere: ${what} is taken away`, { timeout: 60_000 }, async () => {
    const directory = path.join(ring.folder, `away ${what}`);
    mkdirSync(directory);
    const lost = await serveDev("--uploads", directory, "--shards", "1");
    const where = await create(lost, 10);
    assert.equal((await patch(lost, where, 0, Buffer.from("hello"), BYTES)).status, 204);
    takeAway(directory);
    const last = await patch(lost, where, 5, Buffer.from("world"), BYTES);
    assert.deepEqual([last.status, codeOf(last)], [500, "RW-2813"]);
    const head = await request(lost, "HEAD", where, VERSION);
    // Asked for its name once more, or not yet whole.
    assert.ok(head.status === 500 || head.headers["upload-offset"] === "5", `${head.status} ${head.headers["upload-offset"]}`);
    if (what !== "a part") await until(() => /RW-2813/.test(lost.log()));
    assert.equal(await lost.stop(), 0, lost.log());
  });
}
