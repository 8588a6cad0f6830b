// `io.local`: the daemon delivers to the clients of one worker by one command.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "../it/daemon.mjs";
import { Side, withDaemon } from "./both.mjs";
import { on } from "./stage.mjs";

/** The names of the frames that a worker says while `act` runs. */
function said(io, act) {
  const { host } = io.ringway;
  const { send } = host;
  const names = [];
  host.send = (name, ...rest) => { names.push(name); send(name, ...rest); };
  try {
    act();
  } finally {
    host.send = send;
  }
  return names;
}

describe("io.local", () => {
  const at = withDaemon();

  /** Four clients, two of each worker. */
  const behind = (body) => async () => {
    const side = new Side(at);
    try {
      const [a, b] = await side.pair();
      const more = [await side.meet(), await side.meet()];
      const all = [a, b, ...more];
      all.forEach(({ socket }) => socket.join("room"));
      for (const io of side.servers) await side.mark(io);
      await body(side, side.servers.map((io) => all.filter((meeting) => meeting.io === io)));
    } finally {
      await side.close();
    }
  };
  const heard = (meetings) => meetings.map(({ client }) => client.heard.filter(([name]) => name === "told").map(([, value]) => value));

  test("is one command, and reaches its worker's clients alone", behind(async (side, [mine, others]) => {
    const { io } = mine[0];
    assert.deepEqual([mine.length, others.length], [2, 2]);
    assert.deepEqual(said(io, () => io.local.emit("told", 1)), ["BCAST"]);
    assert.deepEqual(said(io, () => io.local.to("room").except(mine[1].socket.id).emit("told", 2)), ["BCAST"]);
    assert.deepEqual(said(io, () => io.local.to(others[0].socket.id).emit("told", 3)), ["BCAST"]);
    assert.deepEqual(said(io, () => mine[0].socket.local.emit("told", 4)), ["BCAST"]);
    await side.mark(io);
    assert.deepEqual([heard(mine), heard(others)], [[[1, 2], [1, 4]], [[], []]]);
  }));
});

test("io.local follows clients to the worker that takes them over", on({ args: ["--shards", "2"] }, async (stage) => {
  const workers = [await stage.worker(), await stage.worker()];
  const sockets = await Promise.all([...Array(4).keys()].map(() => stage.connected()));
  const pids = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
  const mine = sockets.filter((_, at) => pids[at] === pids[0]);
  assert.equal(mine.length, 2);
  const others = sockets.filter((socket) => !mine.includes(socket));
  mine[0].emit("local", "before");
  await until(() => mine.every(({ told }) => told.length === 1));
  await stage.kill(workers.find(({ pid }) => pid !== pids[0]));
  for (const socket of others) assert.equal((await socket.emitWithAck("who")).pid, pids[0]);
  others[0].emit("local", "after");
  await until(() => others.every(({ told }) => told.length === 1) && mine.every(({ told }) => told.length === 2));
  assert.deepEqual([...mine, ...others].map(({ told }) => told.flat()), [["before", "after"], ["before", "after"], ["after"], ["after"]]);
}));
