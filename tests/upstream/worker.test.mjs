// Workers come, crash and come back, and no client notices.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { freePort, serve, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { between } from "./between.mjs";
import { errorsIn, frame, hello, lie, Peer, says, TYPES, untouched } from "./liar.mjs";
import { COUNTING, ranBy } from "./numbered.mjs";
import { on } from "./stage.mjs";

const SHARDS = ["--shards", "2"];
const CRASHES = Number(process.env.UPSTREAM_CRASHES ?? 10);

const UNLIMITED = ["--set", "limits.connection_events_per_second=0", "--set", "limits.user_events_per_second=0", "--set", "limits.address_events_per_second=0"];

// It fills a POST up to what it was told of, by an estimate of base64 that is too low.
test("what a polling client says in binary while no worker is there is held, however much of it goes in one POST", on({ args: [...SHARDS, ...UNLIMITED] }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected({ transports: ["polling"] });
  await stage.kill(worker);
  const answers = Array.from({ length: 2000 }, (_, number) => socket.emitWithAck("echo", [Buffer.alloc(800, number), Buffer.of(1, 2)]));
  await until(async () => (await total(stage.daemon, "ringway_bytes_received_total")) > 900_000);
  await stage.worker();
  await Promise.all(answers);
  assert.deepEqual(socket.disconnects, []);
}));

test("clients that come before any worker are held until one is there", on({ args: SHARDS }, async (stage) => {
  const early = stage.client();
  const answer = early.emitWithAck("echo", "patience");
  await until(() => total(stage.daemon, "ringway_upstream_clients_waiting"));
  await stage.worker();
  assert.equal(await answer, "patience");
  assert.deepEqual(early.disconnects, []);
}));

test("clients that nobody comes for are told to come back", on({ args: ["--set", "link.hold_ms=300"] }, async (stage) => {
  const socket = stage.client({ reconnection: false });
  await until(() => !socket.io.engine || socket.io.engine.readyState === "closed");
  await until(async () => await total(stage.daemon, "ringway_upstream_clients_lost_total") === 1);
}));

/**
 * Emits one event after the other and counts what becomes of each, until told to stop. With attachments a worker may die inside of a packet. Numbers are of
 * this client alone; the worker writes down for which a handler ran.
 */
