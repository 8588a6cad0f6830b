// Rooms that have another name on the link, and keep their own here: those whose names are longer than a frame can say go by their hashes, and numbers by their texts.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { afterEach, beforeEach } from "node:test";

import { Server, type Socket } from "socket.io";

import { createEmitter } from "../src/emitter/index.js";
import { ROOM_BYTES_MAX, withWireNames, wireRoom } from "../src/rooms.js";
import { attachRingway } from "../src/server.js";
import { connected } from "./client.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

const LONG = "r".repeat(70_000);
const SHORT = `ringway.long-room.sha256.${createHash("sha256").update(LONG).digest("hex")}`;

let daemon: PeerDaemon;
let io: Server;
let link: PeerLink;

beforeEach(async () => {
  daemon = await PeerDaemon.listen();
  io = new Server();
  const ringway = attachRingway(io, { url: daemon.url });
  link = await daemon.accept();
  await link.welcome();
  await ringway.ready;
});
afterEach(async () => {
  await io.close();
  daemon.close();
});

const client = (conn: number): Promise<Socket> => connected(io, link, conn);

test("a name is as it is up to the bound, which is of bytes", () => {
  for (const name of ["", "room", 7, "r".repeat(ROOM_BYTES_MAX), "é".repeat(ROOM_BYTES_MAX / 2)]) assert.equal(wireRoom(name), String(name));
  for (const name of ["r".repeat(ROOM_BYTES_MAX + 1), "é".repeat(ROOM_BYTES_MAX / 2 + 1)]) assert.match(wireRoom(name), /^ringway\.long-room\.sha256\.[0-9a-f]{64}$/);
  assert.equal(wireRoom(LONG), SHORT);
  assert.equal(wireRoom(SHORT), SHORT);
  const target = { rooms: new Set(["a"]), except: new Set(["b"]) };
  assert.equal(withWireNames(target), target);
  assert.deepEqual(withWireNames({ rooms: new Set(["a", LONG]) }).rooms, new Set(["a", LONG, SHORT]));
});

test("a long room is joined, spoken to and left by one name on the link, and by its own here", async () => {
  const socket = await client(1);
  socket.on("join", (room: string) => socket.join(room));
  link.data(1, JSON.stringify(["join", LONG]).replace(/^/, "2"));
  assert.deepEqual((await link.next("JOIN")).rooms, [SHORT]);
  assert.deepEqual([...socket.rooms], [socket.id, LONG]);
  assert.deepEqual(io.sockets.adapter.rooms.get(LONG), new Set([socket.id]));
  io.to(LONG).except([LONG, "x"]).emit("said");
  const { rooms, except } = await link.next("BCAST");
  assert.deepEqual([rooms, except], [[SHORT], [SHORT, "x"]]);
  void socket.leave(LONG);
  assert.deepEqual((await link.next("LEAVE")).rooms, [SHORT]);
  assert.deepEqual([...socket.rooms], [socket.id]);
});

test("more of the longest names than one frame can say go in several", async () => {
  const socket = await client(1);
  const rooms = Array.from({ length: 5_000 }, (_, number) => String(number).padStart(ROOM_BYTES_MAX, "r"));
  void socket.join(rooms);
  const [first, second] = [await link.next("JOIN"), await link.next("JOIN")];
  assert.deepEqual([...first.rooms, ...second.rooms], rooms);
});

test("a socket that comes from another worker is in its long room by whichever name", async () => {
  const connected = once(io, "connection") as Promise<[Socket]>;
  link.resume(1, [{ nsp: "/", sid: "s", pid: "p", rooms: [SHORT], auth: {}, data: {} }]);
  const [socket] = await connected;
  const member = await link.next("MEMBER");
  assert.deepEqual([[...socket.rooms].sort(), member.rooms], [[SHORT, "s"].sort(), [SHORT]]);
  assert.deepEqual((await io.in(LONG).fetchSockets()).map(({ id }) => id), ["s"]);
  assert.deepEqual((await io.except(LONG).fetchSockets()).map(({ id }) => id), []);
  void socket.join(LONG);
  assert.deepEqual([[...socket.rooms].sort(), (await link.next("JOIN")).rooms], [[LONG, "s"].sort(), [SHORT]]);
  void socket.leave(LONG);
  assert.deepEqual([[...socket.rooms], (await link.next("LEAVE")).rooms], [["s"], [SHORT]]);
  assert.equal(io.sockets.adapter.rooms.size, 1);
});

test("an emitter speaks to a long room by the same name", async () => {
  const emitter = createEmitter({ url: daemon.url });
  const other = await daemon.accept();
  await other.welcome();
  await emitter.ready;
  emitter.to(LONG).except(LONG).emit("said");
  const { rooms, except } = await other.next("BCAST");
  assert.deepEqual([rooms, except], [[SHORT], [SHORT]]);
  await emitter.close();
});

/** A room that is a number, whatever the types say. */
const NUMBER = 42 as unknown as string;

test("a room that is a number is joined, spoken to and left by its text on the link, and by itself here", async () => {
  const socket = await client(1);
  void socket.join([NUMBER, "x"]);
  assert.deepEqual((await link.next("JOIN")).rooms, ["42", "x"]);
  assert.deepEqual([...socket.rooms], [socket.id, 42, "x"]);
  io.to(NUMBER).emit("said");
  assert.deepEqual((await link.next("BCAST")).rooms, ["42"]);
  void socket.leave(NUMBER);
  assert.deepEqual((await link.next("LEAVE")).rooms, ["42"]);
  assert.deepEqual([...socket.rooms], [socket.id, "x"]);
});

test("a socket that comes from another worker is in a room that was a number by either", async () => {
  const connected = once(io, "connection") as Promise<[Socket]>;
  link.resume(1, [{ nsp: "/", sid: "s", pid: "p", rooms: ["42", "43", "44"], auth: {}, data: {} }]);
  const [socket] = await connected;
  assert.deepEqual((await io.in(NUMBER).fetchSockets()).map(({ id }) => id), ["s"]);
  assert.deepEqual((await io.in("42").fetchSockets()).map(({ id }) => id), ["s"]);
  assert.deepEqual(await io.except(NUMBER).fetchSockets(), []);
  void socket.leave(NUMBER);
  assert.deepEqual((await link.next("LEAVE")).rooms, ["42"]);
  io.in(43 as unknown as string).socketsLeave(43 as unknown as string);
  assert.deepEqual((await link.next("LEAVE")).rooms, ["43"]);
  void socket.join(44 as unknown as string);
  assert.deepEqual([...socket.rooms], ["s", 44]);
  io.in(44 as unknown as string).disconnectSockets();
  assert.deepEqual([socket.connected, io.sockets.adapter.rooms.size], [false, 0]);
});
