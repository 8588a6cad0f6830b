// A worker that says more than clients can take, and goes on: it waits, and others do not; then its clients go to another one, and it is not read until it is tried again.
import assert from "node:assert/strict";
import test from "node:test";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { growth, MIB } from "./memory.mjs";
import { on } from "./stage.mjs";

const RATES = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const TEXT = "z".repeat(1_000);
/** How often the quiet worker's clients ask something meanwhile. */
const ASKED = 20;
const args = (...values) => ["--shards", "2", ...RATES, ...values.flatMap((value) => ["--set", value])];
const pidOf = async (socket) => (await socket.emitWithAck("who")).pid;
const metric = (stage, name) => total(stage.daemon, `ringway_${name}`);

/** A worker that will pour, and one that does not; clients of each: those of the second one are not in the lobby, into which it pours. */
async function two(stage) {
  const [loud, well] = [await stage.worker(undefined, { QUEUE_BYTES_MAX: `${8 * MIB}` }), await stage.worker()];
  // So many that those who cannot follow are many on one shard at least.
  const sockets = await Promise.all([...Array(24).keys()].map(() => stage.connected()));
  const pids = await Promise.all(sockets.map(pidOf));
  const [lobby, quiet] = [loud, well].map(({ pid }) => sockets.filter((_, at) => pids[at] === pid));
  assert.deepEqual([lobby.length, quiet.length], [12, 12]);
  await Promise.all(quiet.map((socket) => socket.emitWithAck("leave", "lobby")));
  // Nobody keeps what is poured.
  lobby.forEach((socket) => socket.off("told"));
  return { loud, well, lobby, quiet };
}

/** They ask one thing after the other, and are answered. */
const ask = (sockets, times = ASKED) => Promise.all(sockets.map(async (socket) => {
  for (let number = 0; number < times; number += 1) assert.equal(await socket.emitWithAck("echo", number), number);
}));

test("a storm of one worker's: it waits, and the clients of another one are answered", on({ args: args("link.flood_ms=0") }, async (stage, t) => {
  const { loud, lobby, quiet } = await two(stage);
  const grew = [stage.daemon.process.pid, loud.pid].map(growth);
  lobby[0].emit("pour", TEXT);
  await until(async () => (await metric(stage, "links_heaviest_pauses_total")) > 0);
  await ask(quiet);
  // It has poured on until now: it waits again, or still.
  const pauses = await metric(stage, "links_heaviest_pauses_total");
  await until(async () => (await metric(stage, "links_heaviest_pauses_total")) > pauses);
  const [daemon, worker] = grew.map((it) => it.most());
  grew.forEach((it) => it.end());
  t.diagnostic(`${pauses} pauses; the daemon grew by ${Math.round(daemon / MIB)} MiB at most, the worker by ${Math.round(worker / MIB)}`);
  assert.ok(daemon < 48 * MIB && worker < 160 * MIB, JSON.stringify({ daemon, worker }));
  // All of them do for a while where clients have been slow for long.
  assert.ok(await metric(stage, "links_pauses_total") < pauses, "nobody else has waited");
  assert.equal(await metric(stage, "upstream_circuits_opened_total"), 0);
  loud.child.kill("SIGUSR2");
  assert.deepEqual(await Promise.all(lobby.map(pidOf)), lobby.map(() => loud.pid));
  assert.deepEqual([...lobby, ...quiet].flatMap((socket) => socket.disconnects), []);
}));

test("a storm that does not end: its worker's clients go on with another one, it is not read, and when it is calm it comes back", on({ args: args("link.flood_ms=2000", "link.isolate_ms_min=10000") }, async (stage) => {
  const { loud, well, lobby, quiet } = await two(stage);
  const ids = lobby.map(({ id }) => id);
  lobby[0].emit("pour", TEXT);
  await until(async () => (await metric(stage, "upstream_floods_total")) === 1);
  await until(() => /a worker gets no clients for now: it says more than can be carried to clients, and goes on \(RW-2614\).*RW-2604/.test(stage.daemon.log()));
  assert.deepEqual(await Promise.all(lobby.map(pidOf)), lobby.map(() => well.pid));
  assert.deepEqual(lobby.map(({ id }) => id), ids);
  // It joins again, pours on, and is not read; nobody hears of it.
  await until(async () => (await metric(stage, "links_joined_total")) === 3);
  let heard = 0;
  lobby[0].on("told", () => { heard += 1; });
  await ask([...lobby, ...quiet], 1);
  assert.deepEqual([heard, await metric(stage, "links_paused"), await metric(stage, "upstream_workers_isolated")], [0, 1, 1]);
  assert.ok(loud.events.some(({ event, code }) => event === "fault" && code === "flooded"), JSON.stringify(loud.events));
  loud.child.kill("SIGUSR2");
  // What it has said until then may be a flood once more: one client for each time that it is tried.
  for (let probes = 0; (await metric(stage, "upstream_circuits_closed_total")) === 0;) {
    if ((await metric(stage, "upstream_probes_total")) > probes) {
      probes += 1;
      await pidOf(await stage.connected());
    }
  }
  assert.equal(await pidOf(await stage.connected()), loud.pid, "it has least to do");
  assert.equal(await metric(stage, "links_paused"), 0);
  assert.deepEqual([...lobby, ...quiet].flatMap((socket) => socket.disconnects), []);
}));
