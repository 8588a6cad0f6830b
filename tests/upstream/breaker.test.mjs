// Workers that get stuck, crash in a loop or lie: they are kept from clients, and clients are held, moved or refused.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { freePort, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { between } from "./between.mjs";
import { errorsIn, frame, hello, lie, misjudge } from "./liar.mjs";
import { on } from "./stage.mjs";

const SHARDS = ["--shards", "2"];
const set = (...values) => values.flatMap((value) => ["--set", value]);
const pidOf = async (socket) => (await socket.emitWithAck("who")).pid;
const metric = (stage, name) => total(stage.daemon, `ringway_upstream_${name}`);

/** Clients, with the worker that each has. */
async function crowd(stage, count) {
  const sockets = await Promise.all([...Array(count).keys()].map((who) => stage.connected({ auth: { who } })));
  const pids = await Promise.all(sockets.map(pidOf));
  return sockets.map((socket, at) => ({ socket, id: socket.id, pid: pids[at] }));
}

/** Makes a client's worker hang, and then asks it for something: a worker that is asked for nothing is not missed. */
async function hang(socket, ms, other = socket) {
  socket.emit("hang", ms);
  await socket.timeout(200).emitWithAck("echo", "with it").catch(() => {});
  other.emit("echo", "behind it", () => {});
}

test("a worker whose event loop hangs: its clients are with another one in time, and none is disconnected", on({ args: [...SHARDS, ...set("link.stall_ms=1000")] }, async (stage) => {
  const [stuck, well] = [await stage.worker(), await stage.worker()];
  const clients = await crowd(stage, 20);
  const mine = clients.filter(({ pid }) => pid === stuck.pid);
  assert.equal(mine.length, 10);
  await mine[0].socket.emitWithAck("join", "room");
  const start = performance.now();
  mine[0].socket.emit("hang", 600_000);
  // Those of another shard may be heard before it hangs, and are answered by it.
  const pids = await Promise.all(mine.map(async ({ socket }) => {
    let pid;
    while (pid === undefined || pid === stuck.pid) pid = (await socket.timeout(500).emitWithAck("who").catch(() => ({}))).pid;
    return pid;
  }));
  const took = performance.now() - start;
  assert.deepEqual([...new Set(pids)], [well.pid]);
  // The bound, a tick, and what a busy machine adds; without the breaker it is twenty seconds.
  assert.ok(took > 900 && took < 8_000, `${took} ms`);
  assert.deepEqual(clients.flatMap(({ socket }) => socket.disconnects), []);
  assert.deepEqual(mine.map(({ socket }) => socket.id), mine.map(({ id }) => id));
  assert.deepEqual((await mine[0].socket.emitWithAck("who")).rooms, [mine[0].id, "lobby", "room"].sort());
  await until(async () => (await metric(stage, "stalls_total")) === 1);
  await until(() => /a worker gets no clients for now: it deals with nothing.*RW-2604/.test(stage.daemon.log()));
}));

test("a worker that hangs and comes back is tried with one client, and then has clients as ever", on({ args: [...SHARDS, ...set("link.stall_ms=4000", "link.isolate_ms_min=300")] }, async (stage) => {
  const [stuck, well] = [await stage.worker(), await stage.worker()];
  const clients = await crowd(stage, 6);
  const mine = clients.filter(({ pid }) => pid === stuck.pid);
  await hang(mine[0].socket, 6_000, mine[1].socket);
  await until(async () => (await metric(stage, "probes_total")) === 1);
  assert.equal(await metric(stage, "workers_isolated"), 1);
  // Of two that come one is its client, and the other one goes elsewhere: while it is stopped nothing can come of it.
  stuck.child.kill("SIGSTOP");
  const pair = [stage.connected(), stage.connected()];
  assert.equal(await pidOf(await Promise.race(pair)), well.pid);
  assert.equal(await metric(stage, "circuits_closed_total"), 0);
  stuck.child.kill("SIGCONT");
  const pids = await Promise.all((await Promise.all(pair)).map(pidOf));
  assert.deepEqual(new Set(pids), new Set([stuck.pid, well.pid]));
  await until(async () => (await metric(stage, "circuits_closed_total")) === 1);
  assert.equal(await pidOf(await stage.connected()), stuck.pid, "it has least to do");
  assert.deepEqual(clients.flatMap(({ socket }) => socket.disconnects), []);
  await until(() => /a worker is tried with one client[^]*a worker gets clients again/.test(stage.daemon.log()));
}));

test("a pause of two seconds opens nothing by default", on({ args: SHARDS }, async (stage) => {
  const [paused] = [await stage.worker(), await stage.worker()];
  const clients = await crowd(stage, 4);
  const own = clients.find(({ pid }) => pid === paused.pid).socket;
  own.emit("hang", 2_000);
  assert.equal(await pidOf(own), paused.pid);
  assert.equal(await metric(stage, "circuits_opened_total"), 0);
}));

