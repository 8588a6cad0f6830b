// Several workers behind one daemon, and links that are cut.
import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { between } from "./between.mjs";
import { COUNTING, Numbered } from "./numbered.mjs";
import { on } from "./stage.mjs";

const SHARDS = ["--shards", "2"];
const CUTS = Number(process.env.UPSTREAM_CUTS ?? 20);
// What piles up while the link is away comes at once: rates are another test.
const DEFAULT_GRACE_ARGS = [...SHARDS, "--set", "limits.connection_events_per_second=0", "--set", "limits.address_events_per_second=0", "--set", "limits.address_connections_per_second=0"];
const CUT_ARGS = [...DEFAULT_GRACE_ARGS, "--set", "link.grace_ms=10000"];

test("workers see each other's sockets", on({ args: SHARDS }, async (stage) => {
  const workers = [await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(6).keys()].map((number) => stage.connected({ auth: { who: number } })));
  const pids = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
  assert.equal(new Set(pids).size, 2);
  const all = await sockets[0].emitWithAck("fetch", "lobby");
  assert.deepEqual(all.map(({ id }) => id).sort(), sockets.map(({ id }) => id).sort());
  assert.deepEqual(all.map(({ data }) => data.who).sort(), [0, 1, 2, 3, 4, 5]);
  sockets.forEach((socket, number) => socket.on("question", (what, answer) => answer(`${what} ${number}`)));
  const answers = await sockets[0].emitWithAck("gather", "lobby");
  assert.deepEqual(answers.sort(), [0, 1, 2, 3, 4, 5].map((number) => `all ${number}`));
  sockets[0].emit("move", "lobby", "hall");
  await until(async () => (await sockets[5].emitWithAck("fetch", "hall")).length === 6);
  assert.deepEqual(await sockets[0].emitWithAck("ring"), [workers.find(({ pid }) => pid !== pids[0]).pid]);
  sockets[0].emit("drop", sockets[5].id);
  await until(() => sockets[5].disconnects.length === 1);
  assert.deepEqual(sockets[5].disconnects, ["io server disconnect"]);
}));

test("a worker that stops keeps its clients and their data", on({ args: SHARDS }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected({ auth: { who: "ann", born: true } });
  await socket.emitWithAck("remember", 17);
  const { id } = socket;
  worker.child.kill("SIGTERM");
  await until(async () => (await total(stage.daemon, "ringway_upstream_workers")) === 0);
  const next = await stage.worker();
  const who = await socket.emitWithAck("who");
  assert.deepEqual(who, { pid: next.pid, data: { who: "ann", born: worker.pid, value: 17 }, rooms: [id, "lobby"].sort() });
  assert.deepEqual([socket.id, socket.disconnects], [id, []]);
}));

const STOPS = 5;

test(`a worker is stopped and started ${STOPS} times under load: each event is answered, once and in its turn`, on({ args: CUT_ARGS }, async (stage, t) => {
  let worker = await stage.worker(undefined, COUNTING);
  const numbered = new Numbered(stage, await Promise.all([...Array(10).keys()].map(() => stage.connected())));
  for (let stop = 0; stop < STOPS; stop += 1) {
    await numbered.goesOn(50);
    worker.child.kill("SIGTERM");
    await once(worker.child, "exit");
    worker = await stage.worker(undefined, COUNTING);
  }
  await numbered.goesOn(50);
  const rests = await numbered.end();
  numbered.judgeEvents();
  numbered.judgeWords();
  numbered.judgeEnd(rests);
  t.diagnostic(`${STOPS} stops, ${numbered.events} events, each run and answered once and in its turn; ${numbered.heard} words, none twice and none left out`);
}));

test("volatile messages are dropped for a busy client, in order, and nothing else is", on({}, async (stage) => {
  await stage.worker();
  const socket = await stage.connected();
  const numbers = [];
  socket.on("drop", (number) => numbers.push(number));
  const end = new Promise((resolve) => { socket.once("end", resolve); });
  socket.emit("flood", 1_000);
  await end;
  assert.ok(numbers.length > 0 && numbers.length < 1_000, `${numbers.length}`);
  assert.deepEqual(numbers, [...numbers].sort((one, other) => one - other));
  // Shards say what they count five times a second.
  await until(async () => numbers.length + (await total(stage.daemon, "ringway_upstream_volatile_dropped_total")) === 1_000);
}));

/**
 * How often, with how much time to come back, and the daemon's arguments for it. With much of it what is seen is the resumption; with as much as a daemon gives by
 * default, that this is enough. A machine that stands still for half a second would be another matter: of these cuts there are fewer.
 */
const GRACES = [[CUTS, "ten seconds", CUT_ARGS], [Math.ceil(CUTS / 4), "the default", DEFAULT_GRACE_ARGS]];

for (const [cuts, grace, args] of GRACES) test(`the link is cut ${cuts} times under load, with ${grace} to come back: nothing is lost, doubled or reordered`, on({ args }, async (stage, t) => {
  const { cut, close } = await between(`${stage.folder}/between.sock`, `${stage.folder}/link.sock`);
  // However it ends: what listens on would keep the file from ending.
  t.after(close);
  const { link } = stage;
  stage.link = `unix:${stage.folder}/between.sock`;
  await stage.worker(undefined, COUNTING);
  stage.link = link;
  const numbered = new Numbered(stage, await Promise.all([...Array(10).keys()].map(() => stage.connected())));
  for (let count = 1; count <= cuts; count += 1) {
    await numbered.goesOn(5);
    cut();
    await until(async () => (await total(stage.daemon, "ringway_links_resumed_total")) >= count);
  }
  await numbered.goesOn(5);
  const rests = await numbered.end();
  numbered.judgeEvents();
  numbered.judgeWords();
  numbered.judgeEnd(rests);
  assert.equal(await total(stage.daemon, "ringway_upstream_workers_lost_total"), 0);
  t.diagnostic(`${cuts} cuts, ${numbered.runs.length} clients: ${numbered.events} events run and answered, ${numbered.heard} words of the application heard, each once and in its turn`);
}));
