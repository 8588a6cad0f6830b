// What an application asks for that the daemon does not have: refused by name, warned of, or done here.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { afterEach, beforeEach } from "node:test";

import { Server } from "socket.io";

import { FLAG } from "../src/link/frames.js";
import { attachRingway, UnsupportedError, type Ringway, type RingwayOptions } from "../src/server.js";
import { PeerDaemon, type PeerLink } from "./peer.js";
import { test } from "./timed.js";

type Options = Record<string, unknown>;

let daemon: PeerDaemon;
let io: Server;
let ringway: Ringway;
let link: PeerLink;

/** A worker of a daemon that has these parts only. */
async function start(caps: string[], options: Options = {}, more: Partial<RingwayOptions> = {}): Promise<void> {
  io = new Server(options as object);
  ringway = attachRingway(io, { url: daemon.url, ...more });
  link = await daemon.accept();
  void link.welcome({ caps });
}

beforeEach(async () => { daemon = await PeerDaemon.listen(); });
afterEach(async () => {
  await io.close();
  daemon.close();
});

const NEEDS: Record<string, [capability: string, options: Options]> = {
  "a parser": ["opaque", { parser: { Encoder: class { encode(): string[] { return []; } }, Decoder: class {} } }],
  "allowRequest": ["handshake", { allowRequest: () => {} }],
};

for (const [name, [capability, options]] of Object.entries(NEEDS)) {
  test(`${name}: a daemon that cannot is left, without a client and with an error`, async () => {
    await start([], options);
    const error = once(ringway, "error") as Promise<[UnsupportedError]>;
    await assert.rejects(ringway.ready, { name: "UnsupportedError", code: "RINGWAY_UNSUPPORTED", capability });
    assert.equal((await error)[0].capability, capability);
    // Those that wait are left to workers that can.
    const left = await link.next("GOAWAY", "BIND", "NSP");
    assert.deepEqual([left.name, left.name === "GOAWAY" && left.json.value.mode], ["GOAWAY", "keep"]);
    await link.closed;
  });

  test(`${name}: a daemon that can is joined`, async () => {
    await start([capability], options);
    await ringway.ready;
    await link.next("BIND");
  });
}

test("the error is thrown where nobody listens", async () => {
  await start([], NEEDS["allowRequest"]?.[1]);
  // The test runner's own listener would take it for a failure.
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const [error] = await once(process, "uncaughtException") as [Error];
  for (const listener of listeners) process.on("uncaughtException", listener);
  assert.equal(error.name, "UnsupportedError");
});

test("a cors of functions is not asked for where the daemon asks somebody else", async () => {
  const cors = { origin: (_: unknown, done: (error: null, allowed: boolean) => void): void => done(null, true) };
  for (const [caps, rpc] of [[[], "none"], [["handshake"], "handshake"]] as const) {
    await start([...caps], { cors });
    const bind = await link.next("BIND");
    assert.equal(bind.json.value.rpc, rpc);
    await io.close();
  }
});

test("a worker says whose it is", async () => {
  io = new Server();
  attachRingway(io, { url: daemon.url, app: "shop" });
  assert.equal((await (await daemon.accept()).welcome()).app, "shop");
});

test("who says rpc none does without being asked", async () => {
  await start([], NEEDS["allowRequest"]?.[1], { rpc: "none" });
  await ringway.ready;
  assert.equal((await link.next("BIND")).json.value.rpc, "none");
});

test("io.engine.use, ids and header hooks throw once it is known that nobody asks, and change nothing", async () => {
  await start([]);
  await ringway.ready;
  const { engine } = ringway;
  assert.throws(() => engine.use((_request, _response, next) => next()), UnsupportedError);
  assert.throws(() => { engine.generateId = () => "mine"; }, UnsupportedError);
  assert.throws(() => engine.on("headers", () => {}), UnsupportedError);
  assert.equal(engine.isAsked, false);
});

test("connectionStateRecovery and a cors with functions are warned of, and nothing is marked for recovery", async () => {
  const codes: unknown[] = [];
  const warned = (warning: Error & { code?: unknown }): void => { if (warning.name === "RingwayWarning") codes.push(warning.code); };
  process.on("warning", warned);
  await start([], { connectionStateRecovery: {}, cors: { origin: /example/ } });
  await ringway.ready;
  io.emit("news");
  assert.equal((await link.next("BCAST")).flags, FLAG.ASCII);
  assert.deepEqual(codes, ["RINGWAY_NO_RECOVERY", "RINGWAY_NO_CORS"]);
  process.off("warning", warned);
});

/** Each way to give a server sockets of its own. */
const OWN: Record<string, () => Server> = {
  "new Server(http)": () => attached(new Server(createServer())),
  "new Server(port)": () => attached(new Server(0)),
  "listen(port) behind it": () => attached(new Server()).listen(0),
  "attach(http) behind it": () => attached(new Server()).attach(createServer()),
};

