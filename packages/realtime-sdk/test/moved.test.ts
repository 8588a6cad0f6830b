// Sockets of all workers that are moved: what a worker asks of the daemon, and what it makes of what the daemon did to its own.

import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach } from "node:test";

import { Server, type Socket } from "socket.io";
import { MessageType } from "socket.io-adapter";

import { decodeBus, encodeBus } from "../src/bus.js";
import { createEmitter } from "../src/emitter/index.js";
import { MOVED_UNKNOWN, MOVEMENT, type Conn } from "../src/link/frames.js";
import type { Welcome } from "../src/link/json.js";
import { wireRoom } from "../src/rooms.js";
import { attachRingway } from "../src/server.js";
import { connected } from "./client.js";
import { PeerDaemon, type PeerLink, type Said } from "./peer.js";
import { test } from "./timed.js";

const { JOIN, LEAVE, DISCONNECT, CLOSE } = MOVEMENT;
const OLD = { caps: ["ackgather", "handshake", "local", "opaque", "recovery"] };
/** A room that is a number, whatever the types say. */
const NUMBER = 42 as unknown as string;
const LONG = "é".repeat(3_000);

let daemon: PeerDaemon;
let servers: { close(): unknown }[];

beforeEach(async () => {
  daemon = await PeerDaemon.listen();
  servers = [];
});
afterEach(async () => {
  for (const io of servers) await io.close();
  daemon.close();
});

/** Frames that are about rooms, sockets and other workers, in their order, without what is the same in all. */
function short(frame: Said<"JOIN" | "LEAVE" | "MOVE" | "BCAST" | "BUS" | "MEMBER" | "LEAVE_ALL" | "SEND">): unknown[] {
  switch (frame.name) {
    case "JOIN": case "LEAVE": return [frame.name, frame.conn, frame.rooms];
    case "MOVE": return ["MOVE", frame.what, frame.rooms, frame.except, frame.places];
    case "BCAST": return ["BCAST", frame.rooms, frame.except];
    case "BUS": return ["BUS", decodeBus(Buffer.from(frame.opaque))];
    case "MEMBER": return ["MEMBER", frame.conn, [...frame.rooms].sort()];
    case "LEAVE_ALL": return ["LEAVE_ALL", frame.conn];
    case "SEND": return ["SEND", frame.conn, frame.payload.toString()];
  }
}

/** A worker, and another one beside it, unless it is alone. */
async function stage({ options = {}, welcome = {}, peers = ["other"] }: { options?: object; welcome?: Partial<Welcome>; peers?: string[] } = {}) {
  const io = new Server(options);
  servers.push(io);
  const ringway = attachRingway(io, { url: daemon.url });
  const link = await daemon.accept();
  const { instance } = await link.welcome(welcome);
  await ringway.ready;
  const setPeers = async (...others: string[]): Promise<void> => {
    link.send("PEERS", 0, 0, { nsp: "/", instances: [instance, ...others] });
    await link.heard();
  };
  await setPeers(...peers);
  return {
    io,
    link,
    setPeers,
    client: (conn: number): Promise<Socket> => connected(io, link, conn),
    bus: (message: object): void => link.send("BUS", 0, 0, { nsp: "/", to: instance, from: "other", opaque: encodeBus(message) }),
    moved: async (conn: Conn, sid: string, known: number, what: number, ...places: string[]): Promise<void> => {
      link.send("MOVED", 0, conn, { nsp: "/", sid, known, what, places });
      await link.heard();
    },
    /** All that was said since. */
    said: async (): Promise<unknown[][]> => said(link),
    events: (): unknown[][] => {
      const heard: unknown[][] = [];
      for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
        io.sockets.adapter.on(event, (...values: unknown[]) => void heard.push([event, ...values]));
      }
      return heard;
    },
  };
}

/** Without what other workers are told of what was moved, unless that is wanted, too. */
async function said(link: PeerLink, wantsTold = false): Promise<unknown[][]> {
  await link.heard();
  const names = ["JOIN", "LEAVE", "MOVE", "BCAST", "BUS", "MEMBER", "LEAVE_ALL", "SEND"];
  const frames = link.inbox.splice(0).filter(({ name }) => names.includes(name)).map((frame) => short(frame as Parameters<typeof short>[0]));
  return wantsTold ? frames : frames.filter(([name, body]) => name !== "BUS" || (body as { moved?: true }).moved !== true);
}

