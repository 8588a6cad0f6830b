// Handlers that do not return: their client is held, or the clients whose they are together, and nobody else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../it/daemon.mjs";
import { refusals, total } from "../it/metrics.mjs";
import { growth, MIB, YOUNG_BYTES } from "./memory.mjs";
import { on } from "./stage.mjs";

const held = fileURLToPath(new URL("held.mjs", import.meta.url));
const RATES = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const HEARTBEAT = ["--set", "engine.ping_interval_ms=1000", "--set", "engine.ping_timeout_ms=4000"];
const ARGS = ["--shards", "2", ...RATES, ...HEARTBEAT, "--set", "link.stall_ms=4000"];
// Twice what the bounds leave room for in the worker, and ten times what they leave in the daemon.
const EVENTS = 15_000;
const SAID = "x".repeat(8_000);

const WINDOW = 4 * MIB;
/** Of the daemon: the link's window and what lies before it between the shards, in memory that grows by doubling, and of each client 64 KiB on the way and as much in buffers. */
const daemonMax = (clients) => 3 * WINDOW + clients * 128 * 1024;
/** Of the worker: as many events as it may have in its hands, in bytes, each as it came and as text. */
const workerMax = (events) => YOUNG_BYTES + 2 * events * SAID.length;

/** What the daemon and a worker take of memory at most from now on. */
function grow(stage, worker) {
  const [daemon, node] = [stage.daemon.process.pid, worker.pid].map(growth);
  return () => {
    const most = { daemon: daemon.most(), worker: node.most() };
    [daemon, node].forEach((it) => it.end());
    return most;
  };
}

for (const kind of ["promise", "interceptor", "observable"]) test(`handlers that do not return (${kind}): their client is received from no more and not timed out, others go on, and it goes on with them`, on({ args: ARGS }, async (stage, t) => {
  const worker = await stage.join(["--expose-gc", held, stage.link], { KIND: kind });
  const [busy, other] = [await stage.connected(), await stage.connected()];
  const before = await other.emitWithAck("look");
  const most = grow(stage, worker);
  const answers = [];
  for (let number = 0; number < EVENTS; number += 1) busy.emit("wait", [number, SAID], (answer) => answers.push(answer.number));
  await until(async () => (await other.emitWithAck("look")).begun >= 100);
  // Longer than a client may be silent, and than a worker may be stuck: seven pings are seven seconds.
  let pings = 0;
  other.io.engine.on("ping", () => { pings += 1; });
  await until(() => pings >= 7);
  const during = await other.emitWithAck("look");
  const grew = most();
  t.diagnostic(`of ${EVENTS} events ${during.begun} had begun, with ${Math.round((during.heap - before.heap) / 1024)} KiB of heap; the daemon grew by ${Math.round(grew.daemon / MIB)} MiB at most, the worker by ${Math.round(grew.worker / MIB)}`);
  // The bound, and what was on the way: a window of the link, and what lies in the daemon between the client's shard and the link's before it stops receiving.
  const begunMax = 100 + (5 * MIB) / SAID.length;
  assert.ok(during.begun <= begunMax, `${during.begun}`);
  assert.ok(during.heap - before.heap < 32 * MIB, `${during.heap - before.heap} bytes`);
  assert.ok(grew.daemon < daemonMax(2), `the daemon grew by ${grew.daemon} bytes of ${EVENTS * SAID.length}`);
  assert.ok(grew.worker < workerMax(begunMax), `the worker grew by ${grew.worker} bytes of ${EVENTS * SAID.length}`);
  assert.deepEqual([busy.disconnects, other.disconnects, answers], [[], [], []]);
  assert.equal(await total(stage.daemon, "ringway_upstream_stalls_total"), 0);
  await other.emitWithAck("go");
  await until(() => answers.length === EVENTS);
  assert.deepEqual(answers, [...Array(EVENTS).keys()]);
  assert.deepEqual([busy.disconnects, await refusals(stage.daemon)], [[], {}]);
}));

