// The real socket.io Server on connections that a scripted peer makes up.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { afterEach, beforeEach } from "node:test";

import { Server, type Socket } from "socket.io";

import { FLAG } from "../src/link/frames.js";
import { attachRingway, type Ringway } from "../src/server.js";
import { connected } from "./client.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

let daemon: PeerDaemon;
let io: Server;
let ringway: Ringway;
let link: PeerLink;

async function start(options: ConstructorParameters<typeof Server>[0] = {}): Promise<void> {
  io = new Server(options as object);
  ringway = attachRingway(io, { url: daemon.url });
  link = await daemon.accept();
  await link.welcome();
  await ringway.ready;
}

/** A client of the main namespace, and its socket. */
const client = (conn: number): Promise<Socket> => connected(io, link, conn);

beforeEach(async () => { daemon = await PeerDaemon.listen(); });
afterEach(async () => {
  await io.close();
  daemon.close();
});

test("a client connects, and the worker says who it is", async () => {
  await start({ pingInterval: 1234, cookie: { name: "mine", secure: true, sameSite: "none" } });
  const bind = await link.next("BIND");
  assert.equal(bind.json.value.path, "/socket.io");
  assert.equal(bind.json.value.opts["pingInterval"], 1234);
  // What the application leaves as it is, is the operator's to say.
  assert.equal(bind.json.value.opts["pingTimeout"], undefined);
  assert.deepEqual(bind.json.value.opts["cookie"], { name: "mine", attributes: "; Path=/; Secure; HttpOnly; SameSite=None" });
  assert.deepEqual([bind.json.value.rpc, bind.json.value.parser], ["none", "default"]);
  const nsp = await link.next("NSP");
  assert.deepEqual([nsp.conn, nsp.namespace], [0, "/"]);

  link.open(7, {
    address: "198.51.100.9", secure: true, url: "/socket.io/?EIO=4&transport=polling&room=a&room=b", transport: "polling",
    headers: [["Host", "a.test"], ["Origin", "https://b.test"], ["X-Twice", "1"], ["x-twice", "2"], ["Cookie", "a=1"], ["Cookie", "b=2"]],
  });
  const connected = once(io, "connection") as Promise<[Socket]>;
  const sid = await link.connect(7, "/", { token: "t" });
  const [socket] = await connected;
  assert.equal(socket.id, sid);
  const { handshake } = socket;
  assert.equal(handshake.address, "198.51.100.9");
  assert.equal(handshake.secure, true);
  assert.equal(handshake.xdomain, true);
  assert.equal(handshake.url, "/socket.io/?EIO=4&transport=polling&room=a&room=b");
  assert.deepEqual({ ...handshake.query }, { EIO: "4", transport: "polling", room: ["a", "b"] });
  assert.deepEqual({ ...handshake.auth }, { token: "t" });
  assert.equal(handshake.headers["x-twice"], "1, 2");
  assert.equal(handshake.headers.cookie, "a=1; b=2");
  assert.equal(socket.request.method, "GET");
  assert.equal(socket.conn.transport.name, "polling");
  assert.equal(io.engine.clientsCount, 1);
  const member = await link.next("MEMBER");
  assert.deepEqual([member.conn, member.sid, member.rooms, member.auth, member.data], [7, sid, [], '{"token":"t"}', "{}"]);
});

test("events and acknowledgements go both ways", async () => {
  await start();
  const socket = await client(1);
  const asked = new Promise<unknown[]>((resolve) => {
    socket.on("ask", (question, answer) => {
      answer("yes", question);
      resolve([question]);
    });
  });
  link.data(1, '25["ask","é?"]');
  assert.deepEqual(await asked, ["é?"]);
  assert.equal(await link.text(1), '35["yes","é?"]');

  const answered = socket.timeout(5_000).emitWithAck("tell", 1);
  const told = await link.text(1);
  const [, id] = /^2(\d+)\["tell",1\]$/.exec(told) ?? [];
  link.data(1, `3${id}["heard"]`);
  assert.equal(await answered, "heard");
});

test("binary goes both ways", async () => {
  await start();
  const socket = await client(1);
  const got = once(socket, "blob") as Promise<[Buffer]>;
  link.data(1, '51-["blob",{"_placeholder":true,"num":0}]');
  link.data(1, Buffer.of(0, 255, 1));
  assert.deepEqual((await got)[0], Buffer.of(0, 255, 1));

  socket.emit("blob", Buffer.of(9, 8));
  const text = await link.next("SEND");
  assert.equal(text.payload.toString(), '51-["blob",{"_placeholder":true,"num":0}]');
  assert.equal(text.flags & FLAG.BINARY, 0);
  const attachment = await link.next("SEND");
  assert.deepEqual([attachment.flags & FLAG.BINARY, attachment.payload], [FLAG.BINARY, Buffer.of(9, 8)]);
});

