// Whether more is worth sending, and who is told when it is again.

import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach } from "node:test";

import { Server, type Socket } from "socket.io";

import { attachRingway, type Ringway } from "../src/server.js";
import { catching } from "./catching.js";
import { connected } from "./client.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

/** Of a daemon that takes little at a time. */
const WINDOW = { frames: 100, bytes: 2_000 };
const LONG = "x".repeat(3_000);

let daemon: PeerDaemon;
let io: Server;
let ringway: Ringway;
let link: PeerLink;

beforeEach(async () => {
  daemon = await PeerDaemon.listen();
  io = new Server();
  ringway = attachRingway(io, { url: daemon.url });
  link = await daemon.accept();
  await link.welcome({ window: WINDOW });
  await ringway.ready;
});
afterEach(async () => {
  await io.close();
  daemon.close();
});

const client = (conn: number): Promise<Socket> => connected(io, link, conn);

/** The daemon deals with all that it was sent. */
function takeAll(on: PeerLink): void {
  const { frames, bytes } = daemon.received;
  on.send("CREDIT", 0, 0, { frames: BigInt(frames), bytes: BigInt(bytes) });
}

/** Somebody fills the link, and somebody else waits for it. */
async function full(): Promise<{ waiting: Socket; other: Socket; drained: Promise<unknown> }> {
  const [loud, waiting, other] = [await client(1), await client(2), await client(3)];
  link.credits = false;
  loud.emit("long", LONG);
  await link.next("SEND");
  assert.equal(waiting.conn.transport.writable, false);
  return { waiting, other, drained: once(waiting.conn, "drain") };
}

test("who waits for the daemon is told when it takes more", async () => {
  const { waiting, drained } = await full();
  takeAll(link);
  await drained;
  assert.equal(waiting.conn.transport.writable, true);
});

test("who waits while the link is cut is told when it is back", async () => {
  const waiting = await client(1);
  const down = once(ringway, "down");
  link.cut();
  await down;
  assert.equal(waiting.conn.transport.writable, false);
  const drained = once(waiting.conn, "drain");
  link = await daemon.accept();
  await link.welcome({ window: WINDOW, resumed: true, received: daemon.received.frames });
  await drained;
  assert.equal(waiting.conn.transport.writable, true);
});

test("a client that is ready again while the daemon is not is told when both are", async () => {
  const { waiting } = await full();
  let drains = 0;
  waiting.conn.on("drain", () => { drains += 1; });
  link.send("PRESSURE", 0, 2, { on: 1, waiting: 70_000 });
  link.send("PRESSURE", 0, 2, { on: 0, waiting: 0 });
  await link.heard();
  assert.equal(drains, 0);
  takeAll(link);
  await link.heard();
  assert.equal(drains, 1);
});

test("as many are told as there is room for, the others behind the next credit, and none whose client is not ready", async () => {
  const sockets = [];
  for (let conn = 1; conn <= 4; conn += 1) sockets.push(await client(conn));
  link.credits = false;
  sockets[0]?.emit("long", LONG);
  await link.next("SEND");
  const told: number[] = [];
  for (const [at, socket] of sockets.entries()) {
    assert.equal(socket.conn.transport.writable, false);
    socket.conn.once("drain", () => {
      told.push(at + 1);
      socket.emit("long", LONG);
    });
  }
  link.send("PRESSURE", 0, 2, { on: 1, waiting: 70_000 });
  await link.heard();
  takeAll(link);
  await link.next("SEND");
  assert.deepEqual(told, [1]);
  takeAll(link);
  await link.next("SEND");
  assert.deepEqual(told, [1, 3]);
  takeAll(link);
  await link.next("SEND");
  assert.deepEqual(told, [1, 3, 4]);
  takeAll(link);
  await link.heard();
  link.send("PRESSURE", 0, 2, { on: 0, waiting: 0 });
  await link.next("SEND");
  assert.deepEqual(told, [1, 3, 4, 2]);
});

test("a listener that throws keeps nobody else from being told", async () => {
  const { waiting, other } = await full();
  assert.equal(other.conn.transport.writable, false);
  const drained = once(other.conn, "drain");
  waiting.conn.once("drain", () => { throw new Error("of the application"); });
  const { messages, end } = catching();
  takeAll(link);
  await drained;
  await link.heard();
  end();
  assert.deepEqual(messages, ["of the application"]);
});

test("volatile broadcasts are not kept for a daemon that takes no more", async () => {
  await full();
  io.volatile.emit("late");
  io.emit("kept");
  takeAll(link);
  await link.heard();
  io.volatile.emit("now");
  const texts = [(await link.next("BCAST")).parts, (await link.next("BCAST")).parts].map((parts) => String(parts[0]?.bytes));
  assert.deepEqual(texts, ['2["kept"]', '2["now"]']);
});
