// A worker goes and another one comes; the clients stay. The peer says RESUME as the daemon would.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { afterEach, beforeEach } from "node:test";

import { Server, type Socket } from "socket.io";

import type { Welcome } from "../src/link/json.js";
import { attachRingway, type Ringway, type RingwayOptions } from "../src/server.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

let daemon: PeerDaemon;
let servers: Server[];

interface Worker {
  io: Server;
  ringway: Ringway;
  link: PeerLink;
}

async function worker(
  prepare: (io: Server) => void = () => {}, options: Partial<RingwayOptions> = {}, welcome: Partial<Welcome> = {},
): Promise<Worker> {
  const io = new Server();
  prepare(io);
  servers.push(io);
  const ringway = attachRingway(io, { url: daemon.url, ...options });
  const link = await daemon.accept();
  daemon.received = { frames: 0, bytes: 0 };
  await link.welcome(welcome);
  await ringway.ready;
  return { io, ringway, link };
}

beforeEach(async () => {
  daemon = await PeerDaemon.listen();
  servers = [];
});
afterEach(async () => {
  for (const io of servers) await io.close();
  daemon.close();
});

const ROOT = { nsp: "/", sid: "s1", pid: "p1", rooms: ["news"], auth: { token: "t" }, data: { name: "n" } };

test("a resumed client is who it was, and does not notice", async () => {
  const seen: Socket[] = [];
  const { io, link } = await worker((io) => {
    io.use((socket, next) => setImmediate(next, socket.handshake.auth["token"] === "t" ? undefined : new Error("no")));
    for (const nsp of ["/", "/chat"]) {
      io.of(nsp).on("connection", (socket) => {
        seen.push(socket);
        socket.emit("hello", socket.data.name);
        socket.on("ask", (answer) => answer("back"));
      });
    }
  });
  link.resume(5, [ROOT, { nsp: "/chat", sid: "s2", rooms: [], auth: null, data: null }]);
  // Said before anything is back; it must wait for both.
  link.data(5, '21["ask"]');
  link.data(5, '2/chat,2["ask"]');
  const texts = [await link.text(5), await link.text(5), await link.text(5), await link.text(5)];
  // No CONNECT among them, and the answers come behind all that the handlers said.
  assert.deepEqual(texts.slice(0, 2).sort(), ['2/chat,["hello",null]', '2["hello","n"]']);
  assert.deepEqual(texts.slice(2), ['31["back"]', '3/chat,2["back"]']);
  const socket = io.sockets.sockets.get("s1") as Socket;
  assert.deepEqual([socket.recovered, socket.data, [...socket.rooms].sort()], [true, { name: "n" }, ["news", "s1"]]);
  assert.equal(seen.every(({ recovered }) => recovered), true);
  assert.equal(io.of("/chat").sockets.has("s2"), true);
  const members = [await link.next("MEMBER"), await link.next("MEMBER")].sort((a, b) => a.nsp - b.nsp);
  assert.deepEqual(members.map(({ conn, sid, pid, rooms }) => [conn, sid, pid, rooms]), [[5, "s1", "p1", ["news"]], [5, "s2", "", []]]);
});

test("a middleware that refuses a resumed client disconnects it, as it believes it is connected", async () => {
  const { link } = await worker((io) => {
    io.of("/chat").use((_socket, next) => next(new Error("no")));
    io.on("connection", (socket) => socket.on("ask", (answer) => answer(1)));
  });
  link.resume(5, [ROOT, { nsp: "/chat", sid: "s2", pid: "", rooms: [] }, { nsp: "/gone", sid: "s3", pid: "", rooms: [] }]);
  link.data(5, '21["ask"]');
  const texts = [await link.text(5), await link.text(5)];
  assert.deepEqual(texts.sort(), ["1/chat,", "1/gone,"]);
  assert.equal(await link.text(5), "31[1]");
});

test("binary and acknowledgements pass while a client is resumed", async () => {
  const { link } = await worker((io) => {
    io.on("connection", (socket) => socket.emit("blob", Buffer.of(1)));
    io.of("/slow").use((_socket, next) => setImmediate(next));
  });
  link.resume(5, [ROOT, { nsp: "/slow", sid: "s2", rooms: [] }]);
  assert.equal(await link.text(5), '51-["blob",{"_placeholder":true,"num":0}]');
  assert.deepEqual((await link.next("SEND")).payload, Buffer.of(1));
});