test("rooms are said as they change, and known here at once", async () => {
  await start();
  io.use((socket, next) => {
    void socket.join("early");
    next();
  });
  const socket = await client(3);
  const member = await link.next("MEMBER");
  assert.deepEqual(member.rooms, ["early"]);
  void socket.join(["a", "b"]);
  assert.deepEqual([...socket.rooms].sort(), ["a", "b", "early", socket.id].sort());
  void socket.join(["b", "c"]);
  void socket.leave("a");
  void socket.leave("never");
  io.in("b").socketsLeave("c");
  assert.deepEqual([...socket.rooms].sort(), ["b", "early", socket.id].sort());
  const said = [await link.next("JOIN"), await link.next("JOIN"), await link.next("LEAVE"), await link.next("LEAVE")];
  assert.deepEqual(said.map((frame) => [frame.conn, frame.rooms]), [[3, ["a", "b"]], [3, ["c"]], [3, ["a"]], [3, ["c"]]]);
});

test("a broadcast is one frame, whoever gets it", async () => {
  await start();
  const socket = await client(1);
  io.to(["a", "b"]).except("c").emit("news", 1);
  socket.broadcast.volatile.compress(false).emit("blob", Buffer.of(7));
  io.local.emit("é");
  const first = await link.next("BCAST");
  assert.deepEqual([first.nsp, first.rooms, first.except, first.flags], [0, ["a", "b"], ["c"], FLAG.ASCII]);
  assert.deepEqual(first.parts.map(({ binary, bytes }) => [binary, String(bytes)]), [[false, '2["news",1]']]);
  const second = await link.next("BCAST");
  assert.deepEqual([second.rooms, second.except], [[], [socket.id]]);
  assert.equal(second.flags, FLAG.ASCII | FLAG.VOLATILE | FLAG.NO_COMPRESS);
  assert.deepEqual(second.parts[1], { binary: true, bytes: Buffer.of(7) });
  const third = await link.next("BCAST");
  assert.equal(third.flags, FLAG.LOCAL);
});

test("listeners of what goes out hear broadcasts", async () => {
  await start();
  const socket = await client(1);
  const heard: unknown[] = [];
  socket.onAnyOutgoing((...args) => heard.push(args));
  socket.conn.on("packetCreate", ({ data }: { data: unknown }) => heard.push(data));
  io.emit("news");
  assert.deepEqual(heard, [["news"], '2["news"]']);
});

test("a broadcast with acknowledgements counts whom the daemon counted", async () => {
  await start();
  await client(1);
  const answers = io.timeout(5_000).emitWithAck("vote", "?");
  const asked = await link.next("BCAST_ACK");
  assert.equal(asked.timeout_ms, 5_000);
  assert.equal(String(asked.parts[0]?.bytes), '20["vote","?"]');
  link.send("BCAST_COUNT", 0, 0, { request: asked.request, clients: 3 });
  link.send("BCAST_REPLY", 0, 0, { request: asked.request, parts: [{ binary: false, bytes: '30["a"]' }, { binary: false, bytes: "not a packet" }] });
  link.send("BCAST_REPLY", 0, 0, {
    request: asked.request,
    parts: [
      { binary: false, bytes: '61-0[{"_placeholder":true,"num":0}]' }, { binary: true, bytes: Buffer.of(1) },
      { binary: false, bytes: '30["c"]' },
    ],
  });
  assert.deepEqual(await answers, ["a", Buffer.of(1), "c"]);
});

test("volatile packets are dropped while the client cannot take them", async () => {
  await start();
  const socket = await client(1);
  socket.volatile.emit("first");
  const sent = await link.next("SEND");
  assert.deepEqual([sent.payload.toString(), sent.flags & FLAG.VOLATILE], ['2["first"]', FLAG.VOLATILE]);
  const pressed = once(socket.conn, "drain");
  link.send("PRESSURE", 0, 1, { on: 1, waiting: 70_000 });
  link.data(1, '2["ask"]');
  await once(socket, "ask");
  assert.equal(socket.conn.transport.writable, false);
  socket.volatile.emit("dropped");
  link.send("PRESSURE", 0, 1, { on: 0, waiting: 0 });
  await pressed;
  socket.emit("kept");
  assert.equal(await link.text(1), '2["kept"]');
});

