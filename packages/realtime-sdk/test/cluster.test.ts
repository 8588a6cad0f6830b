// What goes beyond single clients: other workers, recovery of sessions, and questions before a client is let in.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { afterEach, beforeEach } from "node:test";

import { Server, type Socket } from "socket.io";

import { decodeBus, encodeBus } from "../src/bus.js";
import { FLAG } from "../src/link/frames.js";
import { json, type Welcome } from "../src/link/json.js";
import { attachRingway, RingwayEngine, type RingwayOptions } from "../src/server.js";
import { PeerDaemon, type PeerLink, type Said } from "./peer.js";
import { test } from "./timed.js";

let daemon: PeerDaemon;
let servers: Server[];
/** What a test ends with. */
let ending: (() => unknown)[];

interface Worker {
  io: Server;
  link: PeerLink;
  instance: string;
}

async function worker(options: object = {}, ringwayOptions: Partial<RingwayOptions> = {}, welcome: Partial<Welcome> = {}): Promise<Worker> {
  const io = new Server(options);
  servers.push(io);
  const ringway = attachRingway(io, { url: daemon.url, ...ringwayOptions });
  const link = await daemon.accept();
  daemon.received = { frames: 0, bytes: 0 };
  const { instance } = await link.welcome(welcome);
  await ringway.ready;
  return { io, link, instance };
}

/** Two workers that know of each other; BUS goes between them as the daemon would carry it. */
async function pair(): Promise<[Worker, Worker]> {
  const window = { frames: 8192, bytes: 1 << 30 };
  const one = await worker({}, {}, { window });
  const two = await worker({}, {}, { window });
  // Frames are counted for one worker at a time by the peer: here nobody says credit, and the window is far.
  one.link.credits = two.link.credits = false;
  for (const [at, other] of [[one, two], [two, one]] as const) {
    at.link.send("PEERS", 0, 0, { nsp: "/", instances: [one.instance, two.instance] });
    at.link.send("PING", 0, 0, { number: 1n });
    await at.link.next("PONG");
    void carry(at.link, other.link);
  }
  return [one, two];
}

async function carry(from: PeerLink, to: PeerLink): Promise<void> {
  for (;;) {
    const bus: Said<"BUS"> | undefined = await from.next("BUS").catch(() => undefined);
    if (bus === undefined) return;
    to.send("BUS", 0, 0, { nsp: bus.nsp, to: bus.to, from: bus.from, opaque: bus.opaque });
  }
}

/** The daemon's part in what one worker asks about a socket of another one. */
async function obey(from: PeerLink, to: PeerLink, conn: number, sid: string): Promise<void> {
  const { what, places } = await from.next("MOVE");
  to.send("MOVED", 0, conn, { nsp: "/", sid, known: 0, what, places });
  await to.heard();
}

async function client({ io, link }: Worker, conn: number): Promise<Socket> {
  link.open(conn);
  const connected = once(io, "connection") as Promise<[Socket]>;
  await link.connect(conn);
  return (await connected)[0];
}

beforeEach(async () => {
  daemon = await PeerDaemon.listen();
  servers = [];
  ending = [];
});
afterEach(async () => {
  for (const end of ending) end();
  for (const io of servers) await io.close();
  daemon.close();
});

test("sockets of other workers are fetched, joined and disconnected", async () => {
  const [one, two] = await pair();
  const here = await client(one, 1);
  const there = await client(two, 2);
  there.data = { name: "there", bytes: Buffer.of(1, 2) };
  const sockets = await one.io.fetchSockets();
  assert.deepEqual(sockets.map(({ id }) => id).sort(), [here.id, there.id].sort());
  const remote = sockets.find(({ id }) => id === there.id);
  assert.deepEqual(remote?.data, { name: "there", bytes: Buffer.of(1, 2) });

  one.io.socketsJoin("all");
  assert.equal(here.rooms.has("all"), true, "here at once");
  await obey(one.link, two.link, 2, there.id);
  assert.equal(there.rooms.has("all"), true);

  const gone = once(there, "disconnect");
  one.io.in(there.id).disconnectSockets();
  await obey(one.link, two.link, 2, there.id);
  assert.equal((await gone)[0], "server namespace disconnect");
  assert.equal(here.connected, true);
});