async function load(run, patience_ms, counts, goes) {
  const { socket, parts } = run;
  while (goes()) {
    const number = run.sent++;
    const attached = attachments(number, parts);
    run.flying = number;
    if (run.isRisky) run.risked.add(number);
    const answer = await socket.timeout(patience_ms).emitWithAck("echo", [number, ...attached]).catch(() => null);
    run.flying = undefined;
    counts.sent += 1;
    if (answer === null) counts.lost += 1;
    else if (answer[0] === number && attached.every((part, at) => part.equals(answer[at + 1]))) counts.answered += run.answered.push(number) && 1;
    else counts.wrong += 1;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const attachments = (number, parts) => [...Array(parts).keys()].map((part) => Buffer.from(`${number}-${part}`));

/** An event while there is no worker: nobody has it but the daemon, and so it is answered, whatever patience its client has. */
function sayAway(run) {
  const number = run.sent++;
  const attached = attachments(number, run.parts);
  run.away.add(number);
  run.socket.emit("echo", [number, ...attached], ([answer, ...heard]) => {
    assert.ok(answer === number && attached.every((part, at) => part.equals(heard[at])));
    run.away.delete(number);
    run.answered.push(number);
  });
}

// That the daemon holds clients back from workers that die again and again is another test, and so are rates: each request of a client that polls may be a
// connection of its own, and all of them have one address.
const CRASHING = ["--set", "link.failures_max=0", "--set", "limits.address_connections_per_second=0"];

/** Kills the worker under load, again and again; what became of each event, and who runs in the end. */
async function crash(stage, crashes, patience_ms) {
  let worker = await stage.worker(undefined, COUNTING);
  const first = worker.pid;
  const transports = (number) => (number % 5 ? ["websocket"] : ["polling"]);
  const sockets = await Promise.all([...Array(40).keys()].map((number) => stage.connected({ transports: transports(number), auth: { who: number, born: true } })));
  const ids = sockets.map((socket) => socket.id);
  await Promise.all(sockets.map((socket, number) => socket.emitWithAck("join", `room-${number % 3}`)));
  const words = sockets.map(listen);
  const counts = { sent: 0, answered: 0, lost: 0, wrong: 0, twice: 0 };
  let goes = true;
  const runs = sockets.map((socket, number) => ({ socket, parts: number % 4, sent: 0, answered: [], risked: new Set(), away: new Set() }));
  const loads = runs.map((run) => load(run, patience_ms, counts, () => goes));
  for (let count = 0; count < crashes; count += 1) {
    const before = counts.answered;
    await until(() => counts.answered > before + 40);
    // What is on the way now, or is said before the daemon knows, may be the worker's that dies.
    for (const run of runs) {
      run.isRisky = true;
      if (run.flying !== undefined) run.risked.add(run.flying);
    }
    await stage.kill(worker);
    await until(async () => (await total(stage.daemon, "ringway_upstream_workers")) === 0);
    for (const run of runs) {
      run.isRisky = false;
      sayAway(run);
    }
    worker = await stage.worker(undefined, COUNTING);
    const waiting = () => runs.filter(({ away }) => away.size > 0);
    await until(() => waiting().length === 0).catch(() => {});
    assert.deepEqual(waiting().map(({ away }) => [...away]), [], "what was said while there was no worker is answered by the next one");
  }
  const after = counts.answered;
  await until(() => counts.answered > after + 80);
  goes = false;
  await Promise.all(loads);
  assert.deepEqual(sockets.map((socket) => socket.id), ids);
  assert.deepEqual(sockets.flatMap((socket) => socket.disconnects), []);
  assert.equal(counts.wrong, 0);
  const ran = runs.map(({ socket }) => ranBy(stage.workers, socket.id));
  // Each worker's handlers ran in the client's turn, and no worker's twice: that may only be another's.
  for (const numbers of ran.flat()) assert.deepEqual(numbers, [...new Set(numbers)].sort((one, other) => one - other));
  runs.forEach(({ answered }, at) => assert.deepEqual(answered.filter((number) => !ran[at].flat().includes(number)), []));
  counts.twice = ran.reduce((sum, lists) => sum + lists.flat().length - new Set(lists.flat()).size, 0);
  // Of what a worker said a client heard a beginning, without a gap: it may have died with the rest of it.
  for (const heard of words.flatMap((by) => [...by.values()])) assert.deepEqual(heard, [...heard.keys()].map((at) => at + heard[0]));
  return { worker, first, sockets, ids, counts, runs, ran };
}

/** What a client hears of the application's own words, by process and kind. */
function listen(socket) {
  const heard = new Map();
  for (const name of ["counted", "chorus"]) {
    socket.on(name, (pid, number) => {
      const key = `${name} ${pid}`;
      if (!heard.has(key)) heard.set(key, []);
      heard.get(key).push(number);
    });
  }
  return heard;
}

test(`the worker is killed ${CRASHES} times under load: no client sees a disconnect, ids and rooms stay`, on({ args: [...SHARDS, ...CRASHING] }, async (stage, t) => {
  const { worker, first, sockets, ids, counts, runs, ran } = await crash(stage, CRASHES, 1_500);
  // What a worker took with it is not answered, and nobody is given it again; all else is heard.
  const lost = runs.flatMap(({ sent, risked }, at) => {
    const heard = new Set(ran[at].flat());
    return [...Array(sent).keys()].filter((number) => !heard.has(number) && !risked.has(number)).map((number) => ({ client: at, number }));
  });
  assert.deepEqual(lost, [], "no worker had been sent these");
  assert.equal(counts.twice, 0);
  // `born` was said by a middleware of the first process alone.
  const known = await Promise.all(sockets.map((socket) => socket.emitWithAck("who")));
  assert.deepEqual(known, ids.map((id, who) => ({ pid: worker.pid, data: { who, born: first }, rooms: [id, "lobby", `room-${who % 3}`].sort() })));
  assert.equal(worker.events.filter((event) => event.event === "connection" && event.recovered).length, sockets.length);
  sockets[0].emit("to", "room-1", [], "hello");
  await Promise.all(sockets.filter((_, number) => number % 3 === 1).map((socket) => until(() => socket.told.length === 1)));
  assert.deepEqual(sockets.filter((socket) => socket.told.length > 0).length, 13);
  await until(async () => await total(stage.daemon, "ringway_upstream_workers_lost_total") === CRASHES);
  t.diagnostic(`${CRASHES} crashes, ${sockets.length} clients: ${JSON.stringify(counts)}, disconnects 0`);
}));

test(`the worker is killed ${CRASHES} times under load, with \`link.redeliver\`: each event is heard`, on({ args: [...SHARDS, ...CRASHING, "--set", "link.redeliver=true"] }, async (stage, t) => {
  const { sockets, counts, runs, ran } = await crash(stage, CRASHES, 8_000);
  const unheard = runs.flatMap(({ sent }, at) => [...Array(sent).keys()].filter((number) => !ran[at].flat().includes(number)).map((number) => ({ client: at, number })));
  assert.deepEqual(unheard, []);
  // What a worker takes with it is its answer at most, and an event without one is delivered again: within its client's patience each is answered.
  assert.equal(counts.lost, 0, JSON.stringify(counts));
  t.diagnostic(`${CRASHES} crashes, ${sockets.length} clients: ${JSON.stringify(counts)}, heard by nobody: 0`);
}));

// They say more than the worker answers between its deaths, and in the end all of it at once: beyond the rates, however long it was.
test(`the worker is killed ${CRASHES} times under load, with \`link.redeliver\`: events with long answers are answered`, on({ args: [...SHARDS, ...CRASHING, ...UNLIMITED, "--set", "link.redeliver=true"] }, async (stage, t) => {
  let worker = await stage.worker();
  const sockets = await Promise.all([...Array(6).keys()].map((number) => stage.connected({ transports: number % 2 ? ["websocket"] : ["polling"] })));
  const open = new Set();
  let [sent, answered, goes] = [0, 0, true];
  const say = (socket) => {
    const number = sent++;
    open.add(number);
    socket.emit("echo", [number, Buffer.alloc(10_000, number)], () => {
      open.delete(number);
      answered += 1;
    });
  };
  const loads = sockets.map(async (socket) => {
    for (; goes; await new Promise((resolve) => setTimeout(resolve, 20))) say(socket);
  });
  for (let count = 0; count < CRASHES; count += 1) {
    const before = answered;
    await until(() => answered > before + 60);
    await stage.kill(worker);
    worker = await stage.worker();
  }
  goes = false;
  await Promise.all(loads);
  await until(() => open.size === 0).catch(() => {});
  assert.deepEqual([...open], []);
  assert.deepEqual(sockets.flatMap((socket) => socket.disconnects), []);
  t.diagnostic(`${CRASHES} crashes, ${sent} events, all of them answered`);
}));

for (const redeliver of [false, true]) {
  test(`what a worker had not dealt with when it died is ${redeliver ? "answered by the next one" : "lost with it"}, what came later is answered`, on({ args: [...SHARDS, "--set", `link.redeliver=${redeliver}`] }, async (stage) => {
    const worker = await stage.worker();
    const socket = await stage.connected();
    await socket.emitWithAck("echo", "here");
    worker.child.kill("SIGSTOP");
    const heard = new Set();
    const say = (value) => socket.emit("echo", value, ([first]) => heard.add(first));
    const bytesBefore = await total(stage.daemon, "ringway_bytes_received_total");
    for (let number = 0; number < 20; number += 1) say([number, Buffer.from("attached")]);
    // The daemon has them, and so has the link.
    await until(async () => (await total(stage.daemon, "ringway_packets_received_total")) >= 22 && (await total(stage.daemon, "ringway_bytes_received_total")) > bytesBefore);
    await stage.kill(worker);
    await until(async () => (await total(stage.daemon, "ringway_upstream_workers")) === 0);
    for (let number = 20; number < 25; number += 1) say([number]);
    await stage.worker();
    await until(() => heard.has(24));
    const meant = [...Array(25).keys()].filter((number) => redeliver || number >= 20);
    assert.deepEqual([...heard].sort((a, b) => a - b), meant);
    // The first one had begun with none of them.
    assert.deepEqual(ranBy(stage.workers, socket.id), [[], meant]);
    assert.deepEqual(socket.disconnects, []);
  }));
}

test("a namespace that a client leaves while its worker hangs does not come back with the next worker", on({ args: SHARDS }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  const admin = await stage.connected({ forceNew: false }, "/admin");
  const both = socket.io.socket("/admin");
  await until(() => both.connected);
  await both.emitWithAck("echo", 1);
  worker.child.kill("SIGSTOP");
  const before = await total(stage.daemon, "ringway_packets_received_total");
  both.disconnect();
  await until(async () => (await total(stage.daemon, "ringway_packets_received_total")) > before);
  await stage.kill(worker);
  const next = await stage.worker();
  assert.equal((await socket.emitWithAck("who")).pid, next.pid);
  assert.deepEqual(await admin.emitWithAck("echo", 2), ["admin", 2]);
  assert.equal((await admin.emitWithAck("count")), 1, "the other client's alone");
  both.connect();
  await until(() => both.connected);
  assert.equal((await admin.emitWithAck("count")), 2);
  assert.deepEqual(socket.disconnects, []);
}));

test("one of three workers dies: its clients go on with the others within a second", on({ args: SHARDS }, async (stage, t) => {
  const workers = [await stage.worker(), await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(30).keys()].map((number) => stage.connected({ auth: { who: number } })));
  const pids = async () => Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
  const before = await pids();
  workers.forEach((worker) => assert.equal(before.filter((pid) => pid === worker.pid).length, 10, "each has its share"));
  await stage.kill(workers[1]);
  const start = performance.now();
  const after = await pids();
  const took_ms = performance.now() - start;
  t.diagnostic(`10 clients were answered by others behind ${Math.round(took_ms)} ms`);
  // Half of it is the grace that a link has. It is a promise, and not a measurement.
  assert.ok(took_ms < 1_000, `${took_ms} ms`);
  // Shards say what they count five times a second.
  await until(async () => await total(stage.daemon, "ringway_upstream_workers") === 2);
  assert.equal(after.filter((pid) => pid === workers[1].pid).length, 0);
  before.forEach((pid, number) => { if (pid !== workers[1].pid) assert.equal(after[number], pid, "who had another worker keeps it"); });
  assert.deepEqual(sockets.flatMap((socket) => socket.disconnects), []);
  sockets[0].emit("everybody", "all of you");
  await Promise.all(sockets.map((socket) => until(() => socket.told.length === 1)));
}));