const roomsOf = (socket: Socket): unknown[] => [...socket.rooms].filter((room) => room !== socket.id);

test("one's own sockets are moved at once, all others by one frame, and broadcasts keep their place", async () => {
  const { io, client, said } = await stage();
  const socket = await client(1);
  void socket.join("x");
  await said();
  io.emit("before");
  io.in("x").except("y").socketsJoin(["a", "b", "a"]);
  assert.deepEqual(roomsOf(socket), ["x", "a", "b"]);
  io.to("a").emit("between");
  io.in("x").socketsLeave("x");
  io.to("x").emit("behind");
  io.in("a").disconnectSockets();
  io.in("nobody").disconnectSockets(true);
  assert.deepEqual(await said(), [
    ["BCAST", [], []],
    ["JOIN", 1, ["a", "b"]], ["MOVE", JOIN, ["x"], ["y"], ["a", "b"]],
    ["BCAST", ["a"], []],
    ["LEAVE", 1, ["x"]], ["MOVE", LEAVE, ["x"], [], ["x"]],
    ["BCAST", ["x"], []],
    // Said first, as handlers of `disconnect` may change who is meant.
    ["MOVE", DISCONNECT, ["a"], [], []], ["SEND", 1, "1"], ["LEAVE_ALL", 1],
    ["MOVE", CLOSE, ["nobody"], [], []],
  ]);
});

test("sockets may wait for a worker that nobody else is; what is local concerns nobody else", async () => {
  const { io, client, said } = await stage({ peers: [] });
  await client(1);
  await said();
  io.socketsJoin(NUMBER);
  io.local.socketsJoin("local");
  io.local.socketsLeave("local");
  io.local.disconnectSockets();
  assert.deepEqual((await said()).filter(([name]) => name === "MOVE" || name === "BUS"), [["MOVE", JOIN, [], [], ["42"]]]);
});

test("what the daemon did is done here without a word, with an adapter's events", async () => {
  const { io, client, said, moved, events } = await stage();
  const socket = await client(1);
  await said();
  const heard = events();
  await moved(1, socket.id, 0, JOIN, "a", "b");
  assert.deepEqual(roomsOf(socket), ["a", "b"]);
  assert.deepEqual([...(io.sockets.adapter.rooms.get("a") ?? [])], [socket.id]);
  await moved(1, socket.id, 0, JOIN, "a");
  await moved(1, socket.id, 0, LEAVE, "a", "c");
  assert.deepEqual(roomsOf(socket), ["b"]);
  assert.equal(io.sockets.adapter.rooms.has("a"), false);
  assert.deepEqual(heard, [
    ["create-room", "a"], ["join-room", "a", socket.id], ["create-room", "b"], ["join-room", "b", socket.id],
    ["leave-room", "a", socket.id], ["delete-room", "a"],
  ]);
  assert.deepEqual(await said(), []);
});

test("a word of one's own that the daemon had not heard of is the last one, in its rooms", async () => {
  const { client, moved, said } = await stage();
  const socket = await client(1);
  void socket.join(["kept", "left"]);
  void socket.leave("left");
  await said();
  // The daemon had obeyed the first of the two.
  await moved(1, socket.id, 1, JOIN, "left", "new");
  assert.deepEqual(roomsOf(socket), ["kept", "new"]);
  await moved(1, socket.id, 0, LEAVE, "kept", "new");
  assert.deepEqual(roomsOf(socket), ["kept"]);
  // And now both.
  await moved(1, socket.id, 2, JOIN, "left");
  await moved(1, socket.id, 2, LEAVE, "kept");
  assert.deepEqual(roomsOf(socket), ["left"]);
  assert.deepEqual(await said(), []);
});

test("rooms that MEMBER has no place for are said by frames that count", async () => {
  const { io, client, moved, said } = await stage();
  const rooms = Array.from({ length: 70 }, (_, number) => `r${number}`);
  io.use((socket, next) => {
    void socket.join(rooms);
    next();
  });
  const socket = await client(1);
  await said();
  await moved(1, socket.id, 0, LEAVE, "r0", "r69");
  assert.deepEqual([socket.rooms.has("r0"), socket.rooms.has("r69")], [false, true]);
  await moved(1, socket.id, 1, LEAVE, "r69");
  assert.equal(socket.rooms.has("r69"), false);
});

