// The link itself: the handshake, proofs, cuts, and peers that lie.

import assert from "node:assert/strict";
import { once, type EventEmitter } from "node:events";
import { afterEach } from "node:test";

import { Server, type Socket } from "socket.io";
import { MessageType } from "socket.io-adapter";

import { encodeBus } from "../src/bus.js";
import { FLAG } from "../src/link/frames.js";
import { json, type Goaway } from "../src/link/json.js";
import { attachRingway, type LinkError, type Ringway, type RingwayOptions } from "../src/server.js";
import { catching } from "./catching.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

const SECRET = Buffer.alloc(32, 7);
const FAST = { retry_ms_min: 1, retry_ms_max: 5, ping_ms: 60_000 };

let daemon: PeerDaemon;
let io: Server;
let ringway: Ringway;

async function start(transport: "unix" | "tcp" = "unix", options: Partial<RingwayOptions> = {}): Promise<void> {
  daemon = await PeerDaemon.listen(transport);
  io = new Server();
  ringway = attachRingway(io, { url: daemon.url, bounds: FAST, ...options });
}

async function open(): Promise<PeerLink> {
  const link = await daemon.accept();
  await link.welcome();
  return link;
}

async function client(link: PeerLink, conn: number): Promise<Socket> {
  link.open(conn);
  const connected = once(io, "connection") as Promise<[Socket]>;
  await link.connect(conn);
  return (await connected)[0];
}

async function fault(): Promise<LinkError> {
  return ((await once(ringway, "fault")) as [LinkError])[0];
}

afterEach(async () => {
  await io.close();
  daemon.close();
});

test("HELLO says who the worker is", async () => {
  await start("unix", { app: "shop", name: "one", weight: 3 });
  const link = await daemon.accept();
  const hello = await link.welcome();
  assert.deepEqual([hello.app, hello.name, hello.weight, hello.role, hello.resume], ["shop", "one", 3, "worker", undefined]);
  assert.deepEqual(hello.proto, [1, 0]);
  assert.match(hello.nonce, /^[0-9a-f]{32}$/);
  await ringway.ready;
});

test("an exception is told before it ends the process, and an end of the link takes that back", async () => {
  const listeners = process.listenerCount("uncaughtExceptionMonitor");
  await start();
  const link = await open();
  await ringway.ready;
  assert.equal(process.listenerCount("uncaughtExceptionMonitor"), listeners + 1);
  // As the process itself does; one of them is enough for two in a moment.
  const emitter: EventEmitter = process;
  for (let times = 0; times < 2; times += 1) emitter.emit("uncaughtExceptionMonitor", new Error("a handler"), "uncaughtException");
  assert.equal((await link.next("ERROR")).code, "exception");
  // It has gone on: so has the link.
  const socket = await client(link, 1);
  socket.emit("still here");
  assert.equal(await link.text(1), '2["still here"]');
  await io.close();
  assert.equal(process.listenerCount("uncaughtExceptionMonitor"), listeners);
});

test("over TCP both prove that they know the secret", async () => {
  await start("tcp", { secret: SECRET });
  const link = await daemon.accept();
  link.challenge();
  const hello = await link.next("HELLO");
  assert.equal(link.proves(hello, SECRET), true);
  assert.equal(link.proves(hello, Buffer.alloc(32, 8)), false);
  link.cut();
  const next = await daemon.accept();
  await next.welcome({}, SECRET);
  await ringway.ready;
});

test("a daemon that does not know the secret is refused, and tried again", async () => {
  await start("tcp", { secret: SECRET });
  for (const wrong of [Buffer.alloc(32, 8), undefined]) {
    const failed = fault();
    const link = await daemon.accept();
    await link.welcome({}, wrong);
    assert.equal((await failed).code, "proof");
    const said = await link.next("ERROR");
    assert.equal(said.code, "proof");
    await link.closed;
  }
  const link = await daemon.accept();
  await link.welcome({}, SECRET);
  await ringway.ready;
});