test("the daemon is killed: workers and clients come back by themselves", on({ args: SHARDS }, async (stage) => {
  const workers = [await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(40).keys()].map((number) => stage.connected({ transports: number % 4 ? ["websocket"] : ["polling"] })));
  const { port } = stage.daemon;
  const old = sockets.map((socket) => socket.id).sort();
  await stage.daemon.stop("SIGKILL");
  const gone = () => workers.flatMap((worker) => worker.events.filter((event) => event.event === "disconnect"));
  await until(() => gone().length >= sockets.length);
  assert.deepEqual(gone().map((event) => event.id).sort(), old, "each socket of each worker, once");
  assert.deepEqual(new Set(gone().map((event) => event.reason)), new Set(["transport close"]));
  stage.daemon = await serve(stage.args, {}, { port });
  await until(() => sockets.every((socket) => socket.connected));
  const said = await Promise.all(sockets.map((socket, number) => socket.emitWithAck("echo", number)));
  assert.deepEqual(said, [...sockets.keys()]);
  await until(async () => await total(stage.daemon, "ringway_upstream_workers") === 2);
}));

const isRoot = process.getuid() === 0 && spawnSync("setpriv", ["--version"]).status === 0;

test("a process of another user is closed unheard, whatever the socket's mode says", { skip: !isRoot && "root and setpriv are needed for another user" }, on({}, async (stage) => {
  const refused = () => total(stage.daemon, "ringway_links_refused_total");
  assert.equal(await refused(), 0);
  // Whoever may do that has given the socket away; the daemon looks for itself.
  chmodSync(stage.folder, 0o755);
  chmodSync(`${stage.folder}/link.sock`, 0o666);
  const script = 'let said = ""; require("net").connect(process.argv[1]).on("data", (bytes) => { said += bytes; }).on("error", () => {}).on("close", () => console.log(`closed:${said}`))';
  const { stdout } = spawnSync("setpriv", ["--reuid", "65534", "--regid", "65534", "--clear-groups", process.execPath, "-e", script, `${stage.folder}/link.sock`], { encoding: "utf8" });
  assert.equal(stdout, "closed:\n");
  await until(async () => (await refused()) === 1);
  await until(() => /a link of another user was closed.*RW-2610/.test(stage.daemon.log()));
}));