test("what became of a socket that is coming is in what the daemon is told of it", async () => {
  const { io, link, moved, said } = await stage();
  let go = (): void => {};
  io.use((_socket, next) => { go = next; });
  const connected = once(io, "connection") as Promise<[Socket]>;
  link.resume(1, [{ nsp: "/", sid: "s", rooms: ["was", "stays"], auth: {}, data: {} }]);
  await moved(1, "s", MOVED_UNKNOWN, JOIN, "new", "short");
  await moved(1, "s", MOVED_UNKNOWN, LEAVE, "was", "short");
  await moved(2, "s", MOVED_UNKNOWN, JOIN, "of another connection");
  await moved(3, "gone", MOVED_UNKNOWN, JOIN, "of another socket");
  await moved(3, "gone", 0, JOIN, "of another socket");
  // Somebody who hears of a room joins the socket to another one.
  io.sockets.adapter.on("join-room", (room: string, id: string) => { if (room === "new") io.sockets.adapter.addAll(id, new Set(["besides"])); });
  // The other connection has taken its place.
  await moved(1, "s", MOVED_UNKNOWN, JOIN, "new", "short");
  await moved(1, "s", MOVED_UNKNOWN, LEAVE, "was", "short");
  go();
  const [socket] = await connected;
  assert.deepEqual(roomsOf(socket).sort(), ["besides", "new", "stays"]);
  assert.deepEqual(await said(), [["MEMBER", 1, ["besides", "new", "stays"]]]);
});

test("what became of a socket while the daemon was told of it is said again", async () => {
  const { link, io, moved, said } = await stage();
  const connected = once(io, "connection") as Promise<[Socket]>;
  link.resume(1, [{ nsp: "/", sid: "s", rooms: ["was", "stays", "left", "more"], auth: {}, data: {} }]);
  const [socket] = await connected;
  void socket.leave("left");
  await said();
  await moved(1, "s", MOVED_UNKNOWN, JOIN, "new", "stays", "left");
  await moved(1, "s", MOVED_UNKNOWN, LEAVE, "was", "none");
  assert.deepEqual(roomsOf(socket).sort(), ["more", "new", "stays"]);
  assert.deepEqual(await said(), [["JOIN", 1, ["new", "stays"]], ["LEAVE", 1, ["was", "none"]]]);
  // Before anybody here hears of it, who may have another word to say.
  (io.of("/").adapter as unknown as NodeJS.EventEmitter).once("leave-room", () => void socket.join("more"));
  await moved(1, "s", MOVED_UNKNOWN, LEAVE, "more");
  assert.deepEqual(roomsOf(socket).sort(), ["more", "new", "stays"]);
  assert.deepEqual(await said(), [["LEAVE", 1, ["more"]], ["JOIN", 1, ["more"]]]);
});

test("a socket that joins and leaves a room before the daemon has heard of it is out of it", async () => {
  const { link, io, moved, said } = await stage();
  const connected = once(io, "connection") as Promise<[Socket]>;
  link.resume(1, [{ nsp: "/", sid: "s", rooms: [], auth: {}, data: {} }]);
  const [socket] = await connected;
  await said();
  await moved(1, "s", MOVED_UNKNOWN, JOIN, "tmp");
  await moved(1, "s", MOVED_UNKNOWN, LEAVE, "tmp");
  assert.deepEqual(roomsOf(socket), []);
  assert.deepEqual(await said(), [["JOIN", 1, ["tmp"]], ["LEAVE", 1, ["tmp"]]]);
});

test("sockets that were disconnected by another worker go, on the connection that is meant", async () => {
  const { client, moved, said } = await stage();
  const [one, two] = [await client(1), await client(2)];
  await said();
  await moved(2, one.id, 0, DISCONNECT);
  await moved(1, "nobody", 0, CLOSE);
  assert.equal(one.connected, true);
  const gone = once(one, "disconnect");
  await moved(1, one.id, 0, DISCONNECT);
  assert.deepEqual([(await gone)[0], one.conn.readyState], ["server namespace disconnect", "open"]);
  const closed = once(two, "disconnect");
  await moved(2, two.id, MOVED_UNKNOWN, CLOSE);
  await closed;
  assert.notEqual(two.conn.readyState, "open");
});

