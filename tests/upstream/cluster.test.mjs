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

/** One worker broadcasts, behind what the other one has to do first, and the other one goes in between; both have clients. */
async function goes(stage, what, go, { environment, every_ms = 2, count = 300 } = {}) {
  const workers = [await stage.worker([], environment), await stage.worker([], environment)];
  const sockets = await Promise.all([...Array(6).keys()].map(() => stage.connected()));
  const pids = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
  const [teller, other] = [sockets[0], sockets.find((_, at) => pids[at] !== pids[0])];
  const order = [];
  teller.on("told", (number) => order.push(`told ${number}`));
  teller.on("number", (number) => order.push(`number ${number}`));
  const done = teller.timeout(30_000).emitWithAck("tell behind", what, count, every_ms);
  await until(() => teller.told.length > 20);
  await go(workers.find(({ pid }) => pid !== pids[0]), other, teller);
  await done;
  const numbers = [...Array(count).keys()];
  for (const socket of sockets) {
    await until(() => socket.told.length >= count).catch(() => {});
    assert.deepEqual(socket.told.map(([number]) => number), numbers);
    assert.deepEqual(socket.disconnects, []);
  }
  // What it says to one of its own behind a broadcast comes behind it, and waits for nobody.
  assert.deepEqual(order, numbers.flatMap((number) => [`told ${number}`, `number ${number}`]));
}

const stops = async ({ child }) => {
  child.kill("SIGTERM");
  await once(child, "exit");
};

for (const what of ["join", "leave", "kick"]) {
  const behind = { join: "socketsJoin", leave: "socketsLeave", kick: "disconnectSockets" }[what];
  test(`a worker is killed while another one broadcasts behind ${behind}: its clients hear all, once and in order`, on({ args: CUT_ARGS }, (stage) =>
    goes(stage, what, (worker) => stage.kill(worker))));
}

test("the same of a busy worker", on({ args: CUT_ARGS }, (stage) => goes(stage, "join", async (worker, other) => {
  other.emit("hang", 300);
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  await stage.kill(worker);
})));

for (const ON_CLOSE of ["keep", "migrate"]) {
  test(`a worker leaves (${ON_CLOSE}) while another one broadcasts behind socketsJoin: its clients hear all, once and in order`, on({ args: SHARDS }, (stage) =>
    goes(stage, "join", stops, { environment: { ON_CLOSE } })));
}

test("the worker that broadcasts leaves: its clients and others' hear all", on({ args: SHARDS }, async (stage) => {
  const workers = [await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(4).keys()].map(() => stage.connected()));
  const { pid } = await sockets[0].emitWithAck("who");
  sockets[0].emit("tell behind", "join", 1_000_000, 1, () => {});
  await until(() => sockets.every(({ told }) => told.length > 20));
  await stops(workers.find((worker) => worker.pid === pid));
  await Promise.all(sockets.map((socket) => socket.emitWithAck("who")));
  const numbers = sockets.map(({ told }) => told.map(([number]) => number));
  for (const list of numbers) assert.deepEqual(list, numbers[0]);
  assert.deepEqual(numbers[0], [...Array(numbers[0].length).keys()]);
}));

test("a worker that stands still keeps nobody waiting, and its clients hear what is said", on({ args: CUT_ARGS }, (stage) =>
  goes(stage, "join", async (worker, other, teller) => {
    process.kill(worker.pid, "SIGSTOP");
    const [before] = teller.told.at(-1);
    await until(() => [teller, other].every(({ told }) => told.at(-1)[0] > before + 50));
    await stage.kill(worker);
  }, { every_ms: 10, count: 300 })));

test("sockets of a worker that stands still are moved all the same, each in its turn, and are where they were put when another worker has them", on({ args: DEFAULT_GRACE_ARGS }, async (stage) => {
  const workers = [await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(6).keys()].map(() => stage.connected()));
  const pids = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
  const [teller] = sockets;
  const [one, two, dropped] = sockets.filter((_, at) => pids[at] !== pids[0]);
  const worker = workers.find(({ pid }) => pid !== pids[0]);
  process.kill(worker.pid, "SIGSTOP");
  const turns = [...Array(100).keys()];
  for (const turn of turns) {
    const [next, last] = turn % 2 === 0 ? [one, two] : [two, one];
    teller.emit("take out", last.id, "turn");
    teller.emit("move", next.id, "turn");
    teller.emit("to", "turn", [], turn);
  }
  teller.emit("drop", dropped.id);
  teller.emit("everybody", "end");
  await until(() => [one, two].every(({ told }) => told.at(-1)?.[0] === "end"));
  for (const [at, { told }] of [one, two].entries()) assert.deepEqual(told.map(([turn]) => turn), [...turns.filter((turn) => turn % 2 === at), "end"]);
  await stage.kill(worker);
  const rooms = await Promise.all([one, two].map(async (socket) => (await socket.emitWithAck("who")).rooms));
  assert.deepEqual(rooms.map((all) => all.includes("turn")), [false, true]);
  await until(() => dropped.disconnects.length === 1);
  assert.deepEqual([dropped.disconnects, dropped.told], [["io server disconnect"], []]);
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