test("a link's socket is its owner's alone", on({}, async (stage) => {
  assert.equal(statSync(`${stage.folder}/link.sock`).mode & 0o777, 0o600);
}));

test("a peer that lies is told what is wrong, and nobody else is touched", on({ args: SHARDS }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  const [named, member] = [says.nsp(0, "/"), (conn) => says.member(conn, "x")];
  const lies = {
    "bad-length": Buffer.from([1, 0, 0, 0]),
    "unknown-type": frame(77),
    "out-of-turn": frame(5, Buffer.alloc(8)),
    "wrong-direction": frame(17, Buffer.from("x")),
    "bad-json": frame(1, Buffer.from([1, 0, 0, 0, 0x7b, 0, 0])),
    version: hello({ proto: [2, 0] }),
    "not-allowed": hello({ app: "another" }),
    window: Buffer.concat([hello(), frame(7, Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]))]),
  };
  for (const [code, bytes] of Object.entries(lies)) {
    assert.deepEqual(errorsIn(await lie(stage, bytes)), [code]);
  }
  // A client of another worker, of either shard: in a namespace, and with the answer to a question that it did not ask. And a namespace that was never named.
  const either = (said) => Buffer.concat([said(1n), said((1n << 40n) | 1n)]);
  const stolen = Buffer.concat([hello({ instance: "thief" }), named, either(member)]);
  assert.deepEqual(errorsIn(await lie(stage, stolen)), ["not-allowed"]);
  const answered = Buffer.concat([hello({ instance: "parrot" }), named, either((conn) => says.send(conn, '3999["x"]'))]);
  assert.deepEqual(errorsIn(await lie(stage, answered)), ["not-allowed"]);
  const guessed = Buffer.concat([hello({ instance: "guess" }), says.leaveAll(1n, 9)]);
  assert.deepEqual(errorsIn(await lie(stage, guessed)), ["not-allowed"]);
  // The answer to a question that nobody asked, which would let somebody in.
  const verdict = Buffer.from('\0\0\0\0{"ok":true}');
  verdict.writeUInt32LE(verdict.length - 4);
  const unasked = Buffer.concat([hello({ instance: "oracle" }), frame(24, Buffer.concat([Buffer.from([7, 0, 0, 0]), verdict]))]);
  assert.deepEqual(errorsIn(await lie(stage, unasked)), ["not-allowed"]);
  // Those of `window`, and the four with an instance of their own, had joined.
  await untouched(stage, worker, socket, { liars: 5 });
}));