test("a daemon that refuses the worker's proof is tried again", async () => {
  await start("tcp", { secret: SECRET });
  const link = await daemon.accept();
  link.challenge();
  await link.next("HELLO");
  const failed = fault();
  link.send("ERROR", 0, 0, { code: "proof", message: "no" });
  const error = await failed;
  assert.deepEqual([error.code, error.remote], ["proof", true]);
  await (await daemon.accept()).welcome({}, SECRET);
  await ringway.ready;
});

test("TCP without a secret is a mistake that shows at once", async () => {
  await start();
  await open();
  const url = "tcp://127.0.0.1:1";
  assert.throws(() => attachRingway(new Server(), { url }), /needs a secret/);
  assert.throws(() => attachRingway(new Server(), { url, secret: "short" }), /needs a secret/);
  assert.throws(() => attachRingway(new Server(), { url: "http://x" }), /unix:PATH or tcp:/);
});

test("a link that comes back in time loses and doubles nothing", async () => {
  await start();
  const link = await open();
  const socket = await client(link, 1);
  const heard: unknown[] = [];
  socket.on("count", (number) => heard.push(number));
  link.data(1, '2["count",1]');
  await once(socket, "count");
  link.credits = false;
  const before = { ...daemon.received };
  socket.emit("said", 1);
  await link.next("SEND");
  const down = once(ringway, "down");
  link.cut();
  await down;
  // Said while there is no link.
  socket.emit("said", 2);
  assert.equal(socket.connected, true);

  const again = await daemon.accept();
  // The daemon had dealt with neither.
  daemon.received = { ...before };
  const hello = await again.welcome({ resumed: true, received: before.frames });
  assert.equal(hello.resume?.epoch, "epoch-1");
  // OPEN, CONNECT and the first event.
  assert.equal(hello.resume?.received, 3);
  again.data(1, '2["count",2]');
  await once(socket, "count");
  assert.equal(await again.text(1), '2["said",1]');
  assert.equal(await again.text(1), '2["said",2]');
  assert.deepEqual(heard, [1, 2]);
  assert.equal(again.inbox.some(({ name }) => name === "BIND" || name === "NSP"), false);
});

