// Three servers of one application, the third of which stops for a while: what is asked of all, and what the others are answered. Stock ones with socket.io's
// cluster adapter say the same, but for what the daemon asks of clients itself.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../it/daemon.mjs";
import { answering } from "./answering.mjs";
import { outcome, withDaemon } from "./both.mjs";

const third = fileURLToPath(new URL("third.mjs", import.meta.url));
/** What servers wait for others before `serverSideEmit` gives up: socket.io-adapter's own, and not to be set. */
const REQUEST_MS = 5_000;

/** A stock server that hears nothing of the others until it goes on, as a process that is stopped. */
async function stockThird(side) {
  const io = await side.serve({}, { adapter: side.io.of("/").adapter.constructor });
  answering(io, "c");
  const { adapter } = io.of("/");
  const onMessage = adapter.onMessage.bind(adapter);
  let waiting;
  adapter.onMessage = (message) => (waiting ? waiting.push(message) : onMessage(message));
  const goOn = () => {
    const heard = waiting ?? [];
    waiting = undefined;
    heard.forEach(onMessage);
  };
  return { io, stop: () => { waiting = []; }, goOn, end: () => {} };
}

/** The same behind the daemon: a process. */
async function ringwayThird(side) {
  const child = spawn(process.execPath, [third, side.at.link], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const end = async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { io: { url: side.at.url }, stop: () => child.kill("SIGSTOP"), goOn: () => child.kill("SIGCONT"), end };
}

const settled = (promise) => promise.then((value) => ({ value }), ({ message, responses }) => ({ message, responses: responses?.sort() }));

/** All that servers ask of each other, at the same time. */
async function ask(io) {
  const began_ms = performance.now();
  let serverSide_ms;
  const byCallback = new Promise((resolve) => { io.serverSideEmit("who", (error, responses) => resolve([error?.message ?? null, responses.sort()])); });
  const byPromise = settled(io.serverSideEmitWithAck("who").then((names) => names.sort())).then((result) => { serverSide_ms = performance.now() - began_ms; return result; });
  const servers = async (operator) => (await operator.fetchSockets()).map(({ data }) => data.server).sort();
  const [fetched, fetchedSoon, asked] = await Promise.all([
    settled(servers(io)), settled(servers(io.in("room").timeout(700))), settled(io.to("room").timeout(1_000).emitWithAck("ask").then((names) => names.sort())),
  ]);
  return { answers: { serverSide: [await byCallback, await byPromise], fetched: [fetched, fetchedSoon], asked }, serverSide_ms };
}

async function stopping(side) {
  const [a, b] = await side.pair();
  const c = await (side.isStock ? stockThird(side) : ringwayThird(side));
  try {
    for (const { io } of [a, b]) await until(async () => await io.of("/").adapter.serverCount() === 3);
    for (const [name, { io, socket }] of Object.entries({ a, b })) {
      answering(io, name);
      socket.data.server = name;
      socket.join("room");
    }
    // The daemon gives it to the server that has none.
    const client = side.client({ io: c.io });
    await once(client, "connect");
    for (const [name, asked] of Object.entries({ a: a.client, b: b.client, c: client })) asked.on("ask", (answer) => answer(name));
    await until(async () => (await a.io.in("room").fetchSockets()).length === 3);
    const before = await ask(a.io);
    c.stop();
    a.io.serverSideEmit("note", 1);
    const during = await ask(a.io);
    a.io.serverSideEmit("note", 2);
    c.goOn();
    await until(async () => (await b.io.in("room").fetchSockets().catch(() => [])).length === 3);
    const behind = await ask(a.io);
    const { serverSide_ms } = during;
    assert.ok(serverSide_ms >= REQUEST_MS - 50 && serverSide_ms < REQUEST_MS + 3_000, `given up behind ${serverSide_ms} ms`);
    return { before: before.answers, during: during.answers, behind: behind.answers, notes: (await a.io.serverSideEmitWithAck("notes")).sort(), disconnects: side.clients.flatMap(({ disconnects }) => disconnects) };
  } finally {
    await c.end();
  }
}

const WHOLE = {
  serverSide: [[null, ["b", "c"]], { value: ["b", "c"] }],
  fetched: [{ value: ["a", "b", "c"] }, { value: ["a", "b", "c"] }],
  asked: { value: ["a", "b", "c"] },
};
const MISSING = "timeout reached: missing 1 responses";
const PARTIAL = {
  serverSide: [[MISSING, ["b"]], { message: MISSING, responses: ["b"] }],
  fetched: [{ message: MISSING, responses: undefined }, { message: MISSING, responses: undefined }],
};
const outcomeWith = (asked) => ({
  before: WHOLE, during: { ...PARTIAL, asked }, behind: WHOLE, notes: [["b", [1, 2]], ["c", [1, 2]]], disconnects: [],
});

describe("a server that does not answer", () => {
  const at = withDaemon();

  test("stock servers: an error that says how many are missing, and what the others said; then all is whole", { timeout: 40_000 }, async () => {
    assert.deepEqual(await outcome(undefined, { serves: false }, stopping), outcomeWith({ message: "operation has timed out", responses: ["a", "b"] }));
  });

  test("behind the daemon it is the same, and the clients of the one that stopped are asked all the same", { timeout: 40_000 }, async () => {
    assert.deepEqual(await outcome(at, { serves: false }, stopping), outcomeWith({ value: ["a", "b", "c"] }));
  });
});