test("a peer that speaks for clients that have left it, or that it was never given, is not heard, and that is no fault", on({ args: SHARDS }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  const stale = () => total(stage.daemon, "ringway_upstream_frames_stale_total");
  const liar = await Peer.join(stage, { name: "liar" });
  liar.say(says.nsp(0, "/"));
  const left = await liar.letIn("left");
  assert.equal(left.socket.id, "left");
  left.socket.disconnect();
  await until(() => liar.hasHeard(TYPES.CLOSE, left.conn));
  const before = await stale();
  // The second number is one that no client had, yet or ever.
  const all = [left.conn, 0xffff_ffffn].flatMap((conn) => [
    says.member(conn, "again"), says.join(conn, "lobby"), says.setData(conn), says.send(conn, '2["told","x"]'), says.leave(conn, "lobby"), says.leaveAll(conn), frame(TYPES.CLOSE_CONN, Buffer.alloc(0), conn),
  ]);
  liar.say(...all);
  // Shards say what they count five times a second.
  await until(async () => await stale() === before + all.length);
  // It is a worker as before, and its next client's number is another one. With its link that client goes to the other one.
  const next = await liar.letIn("next");
  assert.notEqual(next.conn, left.conn);
  liar.say(frame(77));
  assert.deepEqual(await liar.ended(), ["unknown-type"]);
  assert.equal((await next.socket.emitWithAck("who")).pid, worker.pid);
  assert.deepEqual([next.socket.disconnects, await stale()], [[], before + all.length]);
  await untouched(stage, worker, socket, { liars: 1 });
}));