test("listeners that throw do not hold the link up", async () => {
  await start();
  const link = await open();
  const socket = await client(link, 1);
  await ringway.ready;
  const { messages, end } = catching();
  try {
    for (const name of ["open", "down", "retry", "fault", "goaway"] as const) ringway.on(name, () => { throw new Error(name); });
    link.send("GOAWAY", 0, 0, { json: json<Goaway>({ mode: "close", reason: "x", deadline_ms: 1 }) });
    link.credits = false;
    const before = { ...daemon.received };
    socket.emit("said", 1);
    assert.equal(await link.text(1), '2["said",1]');
    // A fault that this side names, and so closes for: it must come back all the same.
    link.socket.write(Buffer.from([10, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    // The listener of `goaway` has thrown.
    assert.equal((await link.next("ERROR")).code, "exception");
    assert.equal((await link.next("ERROR")).code, "unknown-type");
    const again = await daemon.accept();
    daemon.received = { ...before };
    await again.welcome({ resumed: true, received: before.frames });
    // Nothing else is said meanwhile that would take it along.
    assert.equal(await again.text(1), '2["said",1]');
    const heard = once(socket, "count");
    again.data(1, '2["count",1]');
    assert.deepEqual(await heard, [1]);
    // It rejoins anew, too.
    const lost = once(ringway, "lost");
    daemon.epoch = "epoch-2";
    again.cut();
    const anew = await daemon.accept();
    daemon.received = { frames: 0, bytes: 0 };
    await anew.welcome();
    await lost;
    await anew.next("BIND");
    await client(anew, 2);
  } finally {
    end();
  }
  assert.deepEqual([...new Set(messages)].sort(), ["down", "fault", "goaway", "open", "retry"]);
  assert.equal(messages.filter((message) => message === "open").length, 2);
});

test("a daemon that forgot the worker gets all anew, and clients are gone", async () => {
  await start();
  const link = await open();
  const socket = await client(link, 1);
  const gone = once(socket, "disconnect");
  link.cut();
  daemon.epoch = "epoch-2";
  const again = await daemon.accept();
  daemon.received = { frames: 0, bytes: 0 };
  const hello = await again.welcome();
  assert.equal(hello.resume?.epoch, "epoch-1");
  assert.equal((await gone)[0], "transport close");
  await again.next("BIND");
  assert.equal((await again.next("NSP")).conn, 0);
  await client(again, 1);
  // Nothing of the old client's is said to the new daemon.
  assert.equal(again.inbox.some(({ name }) => name === "LEAVE_ALL"), false);
});

test("a daemon that resumes what it cannot is told", async () => {
  await start();
  let failed = fault();
  await (await daemon.accept()).welcome({ resumed: true });
  assert.equal((await failed).code, "out-of-turn", "nobody asked");
  const link = await open();
  await ringway.ready;
  link.cut();
  daemon.epoch = "epoch-2";
  failed = fault();
  await (await daemon.accept()).welcome({ resumed: true });
  assert.equal((await failed).code, "out-of-turn", "another life of the daemon");
});

test("behind the grace time the clients are gone", async () => {
  await start();
  const link = await daemon.accept();
  await link.welcome({ grace_ms: 20 });
  const socket = await client(link, 1);
  const gone = once(socket, "disconnect");
  link.cut();
  const again = await daemon.accept();
  // It does not answer in time.
  assert.equal((await gone)[0], "transport close");
  again.cut();
  const last = await daemon.accept();
  daemon.received = { frames: 0, bytes: 0 };
  assert.equal((await last.welcome()).resume, undefined);
});

test("what is said without a daemon and is for all goes when it is there", async () => {
  await start();
  io.emit("early");
  const link = await open();
  const order = [await link.next("BIND", "NSP", "BCAST"), await link.next("BIND", "NSP", "BCAST"), await link.next("BIND", "NSP", "BCAST")];
  assert.deepEqual(order.map(({ name }) => name), ["BIND", "NSP", "BCAST"]);
});

test("a connection beyond 2^53 is one as any other", async () => {
  await start();
  const link = await open();
  await ringway.ready;
  const conn = 0xffff_0000_0000_0001n;
  link.open(conn);
  link.data(conn, "0");
  assert.match(await link.text(conn), /^0\{/);
});

test("frames of a later version are passed over", async () => {
  await start();
  const link = await open();
  await ringway.ready;
  link.socket.write(Buffer.from("0e00000080ff070000000000000001020304", "hex"));
  await client(link, 1);
});

test("the credit says what was dealt with", async () => {
  await start();
  const link = await open();
  const socket = await client(link, 1);
  const told = once(socket, "x");
  link.data(1, '2["x"]');
  await told;
  link.send("PING", 0, 0, { number: 0xffff_ffff_ffff_ffffn });
  const pong = await link.next("PONG");
  assert.equal(pong.number, 0xffff_ffff_ffff_ffffn);
  assert.equal(daemon.sent.frames, 3);
  assert.deepEqual(daemon.credit, daemon.sent);
});

/** A client whose events are answered at length. */
async function asking(link: PeerLink): Promise<(count: number) => { frames: number; behind: number }> {
  const socket = await client(link, 1);
  const text = "x".repeat(50_000);
  socket.on("x", (answer: (text: string) => void) => answer(text));
  return (count) => {
    const before = { frames: daemon.sent.frames, behind: daemon.received.frames };
    for (let number = 0; number < count; number += 1) link.data(1, `2${number}["x"]`);
    return before;
  };
}

test("the credit for an event does not overtake the answer to it", async () => {
  await start();
  const link = await open();
  const before = (await asking(link))(40);
  for (let number = 0; number < 40; number += 1) await link.text(1);
  // It goes with the last of them, or a moment later.
  link.send("PING", 0, 0, { number: 1n });
  await link.next("PONG");
  assert.deepEqual(daemon.credit, daemon.sent);
  for (const { frames, behind } of daemon.credits.filter(({ frames }) => frames > before.frames)) {
    assert.ok(behind - before.behind >= frames - before.frames, `${frames - before.frames} events, and ${behind - before.behind} answers before that`);
  }
});

test("answers that the daemon does not take keep the credit back for a moment only: it is a sign of life", async () => {
  await start();
  const link = await daemon.accept();
  await link.welcome({ window: { frames: 8_192, bytes: 100_000 } });
  const ask = await asking(link);
  link.credits = false;
  const before = ask(10);
  await link.text(1);
  while (daemon.credit.frames < daemon.sent.frames) await new Promise((resolve) => { setTimeout(resolve, 10); });
  assert.ok(daemon.received.frames - before.behind < 10);
});

test("the window holds the worker back, and a frame larger than it goes alone", async () => {
  await start();
  const link = await daemon.accept();
  link.credits = false;
  await link.welcome({ window: { frames: 4, bytes: 1000 } });
  await link.next("BIND");
  await link.next("NSP");
  const credit = (): void => link.send("CREDIT", 0, 0, { frames: BigInt(daemon.received.frames), bytes: BigInt(daemon.received.bytes) });
  credit();
  await ringway.ready;
  for (let number = 0; number < 6; number += 1) io.emit("n", number);
  io.emit("large", "x".repeat(2_000));
  for (let number = 0; number < 4; number += 1) await link.next("BCAST");
  // A PONG overtakes what waits: nothing more was sent.
  link.send("PING", 0, 0, { number: 1n });
  await link.next("PONG");
  assert.equal(link.inbox.length, 0);
  credit();
  await link.next("BCAST");
  await link.next("BCAST");
  link.send("PING", 0, 0, { number: 2n });
  await link.next("PONG");
  assert.equal(link.inbox.length, 0);
  credit();
  assert.equal((await link.next("BCAST")).parts[0]?.bytes.length, 2_013);
});

test("a daemon that is not there is tried again, and who listens is told", async () => {
  await start();
  await (await daemon.accept()).welcome();
  await ringway.ready;
  daemon.close();
  const [cause, delay_ms] = (await once(ringway, "retry")) as [Error, number];
  assert.ok(cause instanceof Error && delay_ms >= 0);
  const [refused] = (await once(ringway, "retry")) as [NodeJS.ErrnoException];
  assert.match(refused.code ?? "", /ENOENT|ECONNREFUSED/);
});

test("a daemon that falls silent is left", async () => {
  await start("unix", { bounds: { ...FAST, ping_ms: 5 } });
  daemon.answersPings = false;
  const failed = fault();
  await open();
  assert.equal((await failed).code, "silent");
  await daemon.accept();
});

test("what waits for the daemon is bounded", async () => {
  await start("unix", { bounds: { ...FAST, queue_bytes_max: 100_000 } });
  const link = await daemon.accept();
  link.credits = false;
  await link.welcome({ window: { frames: 8192, bytes: 10_000 } });
  const socket = await client(link, 1);
  const gone = once(socket, "disconnect");
  const failed = fault();
  for (let count = 0; count < 21; count += 1) socket.emit("x", "y".repeat(10_000));
  assert.equal((await failed).code, "queue-full");
  assert.equal((await gone)[0], "transport close");
  const again = await daemon.accept();
  assert.equal((await again.welcome()).resume, undefined);
});

test("what a handler says may be too much within the frame that it hears of: the process goes on, and so does the worker", async () => {
  await start("unix", { bounds: { ...FAST, queue_bytes_max: 100_000 } });
  const link = await daemon.accept();
  const { instance } = await link.welcome({ window: { frames: 8192, bytes: 10_000 } });
  const socket = await client(link, 1);
  link.credits = false;
  const { messages, end } = catching();
  try {
    io.on("reload", () => { for (let count = 0; count < 30; count += 1) socket.emit("x", "y".repeat(10_000)); });
    link.send("PEERS", 0, 0, { nsp: "/", instances: [instance, "other"] });
    const failed = fault();
    const reload = { type: MessageType.SERVER_SIDE_EMIT, data: { packet: ["reload"] } };
    link.send("BUS", 0, 0, { nsp: "/", to: instance, from: "other", opaque: encodeBus(reload) });
    assert.equal((await failed).code, "queue-full");
    const again = await daemon.accept();
    await again.welcome();
    await client(again, 1);
    await again.heard();
  } finally {
    end();
  }
  assert.deepEqual(messages, []);
});

test("broadcasts beyond what may wait are dropped, the newest, and that is said when it begins and when it ends", async () => {
  await start("unix", { bounds: { ...FAST, queue_bytes_max: 100_000 } });
  const link = await daemon.accept();
  await link.welcome({ window: { frames: 8192, bytes: 10_000 } });
  await ringway.ready;
  const faults: string[] = [];
  ringway.on("fault", ({ message }) => faults.push(message));
  for (let count = 0; count < 30; count += 1) io.emit("x", "y".repeat(10_000));
  assert.equal(faults.length, 1);
  assert.match(faults[0] ?? "", /^queue-full: broadcasts are dropped/);
  while (faults.length < 2) await once(ringway, "fault");
  assert.match(faults[1] ?? "", /^queue-full: 21 broadcasts were dropped/);
});

const hello = Buffer.from("0a00000000000000000000000000", "hex");

/** What a lying peer does behind the handshake, and by which name it is told. */
const LIES: readonly [string, string, (link: PeerLink) => void][] = [
  ["bad-length", "a frame that is too short", (link) => link.socket.write(Buffer.from("0900000011000000000000000000", "hex"))],
  ["bad-length", "a frame that is too long", (link) => link.socket.write(Buffer.from("0b00000111000000000000000000", "hex"))],
  ["unknown-type", "a type that nobody knows", (link) => link.socket.write(Buffer.from("0a0000007f000000000000000000", "hex"))],
  ["unknown-flags", "a flag of others", (link) => link.send("DATA", FLAG.VOLATILE, 1, { payload: "x" })],
  ["wrong-direction", "what only a worker says", (link) => link.send("SEND", 0, 1, { payload: "x" })],
  ["out-of-turn", "a second CHALLENGE", (link) => link.challenge()],
  ["out-of-turn", "a connection twice", (link) => { link.open(1); link.open(1); }],
  ["truncated", "a body that ends within a field", (link) => link.socket.write(hello)],
  ["window", "credit for what was never sent", (link) => link.send("CREDIT", 0, 0, { frames: 1_000n, bytes: 1n })],
  ["bad-value", "a message for another worker", (link) => link.send("BUS", 0, 0, { nsp: "/", to: "x", from: "y", opaque: "" })],
];

for (const [code, what, lie] of LIES) {
  test(`a peer that lies is told ${code} and tried again: ${what}`, async () => {
    await start();
    const link = await open();
    await ringway.ready;
    const failed = fault();
    lie(link);
    assert.equal((await failed).code, code);
    assert.equal((await link.next("ERROR")).code, code);
    await link.closed;
    await (await daemon.accept()).welcome();
  });
}

test("a daemon of another version is told", async () => {
  await start();
  const link = await daemon.accept();
  const failed = fault();
  const body = Buffer.from('{"proto":[2,0],"nonce":"x","epoch":"e"}');
  const frame = Buffer.alloc(18);
  frame.writeUInt32LE(14 + body.length, 0);
  frame.writeUInt32LE(body.length, 14);
  link.socket.write(Buffer.concat([frame, body]));
  const error = await failed;
  assert.deepEqual([error.code, /2\.0.*1\.0/.test(error.message)], ["version", true]);
});