function attached(own: Server): Server {
  attachRingway(own, { url: daemon.url });
  return own;
}

test("messages that the daemon does not let in are warned of, once of each size", async () => {
  const warnings: [code: unknown, message: string][] = [];
  const warned = (warning: Error & { code?: unknown }): void => { if (warning.name === "RingwayWarning") warnings.push([warning.code, warning.message]); };
  process.on("warning", warned);
  // What the application wants, and what the daemon says.
  for (const [maxHttpBufferSize, payload_bytes_max] of [[1e8, 2e6], [1e8, 2e6], [1e8, 1e8], [2e6, 2e6], [100, 2e6], [1e8]] as [number, number?][]) {
    const own = attached(new Server({ maxHttpBufferSize }));
    const its = await daemon.accept();
    await its.welcome(payload_bytes_max === undefined ? {} : { payload_bytes_max });
    await its.next("BIND");
    await own.close();
  }
  process.off("warning", warned);
  assert.deepEqual(warnings.map(([code]) => code), ["RINGWAY_PAYLOAD_BYTES"]);
  assert.match(String(warnings), /`maxHttpBufferSize` is 100000000, .* more than 2000000 bytes: `engine\.payload_bytes_max`/);
});

for (const [how, make] of Object.entries(OWN)) {
  test(`a server that takes clients past the daemon is warned of, and no other: ${how}`, async () => {
    const codes: unknown[] = [];
    const warned = (warning: Error & { code?: unknown }): void => { if (warning.name === "RingwayWarning") codes.push(warning.code); };
    process.on("warning", warned);
    await start([]);
    await ringway.ready;
    assert.deepEqual(codes, []);
    const own = make();
    await new Promise(setImmediate);
    assert.deepEqual(codes, ["RINGWAY_OWN_SOCKETS"]);
    process.off("warning", warned);
    await own.close();
  });
}

test("a server that is closed and attached again takes nobody past the daemon", async () => {
  const codes: unknown[] = [];
  const warned = (warning: Error & { code?: unknown }): void => void codes.push(warning.code);
  process.on("warning", warned);
  await start([]);
  await ringway.ready;
  await io.close();
  ringway = attachRingway(io, { url: daemon.url });
  link = await daemon.accept();
  void link.welcome({ caps: [] });
  await ringway.ready;
  process.off("warning", warned);
  assert.deepEqual(codes, []);
});

for (const caps of [["recovery"], []]) {
  test(`what was said before the daemon came is marked for recovery as that one can: ${caps.join() || "not"}`, async () => {
    io = new Server({ connectionStateRecovery: {} });
    ringway = attachRingway(io, { url: daemon.url });
    io.emit("early");
    io.volatile.emit("dropped");
    io.compress(false).emit("too");
    link = await daemon.accept();
    void link.welcome({ caps });
    const early = await link.next("BCAST");
    assert.equal(early.flags, FLAG.ASCII | (caps.includes("recovery") ? FLAG.RECOVER : 0));
    const next = await link.next("BCAST");
    assert.deepEqual([String(next.parts[0]?.bytes), next.flags], ['2["too"]', early.flags | FLAG.NO_COMPRESS]);
  });
}

test("a local broadcast is sent to each client here when the daemon would give it to all", async () => {
  await start([]);
  await ringway.ready;
  link.open(1);
  await link.connect(1);
  io.local.emit("here", new Uint16Array([0x0102]));
  io.emit("everywhere", new Uint16Array([0x0102]).buffer, new DataView(new ArrayBuffer(1)));
  const bytes = Buffer.of(2, 1);
  assert.equal(await link.text(1), '51-["here",{"_placeholder":true,"num":0}]');
  assert.deepEqual((await link.next("SEND")).payload, bytes);
  const { parts } = await link.next("BCAST");
  assert.deepEqual(parts.slice(1).map((part) => part.bytes), [bytes, Buffer.of(0)]);
});

test("numbers of acknowledgements stay below those of the daemon", async () => {
  await start([]);
  await ringway.ready;
  const nsp = io.of("/") as unknown as { _ids: number };
  nsp._ids = 2 ** 29 - 1;
  const numbers = [nsp._ids++, nsp._ids++, nsp._ids++];
  assert.deepEqual(numbers, [2 ** 29 - 1, 0, 1]);
});

test("numbers of acknowledgements begin anywhere: clients outlive processes", async () => {
  await start([]);
  await ringway.ready;
  const firsts = Array.from({ length: 8 }, (_, number) => (io.of(`/${number}`) as unknown as { _ids: number })._ids);
  assert.ok(firsts.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 29), `${firsts}`);
  assert.equal(new Set(firsts).size, firsts.length, `${firsts}`);
});