// The daemon passes it on (docs/link.md): what SEND carries is between a worker and its client.
test("acknowledgements that a client never asked for change nothing for it, nor for others", on({ args: SHARDS }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  const heard = (of) => { const packets = []; of.io.on("packet", ({ type, id, data }) => packets.push([type, id, data])); return packets; };
  const others = heard(socket);
  const liar = await Peer.join(stage, { name: "liar" });
  liar.say(says.nsp(0, "/"));
  const { socket: own, conn } = await liar.letIn("own");
  const packets = heard(own);
  const [ACK, EVENT] = [3, 2];
  const answers = [];
  own.emit("echo", 1, (answer) => answers.push(answer));
  await until(() => liar.hasHeard(TYPES.DATA, conn, '20["echo",1]'));
  // Never asked for; such as the daemon's own questions have; the right one, twice; and an event behind them all.
  liar.say(...['3999["x"]', `3${2 ** 30}["x"]`, '30["yes"]', '30["no"]', '2["told","end"]'].map((packet) => says.send(conn, packet)));
  await until(() => own.told.length === 1);
  assert.deepEqual(packets, [[ACK, 999, ["x"]], [ACK, 2 ** 30, ["x"]], [ACK, 0, ["yes"]], [ACK, 0, ["no"]], [EVENT, undefined, ["told", "end"]]]);
  assert.deepEqual([answers, own.disconnects, own.connected], [["yes"], [], true]);
  // It goes on: its next question is answered, here and at the next worker.
  const next = own.emitWithAck("echo", 2);
  await until(() => liar.hasHeard(TYPES.DATA, conn, '21["echo",2]'));
  liar.say(says.send(conn, '31["two"]'));
  assert.equal(await next, "two");
  assert.equal(await total(stage.daemon, "ringway_links_refused_total"), 0);
  liar.say(frame(77));
  assert.deepEqual(await liar.ended(), ["unknown-type"]);
  assert.equal(await own.emitWithAck("echo", 3), 3);
  assert.deepEqual([own.disconnects, others], [[], []]);
  await untouched(stage, worker, socket, { liars: 1 });
}));

/** For as long clients of a peer that was refused wait for it to come back. */
const SOON = ["--set", "link.grace_ms=100"];

test("a peer that speaks in a namespace of the daemon's own is refused, and nobody else is touched", on({ args: [...SHARDS, "--dev", ...SOON, "--set", 'namespaces.native=["/live"]'] }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  const native = await stage.connected({}, "/live");
  const heard = [];
  native.onAny((...values) => heard.push(values));
  const lies = {
    MEMBER: (conn) => says.member(conn, "own", 1),
    JOIN: (conn) => says.join(conn, "room", 1),
    LEAVE: (conn) => says.leave(conn, "room", 1),
    LEAVE_ALL: (conn) => says.leaveAll(conn, 1),
    SET_DATA: (conn) => says.setData(conn, 1),
    "a packet in SEND": (conn) => says.send(conn, '2/live,["told","x"]'),
    "a packet in BCAST": () => says.broadcast('2/live,["told","x"]'),
  };
  for (const [what, said] of Object.entries(lies)) {
    // Each of a name of its own: who fails again and again is kept from clients.
    const liar = await Peer.join(stage, { name: `liar ${what}`, instance: `liar ${what}` });
    liar.say(says.nsp(0, "/"), says.nsp(1, "/live"));
    const own = await liar.letIn(`own ${what}`);
    // A broadcast there is none: no server knows what the daemon keeps, and nobody hears it.
    liar.say(says.broadcast('2/live,["told","x"]', 1), frame(TYPES.PING, Buffer.alloc(8)));
    await until(() => liar.hasHeard(TYPES.PONG));
    liar.say(said(own.conn));
    assert.deepEqual(await liar.ended(), ["not-allowed"], what);
    // Its client has a worker that does not lie.
    assert.equal((await own.socket.emitWithAck("who")).pid, worker.pid, what);
    assert.deepEqual(own.socket.disconnects, [], what);
    own.socket.disconnect();
  }
  // An emitter says what it will speak in, and no more is needed.
  const emitter = Buffer.concat([hello({ instance: "emitter", role: "emitter" }), says.nsp(0, "/live")]);
  assert.deepEqual(errorsIn(await lie(stage, emitter)), ["not-allowed"]);
  assert.equal((await native.emitWithAck("join", "room")).ok, true);
  assert.deepEqual([heard, native.disconnects], [[], []]);
  await untouched(stage, worker, socket, { liars: Object.keys(lies).length, emitters: 1 });
}));