test("a socket that was disconnected while it was coming goes when the application has heard of it", async () => {
  const { io, link, moved } = await stage();
  let go = (): void => {};
  io.use((_socket, next) => { go = next; });
  link.resume(1, [{ nsp: "/", sid: "s", rooms: [], auth: {}, data: {} }]);
  await moved(1, "s", MOVED_UNKNOWN, DISCONNECT);
  const told: string[] = [];
  const gone = new Promise<void>((resolve) => {
    io.on("connection", (socket) => {
      told.push("connection");
      socket.on("disconnect", (reason) => {
        told.push(reason);
        resolve();
      });
    });
  });
  go();
  await gone;
  assert.deepEqual(told, ["connection", "server namespace disconnect"]);
  assert.deepEqual(await link.text(1), "1");
});

test("rooms that are no texts, or long, are told to others before; a text in place of one, too; nobody twice", async () => {
  const { io, said, setPeers } = await stage();
  const names = [["42", 42], [wireRoom(LONG), LONG]];
  io.socketsJoin([NUMBER, LONG, "plain"]);
  io.socketsJoin([NUMBER, "plain"]);
  io.socketsLeave([NUMBER, LONG]);
  io.socketsJoin("42");
  const move = ["MOVE", JOIN, [], [], ["42", wireRoom(LONG), "plain"]];
  assert.deepEqual(await said(), [
    ["BUS", { names }], move,
    ["MOVE", JOIN, [], [], ["42", "plain"]],
    ["MOVE", LEAVE, [], [], ["42", wireRoom(LONG)]],
    ["BUS", { names: [["42", "42"]] }], ["MOVE", JOIN, [], [], ["42"]],
  ]);
  await setPeers("other", "another");
  io.socketsJoin(LONG);
  assert.deepEqual(await said(), [["BUS", { names: names.slice(1) }], ["MOVE", JOIN, [], [], [wireRoom(LONG)]]]);
});

test("a socket that another worker has moved is in a room by its own name if that was told, and else by the one on the link", async () => {
  const { client, moved, bus, said } = await stage();
  const socket = await client(1);
  await said();
  bus({ names: [["42", 42], [wireRoom(LONG), LONG]] });
  await moved(1, socket.id, 0, JOIN, "42", wireRoom(LONG), "43", "44");
  assert.deepEqual(roomsOf(socket), [42, LONG, "43", "44"]);
  // The application joins the one that it knows by another name, and leaves the other one.
  void socket.join(43 as unknown as string);
  void socket.leave(44 as unknown as string);
  assert.deepEqual(roomsOf(socket), [42, LONG, 43]);
  await moved(1, socket.id, 2, LEAVE, "42", "43", wireRoom(LONG));
  assert.deepEqual(roomsOf(socket), []);
  assert.deepEqual(await said(), [["JOIN", 1, ["43"]], ["LEAVE", 1, ["44"]]]);
});

test("a text and the number that it spells are two rooms here, as both were joined here", async () => {
  const { client, moved, said, events } = await stage();
  const socket = await client(1);
  await said();
  const heard = events();
  void socket.join("42");
  void socket.join(NUMBER);
  assert.deepEqual(roomsOf(socket), ["42", 42]);
  assert.deepEqual(heard, [["create-room", "42"], ["join-room", "42", socket.id], ["create-room", 42], ["join-room", 42, socket.id]]);
  void socket.leave(NUMBER);
  assert.deepEqual([roomsOf(socket), (await said()).filter(([name]) => name === "LEAVE")], [["42"], []]);
  void socket.leave("42");
  assert.deepEqual([roomsOf(socket), (await said()).filter(([name]) => name === "LEAVE")], [[], [["LEAVE", 1, ["42"]]]]);
  void socket.join(["42", NUMBER]);
  await moved(1, socket.id, 99, LEAVE, "42");
  assert.deepEqual(roomsOf(socket), []);
});