test("a worker that hangs and is alone keeps its clients, and answers them all", on({ args: [...SHARDS, ...set("link.stall_ms=1000")] }, async (stage) => {
  const worker = await stage.worker();
  const [{ socket }] = await crowd(stage, 1);
  await hang(socket, 3_000);
  const answers = Promise.all([...Array(20).keys()].map((number) => socket.emitWithAck("echo", number)));
  await until(async () => (await metric(stage, "circuits_opened_total")) === 1);
  const late = stage.connected();
  assert.deepEqual(await answers, [...Array(20).keys()]);
  assert.equal(await pidOf(await late), worker.pid, "who came meanwhile was held");
  assert.deepEqual([socket.disconnects, await metric(stage, "workers_lost_total")], [[], 0]);
}));

test("the same with `refuse`: clients are told at once to come again later, and do", on({ args: [...SHARDS, ...set("link.stall_ms=1000", "link.on_failure=refuse")] }, async (stage) => {
  const worker = await stage.worker();
  const [{ socket }] = await crowd(stage, 1);
  await hang(socket, 3_000);
  await until(() => socket.disconnects.length === 1);
  assert.deepEqual(socket.disconnects, ["transport close"]);
  await until(async () => (await total(stage.daemon, "ringway_refusals_total", { code: "RW-2603" })) >= 1);
  await until(() => socket.connected);
  assert.equal(await pidOf(socket), worker.pid);
}));

test("workers that crash on their first client: after some, one client is tried at a time, and all are served by one that is well", on({ args: [...SHARDS, ...set("link.failures_max=3", "link.isolate_ms_min=200", "link.isolate_ms_max=400")] }, async (stage) => {
  let worker = await stage.worker();
  const clients = await crowd(stage, 10);
  await stage.kill(worker);
  /** How many clients a worker that crashes has seen. */
  const crash = async () => {
    worker = await stage.worker([], { CRASHES: "1" });
    if (worker.child.exitCode === null) await once(worker.child, "exit");
    await until(async () => (await metric(stage, "workers")) === 0);
    return worker.events.filter(({ event }) => event === "connection").length;
  };
  const seen = [];
  for (let life = 0; life < 5; life += 1) seen.push(await crash());
  // The first death is the one above; after the third none sees them all.
  assert.deepEqual(seen.slice(2), [1, 1, 1], `${seen}`);
  assert.ok(seen[0] > 1, `${seen}`);
  worker = await stage.worker();
  const pids = await Promise.all(clients.map(({ socket }) => pidOf(socket)));
  assert.deepEqual([...new Set(pids)], [worker.pid]);
  assert.deepEqual(clients.flatMap(({ socket }) => socket.disconnects), []);
  assert.deepEqual(clients.map(({ socket }) => socket.id), clients.map(({ id }) => id));
  await until(async () => (await metric(stage, "circuits_closed_total")) === 1);
}));

/** Says what no worker says; resolves with what the daemon answers. */
const mumble = (stage) => lie(stage, Buffer.from([1, 0, 0, 0]));

test("a process that lies again and again is refused at once and for a while, and no worker is", on({ args: [...SHARDS, ...set("link.isolate_ms_min=4000")] }, async (stage) => {
  const worker = await stage.worker();
  const [{ socket }] = await crowd(stage, 1);
  for (let count = 0; count < 20; count += 1) assert.match(await mumble(stage), /bad-length/);
  const start = performance.now();
  assert.equal(await mumble(stage), "", "it is not even challenged");
  await stage.kill(worker);
  const next = await stage.worker();
  assert.equal(await pidOf(socket), next.pid);
  let said = "";
  while (said === "") said = await mumble(stage);
  assert.match(said, /bad-length/);
  const waited = performance.now() - start;
  assert.ok(waited > 500 && waited < 30_000, `${waited} ms`);
  await until(async () => (await total(stage.daemon, "ringway_links_turned_away_total")) >= 1);
  await until(() => /links are refused at once.*RW-2605/.test(stage.daemon.log()));
  assert.deepEqual(socket.disconnects, []);
}));

test("a worker that joins and lies, again and again, gets no clients when it joins once more; others of its application go on", on({ args: [...SHARDS, ...set("link.failures_max=3", "link.isolate_ms_min=8000")] }, async (stage) => {
  const well = await stage.worker();
  const [{ socket }] = await crowd(stage, 1);
  // Each is a life of its own, of a version that people call by one name.
  const life = (number, rest) => Buffer.concat([hello({ instance: `liar ${number}`, name: "bad version" }), rest]);
  for (let number = 0; number < 3; number += 1) assert.deepEqual(errorsIn(await lie(stage, life(number, frame(77)))), ["unknown-type"]);
  await until(async () => (await metric(stage, "circuits_opened_total")) === 1);
  await until(() => /a worker gets no clients for now: it said again and again what it must not.*RW-2604.*bad version/.test(stage.daemon.log()));
  const again = lie(stage, life(3, Buffer.alloc(0)));
  await until(async () => (await metric(stage, "workers_isolated")) === 1);
  const pids = await Promise.all((await crowd(stage, 10)).map(({ socket: other }) => pidOf(other)));
  assert.deepEqual([...new Set(pids)], [well.pid], "it has less to do, and is not asked");
  assert.deepEqual([await pidOf(socket), socket.disconnects], [well.pid, []]);
  await stage.daemon.stop();
  await again;
}));