test("lengths that no frame has end a link at once, and nobody else is touched", on({ args: SHARDS }, async (stage) => {
  const worker = await stage.worker();
  const socket = await stage.connected();
  // The bound is another one for whoever has not said who it is. Nothing is waited for: the header of such a frame is all that comes.
  const length = (value) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };
  const [hellos, bodies] = [10 + (64 << 10), 10 + (16 << 20)];
  for (const value of [0xffff_ffff, bodies + 1, hellos + 1, 9, 0]) assert.deepEqual(errorsIn(await lie(stage, length(value))), ["bad-length"], `${value} before HELLO`);
  const joined = [0xffff_ffff, bodies + 1, 9, 0];
  for (const value of joined) {
    const bytes = Buffer.concat([hello({ instance: `length ${value}` }), length(value)]);
    assert.deepEqual(errorsIn(await lie(stage, bytes)), ["bad-length"], `${value} behind HELLO`);
  }
  await untouched(stage, worker, socket, { liars: joined.length });
}));

test("over TCP both sides prove the secret", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-secret-"));
  const secretFile = path.join(folder, "secret");
  writeFileSync(secretFile, "a secret of more than sixteen bytes\n");
  const wrong = path.join(folder, "wrong");
  writeFileSync(wrong, "another secret of sixteen bytes\n");
  const link = `tcp://127.0.0.1:${await freePort()}`;
  await on({ args: ["--set", `link.secret_file="${secretFile}"`], link, secretFile }, async (stage) => {
    const refused = stage.worker([wrong, "deaf"]).catch((error) => error);
    await until(() => total(stage.daemon, "ringway_links_refused_total"));
    await until(() => /RINGWAY_LINK.*proof: the proof is wrong/.test(stage.workers[0].errors));
    await stage.kill(stage.workers[0]);
    await refused;
    await stage.worker();
    const socket = await stage.connected();
    assert.equal(await socket.emitWithAck("echo", "proven"), "proven");
  })();
});

test("a HELLO that was overheard is worth nothing on another link", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-secret-"));
  const secretFile = path.join(folder, "secret");
  writeFileSync(secretFile, "a secret of more than sixteen bytes\n");
  const [port, outer] = [await freePort(), await freePort()];
  await on({ args: ["--set", `link.secret_file="${secretFile}"`], link: `tcp://127.0.0.1:${port}`, secretFile }, async (stage) => {
    const { overheard, close } = await between(outer, port);
    // However it ends: what listens on would keep the file from ending.
    t.after(close);
    stage.link = `tcp://127.0.0.1:${outer}`;
    const worker = await stage.worker();
    const socket = await stage.connected();
    const said = await new Promise((resolve) => {
      const liar = net.connect(port, "127.0.0.1", () => liar.write(Buffer.concat(overheard)));
      let all = "";
      liar.on("data", (chunk) => { all += chunk.toString("latin1"); });
      liar.on("error", () => {});
      liar.on("close", () => resolve(all));
    });
    assert.match(said, /the proof is wrong/);
    await until(async () => await total(stage.daemon, "ringway_links_refused_total") === 1);
    await untouched(stage, worker, socket, { liars: 0, at: { host: "127.0.0.1", port } });
  })();
});