test("a daemon that cannot move sockets: each worker does, as it is asked by the others", async () => {
  const { io, client, said, bus } = await stage({ welcome: OLD });
  const socket = await client(1);
  void socket.join("x");
  await said();
  io.in("x").socketsJoin("a");
  io.to("a").emit("now");
  const [join, order, now] = await said();
  assert.deepEqual([join, now], [["JOIN", 1, ["a"]], ["BCAST", ["a"], []]]);
  const { type, data } = order?.[1] as { type: number; data: object };
  assert.deepEqual([order?.[0], type, data], ["BUS", MessageType.SOCKETS_JOIN, { opts: { rooms: ["x"], except: [], flags: {} }, rooms: ["a"] }]);
  bus({ type: MessageType.SOCKETS_LEAVE, data: { opts: { rooms: ["x"], except: [] }, rooms: ["x"] } });
  assert.deepEqual([await said(), roomsOf(socket)], [[["LEAVE", 1, ["x"]]], ["a"]]);
});

for (const [which, welcome] of [["moves sockets", {}], ["cannot", OLD]] as const) {
  test(`what is asked while there is no daemon waits for one that ${which}`, async () => {
    const io = new Server();
    servers.push(io);
    attachRingway(io, { url: daemon.url });
    io.socketsJoin("a");
    io.to("a").emit("waits");
    const link = await daemon.accept();
    await link.welcome(welcome);
    await link.next("BCAST");
    const words = link.inbox.filter(({ name }) => name === "MOVE" || name === "BUS").map((frame) => short(frame as Said<"MOVE" | "BUS">)[0]);
    assert.deepEqual(words, which === "moves sockets" ? ["MOVE"] : ["BUS"]);
  });
}

test("where workers keep what clients may miss, all goes one way", async () => {
  const parser = await import("socket.io-parser");
  const { io, client, said, link } = await stage({ options: { parser, connectionStateRecovery: {} } });
  const socket = await client(1);
  await said();
  io.socketsJoin("a");
  io.to("a").volatile.emit("volatile");
  io.to("a").emit("kept");
  io.socketsLeave("a");
  io.disconnectSockets();
  const frames = await said();
  assert.equal(socket.connected, false);
  const types = frames.map(([name, what]) => (name === "BUS" ? (what as { type: number }).type : name));
  const { SOCKETS_JOIN, BROADCAST, SOCKETS_LEAVE, DISCONNECT_SOCKETS } = MessageType;
  assert.deepEqual(types, ["JOIN", SOCKETS_JOIN, BROADCAST, "BCAST", BROADCAST, "BCAST", "LEAVE", SOCKETS_LEAVE, DISCONNECT_SOCKETS, "SEND", "LEAVE_ALL"]);
  // An emitter's words the daemon obeys all the same.
  link.open(2);
  const connected = once(io, "connection") as Promise<[Socket]>;
  await link.connect(2);
  const [other] = await connected;
  link.send("MOVED", 0, 2, { nsp: "/", sid: other.id, known: 0, what: JOIN, places: ["b"] });
  await link.heard();
  assert.deepEqual(roomsOf(other), ["b"]);
});

for (const [which, welcome] of [["moves sockets", {}], ["cannot", OLD]] as const) {
  test(`an emitter's words to a daemon that ${which}`, async () => {
    const emitter = createEmitter({ url: daemon.url });
    const link = await daemon.accept();
    servers.push(emitter);
    // Before it knows, and behind that.
    emitter.in("x").except(LONG).socketsJoin(["a", "a"]);
    await link.welcome(welcome);
    await emitter.ready;
    emitter.of("/n").socketsLeave(LONG);
    emitter.emit("told");
    emitter.in("y").disconnectSockets();
    emitter.disconnectSockets(true);
    await link.next("NSP");
    const words = (await said(link)).map(([name, ...rest]) => (name === "BUS" ? (rest[0] as { type: string }).type : [name, ...rest]));
    assert.deepEqual(words, which === "moves sockets" ? [
      ["MOVE", JOIN, ["x"], [wireRoom(LONG)], ["a"]],
      ["MOVE", LEAVE, [], [], [wireRoom(LONG)]],
      ["BCAST", [], []],
      ["MOVE", DISCONNECT, ["y"], [], []], ["MOVE", CLOSE, [], [], []],
    ] : ["SOCKETS_JOIN", "SOCKETS_LEAVE", ["BCAST", [], []], "DISCONNECT_SOCKETS", "DISCONNECT_SOCKETS"]);
  });
}