test("a resumed client of revision 3", async () => {
  const { io, link } = await worker((io) => void io.of("/chat"));
  const root = once(io, "connection") as Promise<[Socket]>;
  const chat = once(io.of("/chat"), "connection") as Promise<[Socket]>;
  link.resume(5, [{ ...ROOT, sid: "sid-5" }, { nsp: "/chat", sid: "/chat#sid-5", rooms: [], auth: { a: "b c" } }], { proto: 3 });
  assert.equal((await root)[0].id, "sid-5");
  const [socket] = await chat;
  assert.deepEqual([socket.id, socket.recovered, { ...socket.handshake.auth }], ["/chat#sid-5", true, { a: "b c" }]);
  socket.emit("x");
  assert.equal(await link.text(5), '2/chat,["x"]');
});

test("a client that goes while it is resumed is gone", async () => {
  let go = (): void => {};
  const { io, link } = await worker((io) => io.use((_socket, next) => { go = next; }));
  link.resume(5, [ROOT]);
  link.open(6);
  link.data(6, "0");
  link.send("CLOSE", 0, 5, { reason: 0, code: 0, text: "" });
  link.send("PING", 0, 0, { number: 1n });
  await link.next("PONG");
  go();
  assert.equal(await link.text(6).then((text) => text.startsWith("0{")), true);
  assert.equal(io.sockets.sockets.has("s1"), false);
});

test("io.close() keeps the clients for the next worker, with what it knew of them", async () => {
  const { io, link } = await worker();
  link.open(5);
  const connected = once(io, "connection") as Promise<[Socket]>;
  const sid = await link.connect(5);
  const [socket] = await connected;
  await link.next("MEMBER");
  socket.data.cart = [1, 2];
  const reason = once(socket, "disconnect");
  const closed = io.close();
  const saved = await link.next("SET_DATA", "LEAVE_ALL", "CLOSE_CONN", "GOAWAY");
  assert.equal(saved.name, "SET_DATA");
  assert.deepEqual([saved.conn, "data" in saved && saved.data], [5, '{"cart":[1,2]}']);
  const goaway = await link.next("GOAWAY", "LEAVE_ALL", "CLOSE_CONN");
  assert.equal(goaway.name === "GOAWAY" && goaway.json.value.mode, "keep");
  await link.closed;
  await closed;
  assert.equal((await reason)[0], "server shutting down");

  const next = await worker();
  const back = once(next.io, "connection") as Promise<[Socket]>;
  next.link.resume(5, [{ nsp: "/", sid, rooms: [], auth: {}, data: { cart: [1, 2] } }]);
  assert.deepEqual((await back)[0].data, { cart: [1, 2] });
});

test("what comes behind io.close() is neither heard nor credited: it is for the next worker", async () => {
  const heard: unknown[] = [];
  const { io, link } = await worker((io) => io.on("connection", (socket) => socket.onAny((...values) => heard.push(values))));
  link.open(5);
  await link.connect(5);
  link.data(5, '2["before"]');
  link.data(5, '21["answer me"]');
  while (heard.length < 2) await new Promise(setImmediate);
  const { frames } = daemon.sent;
  const closed = io.close();
  link.data(5, '2["behind"]');
  await link.next("GOAWAY");
  await link.closed;
  await closed;
  assert.deepEqual(heard, [["before"], ["answer me", heard.flat().at(-1)]]);
  assert.equal(daemon.credit.frames, frames, "all that was heard, and no more");
});

/** A worker whose middleware of `io.engine` lets a client wait until `go` is called, and what its clients say. */
async function hesitant(welcome: Partial<Welcome> = {}): Promise<Worker & { go: () => void; heard: unknown[]; looked: Promise<unknown> }> {
  const heard: unknown[] = [];
  const looks = new EventEmitter();
  const looked = once(looks, "look");
  const made = await worker((io) => {
    io.on("connection", (socket) => socket.on("say", (value: unknown) => heard.push(value)));
  }, {}, welcome);
  let go = (): void => {};
  made.io.engine.use((_request: unknown, _response: unknown, next: () => void) => {
    go = next;
    looks.emit("look");
  });
  return { ...made, heard, looked, go: () => go() };
}

test("io.close() waits for what a client said while it was shown to middlewares", async () => {
  const { io, link, go, heard, looked } = await hesitant();
  link.resume(5, [ROOT]);
  link.data(5, '2["say",1]');
  await looked;
  const { frames } = daemon.sent;
  const closed = io.close();
  link.data(5, '2["say",2]');
  // Behind the worker's own turn: it has read that.
  link.send("PING", 0, 0, { number: 1n });
  await link.next("PONG");
  go();
  const goaway = await link.next("GOAWAY");
  await closed;
  assert.deepEqual([goaway.json.value.mode, heard], ["keep", [1]]);
  assert.equal(daemon.credit.frames, frames, "what came behind is for the next worker");
});