test("servers speak to each other, and the one that left is not waited for", async () => {
  const [one, two] = await pair();
  two.io.on("sum", (left: number, right: number, answer: (sum: number) => void) => answer(left + right));
  assert.deepEqual(await one.io.serverSideEmitWithAck("sum", 1, 2), [3]);
  two.io.removeAllListeners("sum");
  const unanswered = one.io.serverSideEmitWithAck("sum", 1, 2);
  await new Promise((resolve) => two.io.on("sum", resolve));
  one.link.send("PEERS", 0, 0, { nsp: "/", instances: [one.instance] });
  assert.deepEqual(await unanswered, []);
});

/** The warnings of the process of these codes, while a test goes on. */
function warningsOf(...codes: string[]): string[] {
  const said: string[] = [];
  const listener = (warning: NodeJS.ErrnoException): void => { if (codes.includes(warning.code ?? "")) said.push(warning.message); };
  process.on("warning", listener);
  ending.push(() => process.off("warning", listener));
  return said;
}

test("answers that no frame can say come in pieces, and whole", async () => {
  const [one, two] = await pair();
  await client(one, 1);
  const there = await client(two, 2);
  there.data = { text: "é".repeat(9 << 20), bytes: Buffer.alloc(3 << 20, 7) };
  const remote = (await one.io.fetchSockets()).find(({ id }) => id === there.id);
  assert.deepEqual(remote?.data, there.data);
  two.io.on("tell", (answer: (text: string) => void) => answer("x".repeat(17 << 20)));
  assert.deepEqual((await one.io.serverSideEmitWithAck("tell")).map((text: string) => text.length), [17 << 20]);
});

test("an answer that cannot be said is a warning here, and a timeout for whoever asked", async () => {
  const warnings = warningsOf("RINGWAY_ANSWER");
  const [one, two] = await pair();
  two.io.on("tell", (answer: (value: unknown) => void) => answer(1n));
  const asked = new Promise((resolve) => { one.io.serverSideEmit("tell", (...values: unknown[]) => resolve(values)); });
  const [error, responses] = (await asked) as [Error, unknown[]];
  assert.deepEqual([error.message, responses], ["timeout reached: missing 1 responses", []]);
  assert.deepEqual(warnings, ["an answer to another worker is lost, as it cannot be said: TypeError: Do not know how to serialize a BigInt"]);
});

test("of answers that are too long, whatever their sizes, the process warns once", async () => {
  const warnings = warningsOf("RINGWAY_ANSWER");
  const [one, two] = await pair();
  // Whoever asks waits five seconds, and saying so much takes a busy machine longer.
  const said = [129 << 20, 130 << 20].map((length) => new Promise<void>((resolve) => {
    two.io.on(`tell ${length}`, (answer: (text: string) => void) => {
      answer("x".repeat(length));
      resolve();
    });
    one.io.serverSideEmit(`tell ${length}`, () => {});
  }));
  await Promise.all(said);
  two.io.on("tell", (answer: (text: string) => void) => answer("x"));
  assert.deepEqual(await one.io.serverSideEmitWithAck("tell"), ["x"]);
  assert.equal(warnings.length, 1);
  assert.match(String(warnings), /^an answer to another worker is lost: it has \d+ bytes, which is more than one may have \(134217728\)/);
});

test("what cannot be asked of other workers is an error of whoever asks", async () => {
  const [one] = await pair();
  assert.throws(() => one.io.serverSideEmit("tell", "x".repeat(17 << 20)), RangeError);
  await assert.rejects(one.io.serverSideEmitWithAck("tell", "x".repeat(17 << 20)), RangeError);
  assert.throws(() => one.io.serverSideEmit("tell", 1n), TypeError);
});