const TALKERS = 5;
const EACH = 1_000;
/** Of all clients; a client's own none of them reaches. */
const WORKER = { handlers_max: 100_000, worker_handlers_max: 200 };
/** The bound, and of each client what was on the way before it was held: a window of the link at most, and half of what it says. */
const BEGUN_MAX = WORKER.worker_handlers_max + TALKERS * (1 + WINDOW / SAID.length);
const ALL = Array(TALKERS).fill([...Array(EACH).keys()]);

/** Clients that together say more than a worker may have running, and the answers of each. */
async function crowd(stage) {
  const talkers = await Promise.all(Array.from({ length: TALKERS }, () => stage.connected()));
  const answers = talkers.map(() => []);
  for (let number = 0; number < EACH; number += 1) {
    talkers.forEach((talker, who) => talker.emit("wait", [number, SAID], (answer) => answers[who].push(answer.number)));
  }
  return { talkers, answers };
}

const ended = (clients) => clients.flatMap(({ disconnects }) => disconnects);

test("as many handlers as all clients may have do not return: who says more is received from no more and not timed out, and others go on, also one that comes then", on({ args: ARGS }, async (stage, t) => {
  const worker = await stage.join(["--expose-gc", held, stage.link], { BOUNDS: JSON.stringify(WORKER) });
  const other = await stage.connected();
  const before = await other.emitWithAck("look");
  const most = grow(stage, worker);
  const { talkers, answers } = await crowd(stage);
  await until(async () => (await other.emitWithAck("look")).begun >= WORKER.worker_handlers_max);
  let pings = 0;
  other.io.engine.on("ping", () => { pings += 1; });
  await until(() => pings >= 7);
  const during = await other.emitWithAck("look");
  const grew = most();
  t.diagnostic(`of ${TALKERS * EACH} events ${during.begun} had begun, with ${Math.round((during.heap - before.heap) / 1024)} KiB of heap; the daemon grew by ${Math.round(grew.daemon / MIB)} MiB at most, the worker by ${Math.round(grew.worker / MIB)}`);
  assert.ok(during.begun <= BEGUN_MAX, `${during.begun} had begun`);
  assert.ok(grew.daemon < daemonMax(TALKERS + 1), `the daemon grew by ${grew.daemon} bytes`);
  assert.match(worker.errors, /handlers-full: 200 handlers run/);
  const late = await stage.connected();
  assert.equal((await late.emitWithAck("look")).begun, during.begun);
  assert.deepEqual([ended([...talkers, other]), await total(stage.daemon, "ringway_upstream_stalls_total")], [[], 0]);
  await late.emitWithAck("go");
  await until(() => answers.every(({ length }) => length === EACH));
  assert.deepEqual(answers, ALL, "each once, in order");
  assert.deepEqual([ended([...talkers, other, late]), await refusals(stage.daemon)], [[], {}]);
}));

test("a worker leaves while as many handlers as all clients may have do not return: its clients go, and what had not begun the next worker hears", on({ args: ["--shards", "2", ...RATES] }, async (stage, t) => {
  const worker = await stage.join(["--expose-gc", held, stage.link], { BOUNDS: JSON.stringify(WORKER) });
  const other = await stage.connected();
  const { talkers, answers } = await crowd(stage);
  await until(async () => (await other.emitWithAck("look")).begun >= WORKER.worker_handlers_max);
  await stage.join(["--expose-gc", held, stage.link], { OPEN: "1" });
  other.emit("leave");
  await worker.until(() => worker.lines.length > 0);
  const begun = Number(worker.lines[0]);
  t.diagnostic(`of ${TALKERS * EACH} events ${begun} had begun where nobody answers`);
  assert.ok(begun <= BEGUN_MAX, `${begun} had begun`);
  await until(() => answers.flat().length === TALKERS * EACH - begun);
  for (const [who, answered] of answers.entries()) assert.deepEqual(answered, ALL[who].slice(EACH - answered.length), `client ${who}: the rest, each once, in order`);
  assert.deepEqual([ended([...talkers, other]), await refusals(stage.daemon)], [[], {}]);
}));
