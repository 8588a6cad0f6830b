// Hostile bytes on real sockets: each gets a clear answer, one code is counted, and a bystander on the same shard notices nothing.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import zlib from "node:zlib";
import { ask, connect, modes, versions } from "./clients.mjs";
import { serve, until } from "./daemon.mjs";
import { refusals, since, total } from "./metrics.mjs";
import { BINARY, CLOSE, PING, TEXT, Wire, closing, frame, head, upgrade } from "./raw.mjs";

const [FRAGMENTS_MAX, NAMESPACES_MAX, ATTACHMENTS_MAX, PAYLOAD_MAX] = [64, 64, 32, 1_000_000];
// A POST may have many messages.
const POST_MAX = PAYLOAD_MAX * 1.5;
let daemon, bystander, operator;
const heard = [];

before(async () => {
  daemon = await serve([
    "--dev", "--shards", "1", "--set", "websocket.deflate=true", "--set", `websocket.fragments_max=${FRAGMENTS_MAX}`,
    "--set", "limits.head_timeout_ms=1000", "--set", "engine.connect_timeout_ms=2000",
  ]);
  [bystander, operator] = [await connect(versions["4.8"], daemon.url, modes["websocket only"]), await connect(versions["4.8"], daemon.url, modes["polling then upgrade"])];
  bystander.on("message", (_room, data, meta) => heard.push([data, meta.offset]));
  bystander.on("disconnect", (reason) => heard.push(reason));
  assert.equal((await ask(bystander, "join", "quiet")).ok, true);
});
after(async () => {
  bystander?.close();
  operator?.close();
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const wires = [];
afterEach(() => wires.splice(0).forEach((wire) => wire.close()));

/** A connection that ends with its test, after it sent these bytes. */
async function open(...bytes) {
  const wire = await Wire.open(daemon.port);
  wires.push(wire);
  return wire.send(...bytes);
}

/** The bystander is still there, and has every message so far, once and in order. */
async function undisturbed() {
  const count = heard.length;
  const { ok, offset } = await ask(operator, "publish", "quiet", count);
  assert.equal(ok, true);
  await until(() => heard.length > count);
  // What was heard before was held against its number then.
  assert.deepEqual(heard.slice(count), [[count, offset]]);
  assert.equal(offset, heard[0][1] + count);
}

/** Runs `attack`, then holds that these codes were counted and no others. */
async function counts(codes, attack) {
  const earlier = await refusals(daemon);
  await attack();
  let moved = [];
  await until(async () => {
    // The bystander's own traffic makes the shard copy its numbers out.
    await undisturbed();
    moved = Object.keys(since(earlier, await refusals(daemon)));
    return codes.every((code) => moved.includes(code));
  });
  assert.deepEqual(moved.sort(), codes);
}

const long = (count) => "x".repeat(count);
const GET = "GET /nowhere HTTP/1.1";
const POST = "POST /nowhere HTTP/1.1";

// What stands on a fresh connection, the status that comes back, and what is counted.
const REQUESTS = [
  ["a head that is too large", head(GET, `A: ${long(20_000)}`), 431, "RW-2001"],
  ["a head that never ends", `${GET}\r\nHost: it\r\nA: ${long(20_000)}`, 431, "RW-2001"],
  ["a flood of headers", head(GET, ...Array.from({ length: 100 }, (_, i) => `A${i}: b`)), 431, "RW-2001"],
  ["a target that never ends", `GET /${long(20_000)}`, 431, "RW-2001"],
  ["a greeting of TLS", Buffer.from("16030100c8010000c40303", "hex"), 400, "RW-2001"],
  ["bytes of no protocol", Buffer.alloc(64, 0xff), 400, "RW-2001"],
  ["HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "RW-2001"],
  ["RFC 9112 3.2: no Host", "GET / HTTP/1.1\r\n\r\n", 400, "RW-2001"],
  ["RFC 9112 3.2: two Hosts", head(GET, "Host: a", "Host: b"), 400, "RW-2001"],
  ["RFC 9112 5.1: a space before the colon", head(POST, "Content-Length : 5"), 400, "RW-2001"],
  ["RFC 9112 5.2: a folded header", head(GET, "A: b", " c"), 400, "RW-2001"],
  ["RFC 9110 5.5: NUL in a header", head(GET, "A: b\0c"), 400, "RW-2001"],
  ["RFC 9112 6.1: length and coding", head(POST, "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "RW-2001"],
  ["RFC 9112 6.1: a coding in HTTP/1.0", head("POST / HTTP/1.0", "Transfer-Encoding: chunked"), 400, "RW-2001"],
  ["RFC 9112 6.1: a coding before chunked", head(POST, "Transfer-Encoding: gzip, chunked"), 501, "RW-2001"],
  ["RFC 9112 6.1: chunked twice", head(POST, "Transfer-Encoding: chunked, chunked"), 501, "RW-2001"],
  ["RFC 9112 6.1: chunked in two headers", head(POST, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 400, "RW-2001"],
  ["RFC 9112 6.1: nearly chunked", head(POST, "Transfer-Encoding: xchunked"), 501, "RW-2001"],
  ["RFC 9112 6.3: two lengths", head(POST, "Content-Length: 5", "Content-Length: 6"), 400, "RW-2001"],
  ["RFC 9112 6.3: a length twice", head(POST, "Content-Length: 5, 5"), 400, "RW-2001"],
  ["RFC 9112 6.3: a signed length", head(POST, "Content-Length: +5"), 400, "RW-2001"],
  ["RFC 9112 6.3: a negative length", head(POST, "Content-Length: -5"), 400, "RW-2001"],
  ["RFC 9112 6.3: a hexadecimal length", head(POST, "Content-Length: 0x5"), 400, "RW-2001"],
  ["a length beyond 64 bits", head(POST, "Content-Length: 99999999999999999999999"), 413, "RW-2001"],
  ["an unknown path", head(GET), 404, "RW-2014"],
  ["a path that climbs", head("GET /socket.io/../../etc/passwd HTTP/1.1"), 404, "RW-2014"],
  ["a body for an unknown path", head(POST, "Content-Length: 3") + "abc", 404, "RW-2014"],
  ["another method", head("DELETE / HTTP/1.1"), 405, "RW-2001"],
  ["RFC 6455 4.4: another version", upgrade("/ws-echo").replace("Version: 13", "Version: 8"), 426, "RW-2002"],
  ["RFC 6455 4.2.1: a short key", upgrade("/ws-echo").replace(/Key: \S+/, "Key: abc="), 400, "RW-2002"],
  ["RFC 6455 4.2.1: no key", upgrade("/ws-echo").replace(/Sec-WebSocket-Key: \S+\r\n/, ""), 400, "RW-2002"],
  ["RFC 6455 4.2.1: no Connection: Upgrade", upgrade("/ws-echo").replace("Connection: Upgrade", "Connection: close"), 400, "RW-2002"],
  ["RFC 6455 4.2.1: an upgrade by POST", upgrade("/ws-echo").replace("GET", "POST"), 400, "RW-2002"],
  ["RFC 6455 4.2.1: an upgrade of HTTP/1.0", upgrade("/ws-echo").replace("HTTP/1.1", "HTTP/1.0"), 400, "RW-2002"],
  ["RFC 6455 4.2.1: an upgrade to something else", upgrade("/ws-echo").replace("Upgrade: websocket", "Upgrade: h2c"), 400, "RW-2002"],
  ["Engine.IO: an unknown transport", head("GET /socket.io/?EIO=4&transport=pigeon HTTP/1.1"), 400, "RW-2018", '"code":0'],
  ["Engine.IO: an unknown session", head("GET /socket.io/?EIO=4&transport=polling&sid=nobody HTTP/1.1"), 400, "RW-2019", '"code":1'],
  ["Engine.IO: a handshake by POST", head("POST /socket.io/?EIO=4&transport=polling HTTP/1.1", "Content-Length: 2") + "40", 400, "RW-2020", '"code":2'],
  ["Engine.IO: polling that upgrades", upgrade("/socket.io/?EIO=4&transport=polling"), 400, "RW-2004", '"code":3'],
  ["Engine.IO: a WebSocket without upgrade", head("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"), 400, "RW-2004", '"code":3'],
  ["Engine.IO: protocol 3", head("GET /socket.io/?EIO=3&transport=polling HTTP/1.1"), 400, "RW-2021", '"code":5'],
];

describe("requests", { timeout: 60_000 }, () => {
  for (const [name, bytes, status, code, says = ""] of REQUESTS) {
    test(name, () => counts([code], async () => {
      const wire = await open(bytes);
      const answer = await wire.reads(/^HTTP\/1\.1 \d+ [^]*\r\n\r\n/);
      assert.equal(Number(answer.split(" ")[1]), status, answer);
      await wire.reads(new RegExp(says));
      // Whatever could be read in two ways ends the connection: nothing behind it is taken for a request.
      if (code === "RW-2001" && status !== 405) assert.doesNotMatch((await wire.ends()).slice(12), /HTTP\/1\.1 \d/);
    }));
  }

  test("RFC 6455 4.4: a refused version is told the right one", () => counts(["RW-2002"], async () => {
    const wire = await open(upgrade("/ws-echo").replace("Version: 13", "Version: 99"));
    assert.match(await wire.reads(/\r\n\r\n/), /Sec-WebSocket-Version: 13\r\n/);
  }));

  for (const [name, trickle] of [["a connection that says nothing", ""], ["a head a byte at a time (slow loris)", `${GET}\r\nHost: it\r\nA: ${long(500)}`]]) {
    test(name, () => counts(["RW-2013"], async () => {
      const wire = await open();
      const bytes = [...trickle];
      const timer = setInterval(() => bytes.length > 0 && wire.send(bytes.shift()), 20);
      assert.equal(await wire.ends(), "");
      clearInterval(timer);
    }));
  }
});

const close = (code, reason = "") => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
const bomb = zlib.deflateRawSync(Buffer.alloc(64 << 20), { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
const [PIECE, OPEN] = [0, { fin: false }];

// Frames on the bare echo, and the code that closes it. RW-2003 is counted.
const FRAMES = [
  ["RFC 6455 5.1: an unmasked frame", [frame(TEXT, "a", { masked: false })], 1002],
  ["RFC 6455 5.2: reserved bit 1 without an extension", [frame(TEXT, "a", { rsv: 4 })], 1002],
  ["RFC 6455 5.2: reserved bit 2", [frame(TEXT, "a", { rsv: 2 })], 1002],
  ["RFC 6455 5.2: reserved bit 3", [frame(TEXT, "a", { rsv: 1 })], 1002],
  ["RFC 6455 5.2: opcode 3", [frame(3, "a")], 1002],
  ["RFC 6455 5.2: opcode 11", [frame(11, "a")], 1002],
  ["RFC 6455 5.2: a length that is not minimal", [Buffer.from([0x81, 0xfe, 0, 1, 0, 0, 0, 0, 97])], 1002],
  ["RFC 6455 5.2: a length with its highest bit", [Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])], 1002],
  ["RFC 6455 5.4: a continuation of nothing", [frame(PIECE, "a")], 1002],
  ["RFC 6455 5.4: a message within a message", [frame(TEXT, "a", OPEN), frame(TEXT, "b")], 1002],
  ["RFC 6455 5.5: a fragmented ping", [frame(PING, "a", OPEN)], 1002],
  ["RFC 6455 5.5: a long ping", [frame(PING, long(126))], 1002],
  ["RFC 6455 7.4: half a close code", [frame(CLOSE, "\x03")], 1002],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code) => [`RFC 6455 7.4: close code ${code}`, [frame(CLOSE, close(code))], 1002]),
  ["RFC 6455 5.5.1: a close reason that is not UTF-8", [frame(CLOSE, Buffer.concat([close(1000), Buffer.from([0xff])]))], 1007],
  ["RFC 6455 8.1: text that is not UTF-8", [frame(TEXT, Buffer.from([0x61, 0xff]))], 1007],
  ["RFC 6455 8.1: half a character at the end", [frame(TEXT, Buffer.from([0xe2, 0x9c]))], 1007],
  ["RFC 6455 8.1: a surrogate", [frame(TEXT, Buffer.from([0xed, 0xa0, 0x80]))], 1007],
  ["a message that promises too much", [frame(BINARY, "", { length: PAYLOAD_MAX + 1 })], 1009],
  ["a message that promises 2^62 bytes", [frame(BINARY, "", { length: 2 ** 62 })], 1009],
  ["fragments that become too much", [frame(BINARY, long(600_000), OPEN), frame(PIECE, long(600_000), OPEN)], 1009],
  ["too many fragments", [frame(TEXT, "a", OPEN), ...Array.from({ length: FRAGMENTS_MAX }, () => frame(PIECE, "", OPEN))], 1009],
  ["RFC 7692 6.1: a compressed continuation", [frame(TEXT, "a", OPEN), frame(PIECE, "a", { rsv: 4 })], 1002, "deflate"],
  ["RFC 7692 7.2.2: bytes that do not inflate", [frame(TEXT, Buffer.from([0xff, 0xff, 0xff]), { rsv: 4 })], 1007, "deflate"],
  ["a bomb: 64 MiB in 65 KB", [frame(BINARY, bomb, { rsv: 4 })], 1009, "deflate"],
  ["a bomb in fragments", [frame(BINARY, bomb.subarray(0, 30_000), { ...OPEN, rsv: 4 }), frame(PIECE, bomb.subarray(30_000))], 1009, "deflate"],
];

async function echo(...headers) {
  const wire = await open(upgrade("/ws-echo", ...headers));
  await wire.reads(/^HTTP\/1\.1 101 [^]*\r\n\r\n/);
  return wire;
}

describe("frames", { timeout: 60_000 }, () => {
  for (const [name, bytes, code, deflate] of FRAMES) {
    test(name, () => counts(["RW-2003"], async () => {
      const wire = await echo(...(deflate ? ["Sec-WebSocket-Extensions: permessage-deflate"] : []));
      if (deflate) assert.match(wire.text(), /permessage-deflate/);
      wire.send(...bytes);
      await wire.ends();
      assert.equal(closing(wire.bytes)?.code, code, wire.text());
    }));
  }

  test("RFC 6455 5.5.1: a close that may be sent is answered with its code, and counted as nothing", async () => {
    for (const code of [1000, 1001, 1003, 1007, 1011, 1012, 3000, 4999]) {
      const wire = (await echo()).send(frame(CLOSE, close(code, "bye")));
      await wire.ends();
      assert.equal(closing(wire.bytes).code, code);
    }
    await undisturbed();
  });
});

/** A Socket.IO session on a WebSocket; not in any namespace yet. */
async function session() {
  const wire = await open(upgrade("/socket.io/?EIO=4&transport=websocket"));
  await wire.reads(/0\{"sid"/);
  return wire;
}

const texts = (...packets) => packets.map((packet) => frame(TEXT, packet));
const IN = "40";

// Packets on a session's WebSocket, and the close that answers.
const PACKETS = [
  ["Engine.IO: an empty packet", texts(IN, ""), 1002, "RW-2007"],
  ["Engine.IO: a packet of no kind", texts(IN, "9"), 1002, "RW-2007"],
  ["Engine.IO: open from a client", texts(IN, "0{}"), 1002, "RW-2007"],
  ["Engine.IO: ping from a client", texts(IN, "2"), 1002, "RW-2007"],
  ["Engine.IO: upgrade of what is upgraded", texts(IN, "5"), 1002, "RW-2007"],
  ["Socket.IO: an empty packet", texts(IN, "4"), 1002, "RW-2007"],
  ["Socket.IO: a packet of no kind", texts(IN, "47"), 1002, "RW-2007"],
  ["Socket.IO: CONNECT_ERROR from a client", texts(IN, '44{"message":"no"}'), 1002, "RW-2007"],
  ["Socket.IO: a namespace that is too long", texts(IN, `40/${long(200)},`), 1002, "RW-2007"],
  ["Socket.IO: an id beyond 2^53", texts(IN, '429007199254740993["echo"]'), 1002, "RW-2007"],
  ["Socket.IO: no count of attachments", texts(IN, '45-["echo"]'), 1002, "RW-2007"],
  ["Socket.IO: a negative count of attachments", texts(IN, '45-1-["echo"]'), 1002, "RW-2007"],
  ["Socket.IO: too many attachments", texts(IN, `45${ATTACHMENTS_MAX + 1}-["echo"]`), 1002, "RW-2007"],
  ["Socket.IO: text where an attachment is due", [...texts(IN, '452-["echo",{"_placeholder":true,"num":0}]'), frame(BINARY, "a"), ...texts('42["echo"]')], 1002, "RW-2007"],
  ["Socket.IO: an attachment that nobody waits for", [...texts(IN), frame(BINARY, "a")], 1002, "RW-2008"],
  ["Socket.IO: attachments that become too much", [...texts(IN, '452-["echo"]'), frame(BINARY, long(600_000)), frame(BINARY, long(600_000))], 1002, "RW-2008"],
  ["Socket.IO: CONNECT twice", texts(IN, IN), 1002, "RW-2009"],
  ["Socket.IO: CONNECT of a namespace twice", texts("40/a,", "40/a,"), 1002, "RW-2009"],
  ["Socket.IO: control characters in a namespace", texts("40/a\u0007b,"), 1002, "RW-2009"],
  ["endless namespaces", texts(...Array.from({ length: NAMESPACES_MAX + 1 }, (_, i) => `40/n${i},`)), 1008, "RW-2010"],
  ["no CONNECT at all", [], 1008, "RW-2011"],
  ["events, but no CONNECT", texts('42["echo"]'), 1008, "RW-2011"],
];

// Events in a namespace that are refused by their acknowledgement, and cost the connection nothing.
const EVENTS = [
  ["a name that is no text", "[7]", "RW-2016"],
  ["no name", "[]", "RW-2016"],
  ["no array", '{"echo":1}', "RW-2016"],
  ["no JSON", "[echo]", "RW-2016"],
  ["nothing at all", "", "RW-2016"],
  ["a name that Socket.IO keeps for itself", '["disconnect"]', "RW-2016"],
  ["an unknown event", '["drop tables"]', "RW-2015"],
  ["a prototype's name", '["__proto__",{}]', "RW-2015"],
  ["publish without data", '["publish","quiet"]', "RW-2016"],
  ["publish with a key that is no text", '["publish","quiet",1,{"key":7}]', "RW-2016"],
  ["publish with a placeholder of no attachment", '["publish","quiet",{"_placeholder":true,"num":0}]', "RW-2016"],
  ["a token that is no text", '["refresh",{}]', "RW-2016"],
  ["a token that is none", '["refresh","x.y.z"]', "RW-2102"],
  ["leave of a room that one is not in", '["leave","elsewhere"]', "RW-2304"],
];

describe("packets", { timeout: 60_000 }, () => {
  for (const [name, bytes, code, reason] of PACKETS) {
    test(name, () => counts([reason], async () => {
      const wire = (await session()).send(...bytes);
      await wire.ends();
      assert.deepEqual(closing(wire.bytes), { code, reason }, wire.text());
    }));
  }

  for (const [name, data, code] of EVENTS) {
    test(name, () => counts([code], async () => {
      const wire = (await session()).send(...texts(IN, `420${data}`, '421["echo",1]'));
      const answers = await wire.reads(/431\[\{"ok":true,"data":1\}\]/);
      assert.match(answers, new RegExp(`430\\[\\{"ok":false,"code":"${code}"`));
    }));
  }

  test("attachments that never come hold up nobody else, and end with their connection", async () => {
    const wire = (await session()).send(...texts(IN, '453-0["echo",{"_placeholder":true,"num":0}]'), frame(BINARY, "a"));
    await wire.reads(/40\{"sid"/);
    await undisturbed();
    wire.send(frame(CLOSE, close(1000)));
    await wire.ends();
    assert.equal(closing(wire.bytes).code, 1000);
  });

  for (const [name, packets, metric] of [
    ["acks that nobody asked for", ["430[]", "43999999[1,2]", '461-5[{"_placeholder":true,"num":0}]'], "ringway_acks_unasked_total"],
    ["events for a namespace that was not joined", ['42/other,["echo"]', '42/other,7["echo"]', '452-/other,["echo"]'], "ringway_packets_unconnected_total"],
  ]) {
    test(`${name} are counted, and cost the connection nothing`, async () => {
      const earlier = await total(daemon, metric);
      const binary = packets[2].startsWith("452") ? [frame(BINARY, "a"), frame(BINARY, "b")] : [frame(BINARY, "a")];
      const wire = (await session()).send(...texts(IN, ...packets), ...binary, ...texts('421["echo",1]'));
      await wire.reads(/431\[\{"ok":true,"data":1\}\]/);
      await until(async () => { await undisturbed(); return await total(daemon, metric) === earlier + packets.length; });
    });
  }
});

const path = "/socket.io/?EIO=4&transport=polling";
const chunked = (...lines) => (at) => head(`POST ${at} HTTP/1.1`, "Transfer-Encoding: chunked") + lines.join("\r\n");
const post = (body) => (at) => Buffer.concat([Buffer.from(head(`POST ${at} HTTP/1.1`, `Content-Length: ${Buffer.byteLength(body)}`)), Buffer.from(body)]);

// The body of a POST, the status, and what is counted; the session ends.
const BODIES = [
  ["an empty body", post(""), 400, ["RW-2004", "RW-2006"]],
  ["an empty packet at the end", post("40\x1e"), 400, ["RW-2004", "RW-2006"]],
  ["a packet of no kind", post("x"), 400, ["RW-2004", "RW-2006"]],
  ["base64 that is none", post("40\x1eb!!!"), 400, ["RW-2004", "RW-2006"]],
  ["a body that is not UTF-8", post(Buffer.from([0x34, 0xff])), 400, ["RW-2004", "RW-2006"]],
  ["too many packets", post(Array.from({ length: 65_537 }, () => "6").join("\x1e")), 400, ["RW-2004", "RW-2006"]],
  ["RFC 9112 7.1: a chunk of no size", chunked("x", ""), 400, ["RW-2001", "RW-2006"]],
  ["RFC 9112 7.1: a signed size", chunked("+2", "40", ""), 400, ["RW-2001", "RW-2006"]],
  ["RFC 9112 7.1: a size with a prefix", chunked("0x2", "40", ""), 400, ["RW-2001", "RW-2006"]],
  ["RFC 9112 7.1: a size beyond 64 bits", chunked("fffffffffffffffff", ""), 400, ["RW-2001", "RW-2006"]],
  ["RFC 9112 7.1: a bare line feed", chunked("2\n40\n0\n\n"), 400, ["RW-2001", "RW-2006"]],
  ["RFC 9112 7.1: a chunk that is longer than it says", chunked("2", "40x", ""), 400, ["RW-2001", "RW-2006"]],
  ["chunks that become too much", chunked((POST_MAX).toString(16), long(POST_MAX), "1", ""), 413, ["RW-2001", "RW-2006"]],
  ["a message that is too much", post(`4${long(PAYLOAD_MAX)}`), 400, ["RW-2004", "RW-2006"]],
  ["bytes that are too much", post(`40\x1eb${Buffer.alloc(PAYLOAD_MAX + 1).toString("base64")}`), 400, ["RW-2004", "RW-2006"]],
  ["trailers without end", chunked("0", ...Array.from({ length: 200 }, () => `A: ${long(50)}`), ""), 431, ["RW-2001", "RW-2006"]],
];

async function pollingSession() {
  const wire = await open(head(`GET ${path} HTTP/1.1`));
  const answer = await wire.reads(/\r\n\r\n0\{.*\}/);
  return `${path}&sid=${/"sid":"([^"]+)"/.exec(answer)[1]}`;
}

/** Ends a session that survived its test. */
async function goodbye(at) {
  await (await open(post("1")(at))).reads(/ok$/);
}

const status = (text) => Number(text.split(" ")[1]);

describe("polling", { timeout: 60_000 }, () => {
  for (const [name, request, expected, codes] of BODIES) {
    test(name, () => counts(codes, async () => {
      const at = await pollingSession();
      const wire = await open(request(at));
      assert.equal(status(await wire.reads(/\r\n\r\n/)), expected, wire.text());
      const last = await open(head(`GET ${at} HTTP/1.1`));
      await last.reads(/\r\n\r\n1$/);
    }));
  }

  test("a body that promises too much", () => counts(["RW-2001"], async () => {
    const at = await pollingSession();
    const wire = await open(head(`POST ${at} HTTP/1.1`, `Content-Length: ${POST_MAX + 1}`));
    assert.equal(status(await wire.ends()), 413);
    await goodbye(at);
  }));

  test("a body that never comes", () => counts(["RW-2013"], async () => {
    const at = await pollingSession();
    const wire = await open(head(`POST ${at} HTTP/1.1`, "Content-Length: 10"), "40");
    await wire.ends();
    const again = await open(post("40")(at));
    assert.equal(status(await again.reads(/ok$/)), 200, "the session survives its broken request");
    await goodbye(at);
  }));

  for (const [name, first] of [["GETs", (at) => head(`GET ${at} HTTP/1.1`)], ["POSTs", (at) => head(`POST ${at} HTTP/1.1`, "Content-Length: 10") + "4"]]) {
    // The session of two GETs ends with the first one's answer: the last request finds none.
    const codes = ["RW-2004", "RW-2005", ...(name === "GETs" ? ["RW-2019"] : [])];
    test(`two ${name} at a time`, () => counts(codes, async () => {
      const at = await pollingSession();
      const [one, two] = [await open(first(at)), await open()];
      // Both are on one shard, which reads in the order of arrival: the answer to `info` says that the first was read.
      await ask(bystander, "info");
      two.send(first(at));
      assert.equal(status(await two.reads(/\r\n\r\n/)), 400);
      if (name === "GETs") await one.reads(/\r\n\r\n1$/);
      const last = await open(head(`GET ${at} HTTP/1.1`));
      await last.reads(name === "GETs" ? /"code":1/ : /\r\n\r\n1$/);
    }));
  }

  test("requests without end behind a waiting one", () => counts(["RW-2001"], async () => {
    const at = await pollingSession();
    const wire = await open(head(`GET ${at} HTTP/1.1`), head(GET, `A: ${long(10_000)}`).repeat(10));
    assert.equal(await wire.ends(), "");
    await goodbye(at);
  }));

  test("a probe that says something else", () => counts(["RW-2002"], async () => {
    const at = await pollingSession();
    const wire = await open(upgrade(at.replace("polling", "websocket")), frame(TEXT, "4hello"));
    await wire.ends();
    assert.deepEqual(closing(wire.bytes), { code: 1002, reason: "RW-2002" });
    const next = await open(post("40")(at));
    assert.equal(status(await next.reads(/ok$/)), 200, "the session is as it was");
    await goodbye(at);
  }));
});