test("data that is no JSON is left out by its keys, and the process says so once", async () => {
  const warnings = warningsOf("RINGWAY_DATA");
  const [one, two] = await pair();
  two.io.use((socket, next) => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    socket.data = { name: "n", big: 1n, cycle, bytes: Buffer.of(1) };
    next();
  });
  await client(one, 1);
  const there = await client(two, 2);
  assert.deepEqual(JSON.parse((await two.link.next("MEMBER")).data), { name: "n", bytes: { type: "Buffer", data: [1] } });
  const remote = (await one.io.fetchSockets()).find(({ id }) => id === there.id);
  assert.deepEqual(remote?.data, { name: "n", bytes: Buffer.of(1) });
  const rest = "other workers, and a client that comes back, have nothing of it";
  assert.deepEqual(warnings, [
    `socket.data.big of the socket ${there.id} in / is no JSON (TypeError: Do not know how to serialize a BigInt): ${rest}`,
    `socket.data.cycle of the socket ${there.id} in / is no JSON (TypeError: Converting circular structure to JSON): ${rest}`,
  ]);
});

test("data that no frame can say is left out as a whole", async () => {
  const warnings = warningsOf("RINGWAY_DATA");
  const one = await worker();
  one.io.of("/much").use((socket, next) => {
    socket.data = { text: "x".repeat(20 << 20) };
    next();
  });
  one.link.open(1);
  await one.link.connect(1, "/much");
  assert.equal((await one.link.next("MEMBER")).data, "{}");
  assert.match(warnings.join(), /^socket\.data of the socket \S+ in \/much has 20971531 bytes of JSON, and the link carries 6291456/);
});

test("a socket of which the daemon cannot keep so much is not kept, and the process says so", async () => {
  const warnings = warningsOf("RINGWAY_SESSION");
  const one = await worker({ connectionStateRecovery: {} });
  for (const [conn, data, rooms] of [[1, { text: "x".repeat(300_000) }, []], [2, {}, ["r".repeat(4_000)]], [3, {}, Array.from({ length: 70_000 }, (_, number) => `room ${number}`)]] as const) {
    const socket = await client(one, conn);
    socket.data = data;
    void socket.join([...rooms]);
    one.link.send("CLOSE", 0, conn, { reason: 0, code: 1006, text: "" });
    const saved = await one.link.next("SESSION_SAVE");
    const isKept = conn === 2;
    assert.deepEqual([saved.rooms.length, saved.data.length > 256 << 10, JSON.parse(saved.data)], [isKept ? 2 : 0, !isKept, {}], String(conn));
  }
  assert.equal(warnings.length, 1);
  assert.match(String(warnings), /^socket\.data of the socket \S+ in \/ and its rooms have \d+ bytes, and the daemon keeps 262144 of a socket/);
});

test("with several workers one answer of the daemon's completes a broadcast", async () => {
  const [one] = await pair();
  const answers = one.io.timeout(5_000).emitWithAck("vote");
  const { request } = await one.link.next("BCAST_ACK");
  one.link.send("BCAST_COUNT", 0, 0, { request, clients: 1 });
  one.link.send("BCAST_REPLY", 0, 0, { request, parts: [{ binary: false, bytes: "30[7]" }] });
  assert.deepEqual(await answers, [7]);
});

test("messages between workers keep their bytes", () => {
  for (const message of [{ a: [1, "é"] }, { a: Buffer.of(1), b: { c: new Uint8Array([2, 3]).buffer } }]) {
    const back = decodeBus(encodeBus(message)) as { a: unknown; b?: { c: unknown } };
    assert.deepEqual(back.a, message.a);
    if (message.b) assert.deepEqual(back.b?.c, Buffer.of(2, 3));
  }
  assert.throws(() => decodeBus(Buffer.from("01ffffffff", "hex")));
});