test("io.close() hears what came with it, in one turn", async () => {
  const heard: unknown[] = [];
  let closed: Promise<void> | undefined;
  const { link } = await worker((io) => io.on("connection", (socket) => {
    socket.on("stop", () => { closed = io.close(); });
    socket.on("say", (value: unknown) => heard.push(value));
  }));
  link.open(5);
  await link.connect(5);
  link.socket.cork();
  link.data(5, '2["stop"]');
  for (const value of [1, 2, 3]) link.data(5, `2["say",${value}]`);
  link.socket.uncork();
  await link.next("GOAWAY");
  await closed;
  // Which of them were read together is the kernel's affair: those that count are those that were heard.
  const connecting = 2;
  assert.equal(daemon.credit.frames, connecting + 1 + heard.length);
  assert.deepEqual(heard, [1, 2, 3].slice(0, heard.length));
});

test("io.close() does not wait for ever for a middleware", async () => {
  const { io, link, heard, looked } = await hesitant();
  link.resume(5, [ROOT]);
  link.data(5, '2["say",1]');
  await looked;
  const start = performance.now();
  await io.close();
  const took_ms = performance.now() - start;
  assert.ok(took_ms > 1_900 && took_ms < 6_000, `${took_ms}`);
  assert.deepEqual(heard, []);
});

test("a client that said something while it was shown to middlewares goes to another worker when that was heard", async () => {
  const { link, go, heard, looked } = await hesitant();
  link.resume(5, [ROOT]);
  link.data(5, '2["say",1]');
  await looked;
  link.send("MIGRATE_OUT", 0, 5, {});
  const out = link.next("MIGRATE_OUT");
  // Longer than for an answer.
  await new Promise((resolve) => { setTimeout(resolve, 2_300); });
  assert.deepEqual(heard, []);
  go();
  await out;
  assert.deepEqual(heard, [1]);
});

test("io.close() closes the clients when it is told to", async () => {
  const { io, link } = await worker(undefined, { onClose: "close" });
  link.open(5);
  await link.connect(5);
  const closed = io.close();
  const goaway = await link.next("GOAWAY", "SET_DATA");
  assert.equal(goaway.name === "GOAWAY" && goaway.json.value.mode, "close");
  await closed;
});

test("a client that goes to another worker is left without a word, but for its data", async () => {
  const { io, link } = await worker();
  link.open(5);
  const connected = once(io, "connection") as Promise<[Socket]>;
  await link.connect(5);
  const [socket] = await connected;
  socket.data.x = 1;
  const gone = once(socket, "disconnect");
  link.send("MIGRATE_OUT", 0, 5, {});
  assert.equal((await gone)[0], "server shutting down");
  assert.equal((await link.next("SET_DATA", "MIGRATE_OUT")).name, "SET_DATA");
  assert.equal((await link.next("MIGRATE_OUT", "LEAVE_ALL", "CLOSE_CONN", "SEND")).conn, 5);
  io.emit("after");
  const after = await link.next("BCAST", "LEAVE_ALL", "CLOSE_CONN", "SEND");
  assert.equal(after.name, "BCAST");
});

test("a leave that is said while the link is cut is said on the next one, with the time that is left", async () => {
  const { ringway, link } = await worker(undefined, { bounds: { retry_ms_min: 1, retry_ms_max: 1 } }, { caps: ["migrate"] });
  link.open(5);
  await link.connect(5);
  const down = once(ringway, "down");
  link.cut();
  await down;
  const drained = ringway.drain({ deadline_ms: 4_000 });
  const next = await daemon.accept();
  await next.welcome({ caps: ["migrate"], resumed: true, received: daemon.received.frames });
  const { mode, deadline_ms } = (await next.next("GOAWAY")).json.value;
  assert.equal(mode, "migrate");
  assert.ok(deadline_ms > 0 && deadline_ms <= 4_000, `${deadline_ms}`);
  next.send("MIGRATE_OUT", 0, 5, {});
  assert.deepEqual(await drained, { moved: 1, left: 0 });
});

test("without the private hook a client is closed, and so reconnects", async () => {
  const { io, link } = await worker();
  // As a socket.io that lost it.
  (io.of("/") as unknown as { _createSocket: undefined })._createSocket = undefined;
  link.resume(5, [ROOT]);
  assert.equal((await link.next("CLOSE_CONN")).conn, 5);
});
