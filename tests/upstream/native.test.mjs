// Namespaces of the daemon's own: an application that has one of them, too, is told so, and served in its others.
import assert from "node:assert/strict";
import test from "node:test";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { on } from "./stage.mjs";


test("a namespace that the daemon keeps is said to be none of the application's, in both logs, and its others are served", on({ args: ["--shards", "2", "--dev", "--set", 'namespaces.native=["/admin"]'] }, async (stage) => {
  const worker = await stage.worker();
  await worker.until(() => worker.errors.includes("RINGWAY_NATIVE"));
  assert.match(worker.errors, /RingwayWarning: the namespace \/admin is the daemon's own/);
  assert.equal(worker.errors.match(/RINGWAY_NATIVE/g).length, 1, "and no other one is");
  await until(() => /gets no clients in it.*RW-2609.*application="default" namespace="\/admin"/.test(stage.daemon.log()));
  await until(async () => await total(stage.daemon, "ringway_upstream_namespaces_native_total") === 1);
  assert.equal(await total(stage.daemon, "ringway_links_refused_total"), 0);
  const native = await stage.connected({}, "/admin");
  const heard = [];
  native.onAny((...values) => heard.push(values));
  const socket = await stage.connected();
  // What the application says to its clients goes around the daemon's own.
  socket.emit("everybody", "news");
  await until(() => socket.told.length === 1);
  assert.equal(await socket.emitWithAck("echo", "served"), "served");
  assert.deepEqual(heard, [], "nobody of the application's is there");
  // The next life is told anew.
  await stage.kill(worker);
  const next = await stage.worker();
  await next.until(() => next.errors.includes("RINGWAY_NATIVE"));
  assert.deepEqual(socket.disconnects, []);
}));