test("with recovery the daemon keeps packets, and gives a session back", async () => {
  const one = await worker({ connectionStateRecovery: {} });
  assert.deepEqual((await one.link.next("BIND")).json.value.opts["recovery"], { ttl: 120_000 });
  const socket = await client(one, 1);
  const member = await one.link.next("MEMBER");
  assert.notEqual(member.pid, "");
  socket.emit("kept");
  one.io.volatile.emit("dropped");
  const kept = await one.link.next("BCAST");
  assert.deepEqual([kept.rooms, kept.flags & FLAG.RECOVER], [[socket.id], FLAG.RECOVER]);
  assert.equal((await one.link.next("BCAST")).flags & FLAG.RECOVER, 0);

  void socket.join("news");
  socket.data.x = 1;
  one.link.send("CLOSE", 0, 1, { reason: 0, code: 1006, text: "" });
  const saved = await one.link.next("SESSION_SAVE");
  assert.deepEqual(
    [saved.conn, saved.pid, saved.sid, [...saved.rooms].sort(), saved.data],
    [1, member.pid, socket.id, [socket.id, "news"].sort(), '{"x":1}'],
  );

  one.link.open(2);
  const connected = once(one.io, "connection") as Promise<[Socket]>;
  one.link.data(2, `0{"pid":"${member.pid}","offset":"o1"}`);
  const asked = await one.link.next("SESSION_GET");
  assert.deepEqual([asked.conn, asked.pid, asked.offset], [2, member.pid, "o1"]);
  one.link.send("SESSION_RES", 0, 0, {
    request: asked.request, found: true, sid: socket.id, rooms: [socket.id, "news"], data: saved.data,
    parts: [{ binary: false, bytes: '2["missed","o2"]' }],
  });
  const [back] = await connected;
  assert.deepEqual([back.id, back.recovered, back.data, back.rooms.has("news")], [socket.id, true, { x: 1 }, true]);
  assert.equal(await one.link.text(2), '2["missed","o2"]');
  assert.equal(await one.link.text(2), `0{"sid":"${socket.id}","pid":"${member.pid}"}`);

  one.link.open(3);
  one.link.data(3, '0{"pid":"p","offset":"o"}');
  const { request } = await one.link.next("SESSION_GET");
  one.link.send("SESSION_RES", 0, 0, { request, found: false, sid: "", rooms: [], data: "", parts: [] });
  assert.match(await one.link.text(3), /^0\{"sid":/);
});

test("a daemon may give what was missed itself; ids that were never given out are not asked for; rooms are text", async () => {
  const one = await worker({ connectionStateRecovery: {} });
  const socket = await client(one, 1);
  void socket.join(7 as unknown as string);
  one.link.send("CLOSE", 0, 1, { reason: 0, code: 1006, text: "" });
  const saved = await one.link.next("SESSION_SAVE");
  assert.deepEqual([...saved.rooms].sort(), ["7", socket.id].sort());

  one.link.open(2);
  one.link.data(2, `0{"pid":"${"p".repeat(70_000)}","offset":"o"}`);
  assert.match(await one.link.text(2), /^0\{"sid":/);
  one.link.open(3);
  one.link.data(3, `0{"pid":"p","offset":"${"o".repeat(129)}"}`);
  assert.match(await one.link.text(3), /^0\{"sid":/);
  assert.deepEqual(one.link.inbox.filter(({ name }) => name === "SESSION_GET"), []);

  one.link.inbox.length = 0;
  one.link.open(4);
  const connected = once(one.io, "connection") as Promise<[Socket]>;
  one.link.data(4, `0{"pid":"${saved.pid}","offset":"o"}`);
  const { request } = await one.link.next("SESSION_GET");
  one.link.send("SESSION_RES", 0, 0, { request, found: true, sid: socket.id, rooms: saved.rooms, data: saved.data, parts: [] });
  const [back] = await connected;
  assert.deepEqual([back.id, back.recovered], [socket.id, true]);
  // The daemon lets the client in between the two: what it missed goes there.
  const [member, answer] = [await one.link.next("MEMBER"), await one.link.next("SEND")];
  assert.deepEqual([member.conn, member.pid, answer.conn, answer.payload.toString()], [4, saved.pid, 4, `0{"sid":"${socket.id}","pid":"${saved.pid}"}`]);
});

const ASKED = { method: "GET", url: "/socket.io/?EIO=4&transport=polling", headers: [["Origin", "https://a"]] as [string, string][], address: "a", secure: true };

test("the application is asked before a client is let in, and finds again what it noted", async () => {
  const one = await worker({
    allowRequest: (request: { headers: Record<string, string> }, decide: (error: string | null, ok: boolean) => void) =>
      decide(request.headers["origin"] === "https://b" ? "not you" : null, request.headers["origin"] !== "https://b"),
  });
  const engine = one.io.engine as unknown as RingwayEngine;
  const errors: unknown[] = [];
  engine.on("connection_error", ({ code, message, context }: { code: number; message: string; context: object }) => errors.push([code, message, context]));
  engine.use((request, response, next) => {
    request["session"] = { user: "u" };
    response.setHeader("X-Session", "s");
    if (request.headers["x-stop"]) response.writeHead(401).end("stop");
    else next(request.headers["x-fail"] ? new Error("fail") : undefined);
  });
  engine.on("initial_headers", (headers: Record<string, string>) => { headers["X-First"] = "1"; });
  const ask = async (sid: string | undefined, headers = ASKED.headers): Promise<object> => {
    one.link.send("HS_REQ", 0, 0, { request: 9, json: json({ ...ASKED, headers, ...(sid ? { sid } : {}) }) });
    const answer = await one.link.next("HS_RES");
    assert.equal(answer.request, 9);
    return answer.json.value;
  };
  assert.deepEqual(await ask("sid-1"), { ok: true, headers: [["X-Session", "s"], ["X-First", "1"]] });
  const socket = await client(one, 1);
  assert.deepEqual((socket.request as unknown as { session: object }).session, { user: "u" });
  assert.deepEqual(await ask(undefined, [["Origin", "https://b"]]), {
    ok: false, status: 403, headers: [["X-Session", "s"], ["Content-Type", "application/json"]], body: '{"code":4,"message":"not you"}', code: 4, context: { message: "not you" },
  });
  assert.deepEqual(await ask(undefined, [["X-Stop", "1"]]), { ok: false, status: 401, headers: [["X-Session", "s"]], body: "stop" });
  const failed = (await ask(undefined, [["X-Fail", "1"]])) as { code: number };
  assert.equal(failed.code, 3);
  engine.generateId = () => "chosen";
  assert.equal(((await ask(undefined)) as { sid: string }).sid, "chosen");
  assert.deepEqual(errors, [[4, "Forbidden", { message: "not you" }], [3, "Bad request", { name: "MIDDLEWARE_FAILURE" }]]);
  one.link.send("CONN_ERROR", 0, 0, { json: json({ code: 1, message: "Session ID unknown", context: { sid: "x" }, method: "POST", url: "/", headers: [] }) });
  await once(engine, "connection_error");
  assert.deepEqual(errors.at(-1), [1, "Session ID unknown", { sid: "x" }]);
});

test("an answer that no frame can say is said as one that no client can be told", async () => {
  const one = await worker({ allowRequest: (_request: unknown, decide: (error: string, ok: boolean) => void) => decide("n".repeat(17 << 20), false) });
  one.link.send("HS_REQ", 0, 0, { request: 9, json: json(ASKED) });
  assert.deepEqual((await one.link.next("HS_RES")).json.value, { ok: false, status: 0 });
});

test("BIND says when the application has to be asked, and again when that changes", async () => {
  const one = await worker();
  assert.equal((await one.link.next("BIND")).json.value.rpc, "none");
  one.io.engine.use((_request: unknown, _response: unknown, next: () => void) => next());
  assert.equal((await one.link.next("BIND")).json.value.rpc, "handshake");
  const two = await worker({ cors: { origin: /\.example$/ } });
  const { rpc, opts } = (await two.link.next("BIND")).json.value;
  assert.deepEqual([rpc, opts["cors"]], ["handshake", "asked"]);
  const asked = { ...ASKED, headers: [["Origin", "https://a.example"]] as [string, string][] };
  two.link.send("HS_REQ", 0, 0, { request: 1, json: json(asked) });
  const { headers } = (await two.link.next("HS_RES")).json.value;
  assert.deepEqual(headers?.find(([name]) => name.toLowerCase() === "access-control-allow-origin")?.[1], "https://a.example");
});

test("the entry is there for import and for require, as it was built", async () => {
  const name = "@ecommerce-enterprise/realtime-sdk/server";
  const imported = (await import(name)) as { attachRingway: unknown };
  const required = createRequire(import.meta.url)(name) as { attachRingway: unknown };
  assert.equal(typeof imported.attachRingway, "function");
  assert.equal(typeof required.attachRingway, "function");
});
