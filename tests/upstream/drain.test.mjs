// A worker that leaves gives its clients to the others at a pace, and nobody notices.
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { ranBy } from "./numbered.mjs";
import { on } from "./stage.mjs";

const PACE = 25;
/** Of the daemon's clock for that, and of its counts. */
const TICK_MS = 200;
const ARGS = ["--shards", "2", "--set", `link.migrations_per_second=${PACE}`];
// Clients that poll make a connection for each request, all from one address: on a fast machine more than an address may.
const RATES = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const MIGRATE = { ON_CLOSE: "migrate" };

/** One event after the other, some of them slow and some with attachments; each must be answered once and in its turn. */
async function load(run, goes) {
  while (goes()) {
    const number = run.sent;
    run.sent += 1;
    const value = number % 5 === 0 ? [number, Buffer.from(`${number}`)] : [number];
    const answered = (answer) => run.answers.push(answer[0]);
    if (number % 7 === 0) run.socket.emit("slow", 40, value, answered);
    else run.socket.emit("echo", value, answered);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** How many clients had gone when, in ms from now on, as the daemon counts them, until it has been said to end and they are all counted. */
function watch(migrated, before) {
  const [start, seen] = [performance.now(), []];
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const moved = (await migrated()) - before;
      if (moved > (seen.at(-1)?.moved ?? 0)) seen.push({ moved, at_ms: performance.now() - start });
    }
  })();
  // Awaited at the end; what it throws before is not to end the process.
  watching.catch(() => {});
  return async () => {
    isOver = true;
    await watching;
    return seen;
  };
}

test("a rolling deploy of three workers under load: each event is answered once, and clients keep all they have", on({ args: [...ARGS, ...RATES] }, async (stage, t) => {
  let workers = [];
  for (let count = 0; count < 3; count += 1) workers.push(await stage.worker([], MIGRATE));
  const transports = (number) => (number % 5 ? ["websocket"] : ["polling"]);
  const runs = await Promise.all([...Array(60).keys()].map(async (who) => {
    const socket = await stage.connected({ auth: { who }, transports: transports(who) });
    await socket.emitWithAck("remember", `value ${who}`);
    await socket.emitWithAck("join", `room-${who % 3}`);
    return { socket, who, id: socket.id, sent: 0, answers: [] };
  }));
  let goes = true;
  const loads = runs.map((run) => load(run, () => goes));
  const migrated = () => total(stage.daemon, "ringway_upstream_clients_migrated_total");
  const late_ms = [];
  for (const old of workers.slice()) {
    workers.push(await stage.worker([], MIGRATE));
    const before = await migrated();
    const had = (await Promise.all(runs.map(({ socket }) => socket.emitWithAck("who")))).filter(({ pid }) => pid === old.pid).length;
    const end = watch(migrated, before);
    const start = performance.now();
    old.child.kill("SIGTERM");
    await once(old.child, "exit");
    const took = performance.now() - start;
    workers = workers.filter((worker) => worker !== old);
    await until(async () => (await migrated()) - before === had);
    const seen = await end();
    // At no moment had more gone than the pace allows, a tick's worth at once. No handler takes longer than 40 ms: what is allowed beyond the pace is for a machine
    // that is busy.
    const told = `${had} clients in ${Math.round(took)} ms: ${seen.map(({ moved, at_ms }) => `${moved} at ${Math.round(at_ms)}`)}`;
    for (const { moved, at_ms } of seen) assert.ok(moved <= (PACE * (at_ms + TICK_MS)) / 1_000, told);
    assert.ok(seen.length > had / 5, `more than a few at once: ${told}`);
    late_ms.push(took - (had / PACE) * 1_000);
    assert.ok(late_ms.at(-1) > -TICK_MS && late_ms.at(-1) < 1_500, told);
  }
  // It is not busy all the time.
  assert.ok(Math.min(...late_ms) < 2 * TICK_MS, `${late_ms}`);
  goes = false;
  await Promise.all(loads);
  for (const { socket, sent, answers } of runs) {
    await until(() => answers.length >= sent).catch((error) => { throw new Error(`${error.message}: ${answers.length} of ${sent}`); });
    const sorted = (numbers) => numbers.toSorted((one, other) => one - other);
    // Slow ones are overtaken.
    assert.deepEqual(sorted(answers), [...Array(sent).keys()]);
    // Handlers of each worker ran in their turn, and once for each event.
    const ran = ranBy(stage.workers, socket.id);
    for (const numbers of ran) assert.deepEqual(numbers, sorted(numbers));
    assert.deepEqual(sorted(ran.flat()), [...Array(sent).keys()]);
    assert.deepEqual(socket.disconnects, []);
  }
  assert.ok((await migrated()) >= 60, `${await migrated()}`);
  t.diagnostic(`3 deploys, ${await migrated()} hand-overs of 60 clients, ${runs.reduce((sum, { sent }) => sum + sent, 0)} events, each run and answered once`);
  const pids = new Set(workers.map(({ pid }) => pid));
  for (const { socket, who, id } of runs) {
    const { pid, data, rooms } = await socket.emitWithAck("who");
    assert.ok(pids.has(pid));
    assert.deepEqual([data, rooms, socket.id], [{ who, value: `value ${who}` }, [id, "lobby", `room-${who % 3}`].sort(), id]);
  }
}));

test("a worker that is alone goes at once, and its clients wait for the next one", on({ args: ARGS }, async (stage) => {
  const worker = await stage.worker([], MIGRATE);
  const socket = await stage.connected({ auth: { who: "ann" } });
  await socket.emitWithAck("remember", 1);
  const start = performance.now();
  worker.child.kill("SIGTERM");
  await once(worker.child, "exit");
  assert.ok(performance.now() - start < 4_000);
  const next = await stage.worker();
  const { pid, data } = await socket.emitWithAck("who");
  assert.deepEqual([pid, data, socket.disconnects], [next.pid, { who: "ann", value: 1 }, []]);
  assert.equal(await total(stage.daemon, "ringway_upstream_clients_migrated_total"), 0);
}));

test("an event that is under way is answered before its client goes, what comes behind it by the next worker", on({ args: ARGS }, async (stage) => {
  const old = await stage.worker([], MIGRATE);
  const socket = await stage.connected();
  const next = await stage.worker();
  const slow = socket.emitWithAck("slow", 1_000, "worth waiting for");
  await socket.emitWithAck("echo", "the slow one has begun");
  old.child.kill("SIGTERM");
  await until(async () => (await total(stage.daemon, "ringway_upstream_clients_migrated_total")) === 1);
  assert.equal(await slow, "worth waiting for");
  assert.equal((await socket.emitWithAck("who")).pid, next.pid);
  assert.deepEqual(socket.disconnects, []);
}));
