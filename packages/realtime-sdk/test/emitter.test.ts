// An emitter over a scripted link: what it says, and what becomes of that when the link is lost. And what a worker makes of its orders.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MessageType } from "socket.io-adapter";

import { decodeBus } from "../src/bus.js";
import { createEmitter, type LinkError } from "../src/emitter/index.js";
import { FLAG, MOVEMENT } from "../src/link/frames.js";
import { isOrder, orderOf } from "../src/order.js";
import { catching } from "./catching.js";
import { PeerDaemon } from "./peer.js";

interface Told {
  told: (number: number, bytes?: Uint8Array) => void;
}

interface Asked {
  reload: (name: string) => void;
}

async function meet(t: { after(done: () => void): void }) {
  const daemon = await PeerDaemon.listen();
  const errors: LinkError[] = [];
  const emitter = createEmitter<Told, Asked>({ url: daemon.url, onError: (error) => void errors.push(error), bounds: { retry_ms_max: 60 } });
  t.after(() => {
    daemon.close();
    void emitter.close();
  });
  const link = await daemon.accept();
  return { daemon, emitter, errors, link };
}

test("says who it is, and speaks Socket.IO", async (t) => {
  const { emitter, link } = await meet(t);
  assert.equal((await link.welcome()).role, "emitter");
  emitter.to(["a", "b"]).except("c").volatile.compress(false).emit("told", 1, Uint8Array.of(7));
  emitter.of("news").emit("told", 2);
  const [first, second] = [await link.next("NSP"), await link.next("NSP")];
  assert.deepEqual([[first.conn, first.namespace], [second.conn, second.namespace]], [[0, "/"], [1, "/news"]]);
  const [told, news] = [await link.next("BCAST"), await link.next("BCAST")];
  assert.deepEqual([told.nsp, told.rooms, told.except, told.flags], [0, ["a", "b"], ["c"], FLAG.VOLATILE | FLAG.NO_COMPRESS | FLAG.ASCII]);
  assert.deepEqual(told.parts.map(({ binary, bytes }) => [binary, Buffer.from(bytes as Buffer).toString("latin1")]), [
    [false, '51-["told",1,{"_placeholder":true,"num":0}]'], [true, "\x07"],
  ]);
  assert.deepEqual([news.nsp, String(news.parts[0]?.bytes)], [1, '2/news,["told",2]']);
  emitter.in("a").disconnectSockets(true);
  emitter.serverSideEmit("reload", "menu");
  const { nsp, what, rooms, except, places } = await link.next("MOVE");
  assert.deepEqual([nsp, what, rooms, except, places], [0, MOVEMENT.CLOSE, ["a"], [], []]);
  const bus = await link.next("BUS");
  assert.deepEqual([bus.nsp, bus.to, decodeBus(bus.opaque)], ["/", "", { type: "SERVER_SIDE_EMIT", data: { packet: ["reload", "menu"] } }]);
});

test("an `onError` that throws does not keep it from coming back", async (t) => {
  const daemon = await PeerDaemon.listen();
  const onError = (error: LinkError): void => { throw new Error(`told of ${error.code}`); };
  const emitter = createEmitter<Told>({ url: daemon.url, onError, bounds: { retry_ms_max: 60 } });
  const { messages, end } = catching();
  t.after(() => {
    end();
    daemon.close();
    void emitter.close();
  });
  const link = await daemon.accept();
  await link.welcome();
  link.socket.write(Buffer.from([10, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
  assert.equal((await link.next("ERROR")).code, "unknown-type");
  const again = await daemon.accept();
  await again.welcome({ resumed: true, received: daemon.received.frames });
  emitter.emit("told", 1);
  await again.next("BCAST");
  assert.deepEqual(messages, ["told of unknown-type"]);
});

test("a lost link: what was on it is told, and what was not on it goes to the next daemon", async (t) => {
  const { daemon, emitter, errors, link } = await meet(t);
  link.credits = false;
  await link.welcome({ grace_ms: 100 });
  emitter.emit("told", 1);
  await link.next("BCAST");
  link.cut();
  const lost = await daemon.accept();
  // It is said while there is no link, and nobody lets this one in.
  emitter.emit("told", 2);
  emitter.serverSideEmit("reload", "x");
  while (errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(errors.map(({ message }) => message), ["unsure: 1 messages may have been heard or not"]);
  lost.cut();
  daemon.epoch = "epoch-2";
  const next = await daemon.accept();
  await next.welcome();
  assert.deepEqual([(await next.next("NSP")).namespace, String((await next.next("BCAST")).parts[0]?.bytes)], ["/", '2["told",2]']);
  await next.next("BUS");
});

test("who says something and closes at once is heard", async (t) => {
  const { emitter, errors, link } = await meet(t);
  emitter.emit("told", 1);
  const closed = emitter.close();
  await link.welcome();
  await link.next("BCAST");
  await link.next("GOAWAY");
  await closed;
  assert.deepEqual(errors, []);
});

test("a worker does what an emitter may ask for, and nothing else", () => {
  const opts = { rooms: ["a"], except: [] };
  const made = (type: unknown, data: unknown) => orderOf({ type, data }, "/", MessageType);
  // A room that is a number has the name of its text on the link.
  const numbered = { opts: { rooms: ["42", "042"], except: ["1.5", "x"] }, rooms: ["7"] };
  const target = { rooms: ["42", 42, "042"], except: ["1.5", 1.5, "x"], flags: {} };
  assert.deepEqual(made("SOCKETS_LEAVE", numbered), { uid: "emitter", nsp: "/", type: MessageType.SOCKETS_LEAVE, data: { opts: target, rooms: ["7", 7] } });
  assert.deepEqual(made("SOCKETS_JOIN", numbered), { uid: "emitter", nsp: "/", type: MessageType.SOCKETS_JOIN, data: { opts: target, rooms: ["7"] } });
  assert.deepEqual(made("SOCKETS_JOIN", { opts, rooms: ["b"] }), {
    uid: "emitter", nsp: "/", type: MessageType.SOCKETS_JOIN, data: { opts: { ...opts, flags: {} }, rooms: ["b"] },
  });
  assert.equal(made("DISCONNECT_SOCKETS", { opts })?.type, MessageType.DISCONNECT_SOCKETS);
  // A packet with a request's number would be answered.
  assert.deepEqual(made("SERVER_SIDE_EMIT", { packet: ["x", 1], requestId: "1" }), {
    uid: "emitter", nsp: "/", type: MessageType.SERVER_SIDE_EMIT, data: { packet: ["x", 1] },
  });
  for (const [type, data] of [
    ["FETCH_SOCKETS", { opts, requestId: "1" }], ["ADAPTER_CLOSE", {}], ["BROADCAST", { opts, packet: {} }], ["constructor", { opts }],
    ["SOCKETS_JOIN", { opts, rooms: "b" }], ["SOCKETS_JOIN", { opts, rooms: [1] }], ["SOCKETS_LEAVE", { rooms: ["b"] }],
    ["SOCKETS_LEAVE", { opts: { rooms: ["a"] }, rooms: [] }], ["DISCONNECT_SOCKETS", undefined], ["DISCONNECT_SOCKETS", { opts: null }],
    ["SERVER_SIDE_EMIT", { packet: [] }], ["SERVER_SIDE_EMIT", { packet: "x" }], ["SERVER_SIDE_EMIT", null],
  ] as const) {
    assert.equal(made(type, data), undefined, `${type} ${JSON.stringify(data)}`);
  }
  assert.deepEqual([isOrder({ type: 3 }), isOrder({ type: "BROADCAST" })], [false, true]);
});