test("what an emitter could not say to a daemon that moves sockets is no frame for one that does not", async () => {
  const errors: string[] = [];
  const emitter = createEmitter({ url: daemon.url, onError: ({ message }) => void errors.push(message), bounds: { retry_ms_max: 60 } });
  servers.push(emitter);
  const link = await daemon.accept();
  await link.welcome({ grace_ms: 50, window: { frames: 1, bytes: 1_000 } });
  link.credits = false;
  await emitter.ready;
  emitter.emit("on the way");
  emitter.socketsJoin("a");
  emitter.emit("waits");
  await link.next("NSP");
  link.cut();
  daemon.epoch = "epoch-2";
  const next = await daemon.accept();
  await next.welcome(OLD);
  const words = [await next.next("BCAST"), await next.next("BCAST")];
  assert.equal(words.length, 2);
  assert.deepEqual(errors, ["unsent: sockets were not moved: this daemon cannot"]);
});

const { SOCKETS_JOIN, SOCKETS_LEAVE, DISCONNECT_SOCKETS } = MessageType;

test("other workers are told what was moved behind it, unless it is the rooms of thousands, or a daemon does not move", async () => {
  const told = async (welcome: Partial<Welcome>): Promise<unknown[]> => {
    const { io, link } = await stage({ welcome });
    io.in("x").except("y").socketsJoin("a");
    io.in("x").socketsLeave(["a", "b"]);
    io.disconnectSockets(true);
    io.socketsJoin(Array.from({ length: 9_000 }, (_, number) => `room ${number}`));
    const frames = await said(link, true);
    return frames.filter(([name]) => name === "BUS").map(([, body]) => {
      const { type, moved, data } = body as { type: number; moved?: true; data: { opts: { rooms: string[]; except: string[] }; rooms?: string[]; close?: boolean } };
      return [type, moved, data.opts.rooms, data.opts.except, data.rooms?.length ?? data.close];
    });
  };
  assert.deepEqual(await told({}), [
    [SOCKETS_JOIN, true, ["x"], ["y"], 1], [SOCKETS_LEAVE, true, ["x"], [], 2], [DISCONNECT_SOCKETS, true, [], [], true],
  ]);
  assert.deepEqual((await told(OLD)).map((message) => (message as unknown[])[1]), [undefined, undefined, undefined, undefined]);
});

test("a socket of which something was said lately is moved here, as the daemon may not have known it", async () => {
  const { client, bus, link, said, moved } = await stage();
  const [late, out, done] = [await client(1), await client(2), await client(3)];
  for (const socket of [late, out]) void socket.join("x");
  void out.join("y");
  await moved(3, done.id, 0, JOIN, "x", "a", "42");
  void done.leave("a");
  await said();
  const opts = { rooms: ["x"], except: ["y"], flags: {} };
  bus({ type: SOCKETS_JOIN, moved: true, data: { opts, rooms: ["a", NUMBER] } });
  // The third was moved, and has left again since.
  assert.deepEqual(await said(), [["JOIN", 1, ["a", "42"]]]);
  assert.deepEqual([late, out, done].map(roomsOf), [["x", "a", NUMBER], ["x", "y"], ["x", "42"]]);
  bus({ type: SOCKETS_LEAVE, moved: true, data: { opts: { rooms: [NUMBER], except: [], flags: {} }, rooms: ["a", "nowhere"] } });
  assert.deepEqual(await said(), [["LEAVE", 1, ["a"]]]);
  bus({ type: DISCONNECT_SOCKETS, moved: true, data: { opts: { rooms: ["y"], except: [], flags: {} }, close: false } });
  assert.deepEqual(await said(), [["SEND", 2, "1"], ["LEAVE_ALL", 2]]);
  for (const data of [undefined, {}, { opts: {} }, { opts: { rooms: "x", except: [] }, rooms: ["b"] }, { opts: { rooms: ["x"], except: [] }, rooms: 1 }]) {
    bus({ type: SOCKETS_JOIN, moved: true, data });
  }
  await link.heard();
  assert.deepEqual([await said(), roomsOf(late)], [[], ["x", NUMBER]], "what is none is passed over");
});

test("a socket of which nothing was said lately the daemon knows", async () => {
  const { client, bus, said, setPeers } = await stage({ peers: [] });
  const socket = await client(1);
  void socket.join("x");
  await setPeers("other");
  await said();
  bus({ type: SOCKETS_JOIN, moved: true, data: { opts: { rooms: ["x"], except: [], flags: {} }, rooms: ["a"] } });
  assert.deepEqual(await said(), []);
});