test("a worker that judges no request keeps its clients and is asked about no more; the next worker is", on({ args: [...SHARDS, ...set("link.failures_max=1", "link.isolate_ms_min=1000")] }, async (stage) => {
  const judge = (judges) => ({ JUDGES: judges });
  const mute = await stage.worker([], judge("ann"));
  const query = (who) => ({ query: { who } });
  const ann = await stage.connected(query("ann"));
  // Whoever is not Ann is never answered.
  const bob = stage.client({ ...query("bob"), reconnection: false });
  await until(async () => (await metric(stage, "circuits_opened_total")) === 1);
  await until(() => /a worker gets no clients for now: it judges none of the requests.*RW-2604/.test(stage.daemon.log()));
  assert.equal(await pidOf(ann), mute.pid, "it keeps its clients");
  assert.equal(bob.connected, false);
  // Alone it is tried with one request when its time is over; one that it judges is enough.
  const late = await stage.connected(query("ann"));
  assert.equal(await pidOf(late), mute.pid);
  await until(async () => (await metric(stage, "circuits_closed_total")) === 1);
  const next = await stage.worker([], judge("all"));
  assert.equal(await pidOf(await stage.connected(query("carl"))), next.pid, "it has least to do");
  assert.deepEqual([ann.disconnects, late.disconnects], [[], []]);
}));

test("a worker whose verdicts no client can be told is asked no more; the next worker is", on({ args: [...SHARDS, ...set("link.failures_max=3", "link.isolate_ms_min=8000")] }, async (stage) => {
  // A status that is none of an answer; JSON that the link takes.
  const verdict = '{"ok":false,"status":101}';
  const liar = await misjudge(stage, verdict);
  const refused = async () => (await fetch(`${stage.daemon.url}/socket.io/?EIO=4&transport=polling`)).status;
  for (let number = 0; number < 3; number += 1) assert.ok(await refused() >= 500);
  await until(async () => (await metric(stage, "circuits_opened_total")) === 1);
  await until(() => /a worker gets no clients for now: it says of requests what no client can be told.*RW-2604/.test(stage.daemon.log()));
  assert.equal(await metric(stage, "workers_isolated"), 1);
  const well = await stage.worker([], { JUDGES: "all" });
  assert.equal(await pidOf(await stage.connected({ query: { who: "ann" } })), well.pid);
  assert.equal(liar.judged, 3);
  liar.socket.destroy();
}));

test("a worker that lets nobody in and refuses nobody: its clients end on another one", on({ args: [...SHARDS, ...set("link.stall_ms=1000", "link.failures_max=1", "link.isolate_ms_min=8000")] }, async (stage) => {
  const hangs = await stage.worker([], { HANGS: "1" });
  const well = await stage.worker();
  const clients = await crowd(stage, 10);
  assert.deepEqual([...new Set(clients.map(({ pid }) => pid))], [well.pid]);
  assert.deepEqual(clients.flatMap(({ socket }) => socket.disconnects), []);
  assert.equal(await metric(stage, "circuits_opened_total"), 1);
  await until(() => /a worker gets no clients for now: it lets no client in, and refuses none.*RW-2604/.test(stage.daemon.log()));
  // Back, it is tried with one client, which goes on with the other one when that is in vain.
  await until(async () => (await metric(stage, "probes_total")) >= 1);
  assert.equal(await pidOf(await stage.connected()), well.pid);
  assert.equal(await metric(stage, "circuits_closed_total"), 0);
  await stage.kill(hangs);
}));

test("over TCP wrong proofs of one address do not lock out a worker that is there, too", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-secret-"));
  const secretFile = path.join(folder, "secret");
  writeFileSync(secretFile, "a secret of more than sixteen bytes\n");
  const [port, outer] = [await freePort(), await freePort()];
  const args = [...SHARDS, ...set(`link.secret_file="${secretFile}"`, "link.isolate_ms_min=10000", "link.grace_ms=5000")];
  await on({ args, link: `tcp://127.0.0.1:${port}`, secretFile }, async (stage) => {
    const { cut, close } = await between(outer, port);
    stage.link = `tcp://127.0.0.1:${outer}`;
    const worker = await stage.worker();
    const socket = await stage.connected();
    const wrong = () => lie(stage, hello({ instance: "guest" }), { port, host: "127.0.0.1" });
    for (let count = 0; count < 20; count += 1) assert.deepEqual(errorsIn(await wrong()), ["proof"]);
    await until(() => /links are refused at once.*RW-2605/.test(stage.daemon.log()));
    cut();
    await until(async () => (await total(stage.daemon, "ringway_links_resumed_total")) === 1);
    assert.equal(await pidOf(socket), worker.pid);
    assert.deepEqual([socket.disconnects, await metric(stage, "workers_lost_total")], [[], 0]);
    close();
  })();
  rmSync(folder, { recursive: true, force: true });
});