test("the client leaves: by itself, by its namespace, by an error", async () => {
  await start();
  const gone = await client(1);
  const closed = once(gone, "disconnect");
  link.send("CLOSE", 0, 1, { reason: 2, code: 0, text: "" });
  assert.deepEqual(await closed, ["ping timeout", undefined]);
  assert.equal(io.engine.clientsCount, 0);

  const left = await client(2);
  const leaving = once(left, "disconnect");
  link.data(2, "1");
  assert.equal((await leaving)[0], "client namespace disconnect");
  const leave = await link.next("LEAVE_ALL");
  assert.deepEqual([leave.conn, leave.nsp], [2, 0]);

  const broken = await client(3);
  const errors: string[] = [];
  broken.on("error", (error) => errors.push(error.message));
  const breaking = new Promise((resolve) => broken.on("disconnect", resolve));
  link.data(3, "nonsense");
  assert.equal(await breaking, "forced close");
  assert.deepEqual(errors, ["unknown packet type NaN"]);
  assert.equal((await link.next("CLOSE_CONN")).conn, 3);
});

test("what a client says before it goes is heard before that, in one chunk too", async () => {
  await start();
  const heard: unknown[] = [];
  const reasons: string[] = [];
  for (const [conn, text] of [[1, '2["last","words"]'], [2, "1"]] as const) {
    const socket = await client(conn);
    socket.on("last", (value) => heard.push(value));
    const closed = once(socket, "disconnect");
    link.socket.cork();
    link.data(conn, text);
    link.send("CLOSE", 0, conn, { reason: 0, code: 0, text: "" });
    link.socket.uncork();
    reasons.push((await closed)[0] as string);
  }
  assert.deepEqual(heard, ["words"]);
  assert.deepEqual(reasons, ["transport close", "client namespace disconnect"]);
});

test("the worker disconnects a client: from the namespace, or whole", async () => {
  await start();
  const socket = await client(1);
  socket.disconnect();
  assert.equal(await link.text(1), "1");
  assert.equal((await link.next("LEAVE_ALL")).conn, 1);
  const other = await client(2);
  const closed = once(other, "disconnect");
  other.disconnect(true);
  assert.equal(await link.text(2), "1");
  assert.equal((await closed)[0], "server namespace disconnect");
  const close = await link.next("CLOSE_CONN");
  assert.deepEqual([close.conn, close.flags], [2, 0]);
});

test("namespaces have numbers, dynamic ones too, and give them back", async () => {
  await start({ cleanupEmptyChildNamespaces: true });
  io.of("/chat");
  io.of(/^\/room-\d+$/).on("connection", (socket) => void socket.join("x"));
  link.open(1);
  await link.connect(1, "/chat");
  await link.connect(1, "/room-5");
  const named = [await link.next("NSP"), await link.next("NSP"), await link.next("NSP")];
  assert.deepEqual(named.map((frame) => [frame.conn, frame.namespace]), [[0, "/"], [1, "/chat"], [2, "/room-5"]]);
  assert.equal((await link.next("MEMBER")).nsp, 1);
  assert.equal((await link.next("MEMBER")).nsp, 2);
  assert.deepEqual((await link.next("JOIN")).nsp, 2);
  link.data(1, "1/room-5,");
  const removed = await link.next("NSP");
  assert.deepEqual([removed.conn, removed.flags], [2, FLAG.REMOVED]);
  link.data(1, "0/none,");
  assert.equal(await link.text(1), '4/none,{"message":"Invalid namespace"}');
});

test("a middleware refuses", async () => {
  await start();
  io.use((_socket, next) => next(Object.assign(new Error("no"), { data: { code: 7 } })));
  link.open(1);
  link.data(1, "0");
  assert.equal(await link.text(1), '4{"message":"no","data":{"code":7}}');
});

test("a client of revision 3 is in the main namespace without asking", async () => {
  await start({ allowEIO3: true });
  const connected = once(io, "connection") as Promise<[Socket]>;
  link.open(1, { proto: 3, url: "/socket.io/?EIO=3&transport=websocket" });
  const [socket] = await connected;
  assert.equal(await link.text(1), "0");
  assert.equal(socket.id, "sid-1");
});

test("a client changes its transport", async () => {
  await start();
  link.open(1, { transport: "polling" });
  await link.connect(1);
  const { conn } = [...io.sockets.sockets.values()][0] as Socket;
  const upgrading = once(conn, "upgrading") as Promise<[{ name: string }]>;
  const upgrade = once(conn, "upgrade");
  link.send("TRANSPORT", 0, 1, { phase: 0, transport: 1 });
  assert.equal((await upgrading)[0].name, "websocket");
  assert.equal(conn.transport.name, "polling");
  link.send("TRANSPORT", 0, 1, { phase: 1, transport: 1 });
  await upgrade;
  assert.equal(conn.transport.name, "websocket");
});

test("io.close() gives the error of an http server that did not run", async () => {
  io = new Server(createServer());
  ringway = attachRingway(io, { url: daemon.url });
  link = await daemon.accept();
  await link.welcome();
  await ringway.ready;
  const error = await new Promise<unknown>((resolve) => { void io.close(resolve); });
  assert.equal((error as NodeJS.ErrnoException).code, "ERR_SERVER_NOT_RUNNING");
});

test("what comes in one chunk with a CONNECT is heard when it is connected", async () => {
  await start();
  const heard: unknown[] = [];
  io.on("connection", (socket) => {
    heard.push("connection");
    socket.on("event", (value) => {
      heard.push(value);
      socket.emit("heard");
    });
    socket.on("disconnect", (reason) => heard.push(reason));
  });
  const say = (conn: number, ...payloads: string[]): void => {
    link.open(conn);
    for (const payload of payloads) link.send("DATA", FLAG.ASCII, conn, { payload: Buffer.from(payload) });
  };
  say(1, "0", "2[\"event\",1]");
  for (let answers = 0; answers < 2; answers += 1) await link.next("SEND");
  say(2, "0", "2[\"event\",2]", "0");
  assert.equal((await link.next("CLOSE_CONN")).conn, 2);
  assert.deepEqual(heard, ["connection", 1, "connection", 2, "forced close"]);
});

test("a CONNECT right behind one for the same namespace connects as well, and one that comes later ends the connection", async () => {
  await start();
  let connections = 0;
  io.of("/a").on("connection", () => { connections += 1; });
  link.open(1);
  const say = (payload: string): void => link.send("DATA", FLAG.ASCII, 1, { payload: Buffer.from(payload) });
  for (const payload of ["0/a,", "0/a,"]) say(payload);
  for (let answers = 0; answers < 2; answers += 1) assert.match(await link.text(1), /^0\/a,/);
  assert.equal(connections, 2);
  say("0/a,");
  assert.equal((await link.next("CLOSE_CONN")).conn, 1);
});

test("by polling a second CONNECT for the main namespace is one of another request, however close it comes, and ends the connection", async () => {
  await start();
  let connections = 0;
  io.on("connection", () => { connections += 1; });
  io.of("/a").on("connection", () => { connections += 10; });
  link.open(1, { transport: "polling" });
  link.open(2, { transport: "polling" });
  const say = (conn: number, payload: string): void => link.send("DATA", FLAG.ASCII, conn, { payload: Buffer.from(payload) });
  for (const payload of ["0/a,", "0/a,"]) say(2, payload);
  for (let answers = 0; answers < 2; answers += 1) assert.match(await link.text(2), /^0\/a,/);
  for (const payload of ["0", "0"]) say(1, payload);
  assert.equal((await link.next("CLOSE_CONN")).conn, 1);
  assert.equal(connections, 21);
});

test("a CONNECT for a further namespace waits for another one that comes right behind it", async () => {
  await start();
  const heard: unknown[] = [];
  io.of("/a").on("connection", (socket) => {
    heard.push("connection");
    socket.on("event", (value) => heard.push(value));
    socket.on("disconnect", (reason) => heard.push(reason));
  });
  await client(1);
  const say = (payload: string): void => link.send("DATA", FLAG.ASCII, 1, { payload: Buffer.from(payload) });
  say("0/a,");
  // Another turn of the event loop.
  await new Promise((resolve) => { setImmediate(resolve); });
  for (const payload of ["0/a,", "2/a,[\"event\",1]"]) say(payload);
  for (let answers = 0; answers < 2; answers += 1) assert.match(await link.text(1), /^0\/a,/);
  assert.deepEqual(heard.slice(0, 2), ["connection", "connection"]);
  await new Promise((resolve) => { setTimeout(resolve, 20); });
  assert.deepEqual(heard.slice(2), [1]);
});

test("a client that nobody was asked about is shown to the middlewares before it is heard, and what it said meanwhile is not lost", async () => {
  await start();
  io.engine.use((request: { url: string; seen?: boolean }, _response: unknown, next: (error?: Error) => void) => {
    request.seen = true;
    setImmediate(next, request.url.includes("refused") ? new Error("no") : undefined);
  });
  const heard: unknown[] = [];
  io.on("connection", (socket) => {
    heard.push((socket.request as unknown as { seen?: boolean }).seen);
    socket.on("event", (value, answer) => {
      heard.push(value);
      answer();
    });
  });
  link.open(1);
  for (const payload of ["0", '21["event",7]']) link.send("DATA", FLAG.ASCII, 1, { payload: Buffer.from(payload) });
  assert.match(await link.text(1), /^0\{/);
  assert.equal(await link.text(1), "31[]");
  assert.deepEqual(heard, [true, 7]);
  link.open(2, { url: "/socket.io/?refused" });
  const closed = await link.next("CLOSE_CONN");
  assert.deepEqual([closed.conn, closed.flags], [2, FLAG.DISCARD]);
});

test("a message without data is no CONNECT", async () => {
  await start();
  link.open(1);
  link.send("DATA", FLAG.ASCII, 1, { payload: Buffer.alloc(0) });
  assert.equal((await link.next("CLOSE_CONN")).conn, 1);
  assert.equal(io.sockets.sockets.size, 0);
});
