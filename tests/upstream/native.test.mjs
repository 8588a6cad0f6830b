// Namespaces of the daemon's own: an application that has one of them, too, is told so, and served in its others.
import assert from "node:assert/strict";
import test from "node:test";
import { Socket as Engine } from "engine.io-client";
import { event, until } from "../it/daemon.mjs";
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

test("a client that is in a namespace of the daemon's own alone outlives the application's `connectTimeout`, also one that the application refuses", on({ args: ["--shards", "2", "--dev", "--set", 'namespaces.native=["/live"]'] }, async (stage) => {
  await stage.worker(undefined, { CONNECT_TIMEOUT: "300" });
  const alone = await stage.connected({ reconnection: false }, "/live");
  const both = await stage.connected({ reconnection: false }, "/live");
  const late = both.io.socket("/", { auth: { refuse: "because" } });
  const refusal = new Promise((resolve) => { late.once("connect_error", resolve); });
  assert.equal((await refusal).message, "not you");
  // Those who came later and are in nothing are closed: one that says nothing, by the daemon, and one that the application refuses, by the worker, whose clock for
  // the client above has run out by then, too.
  const silent = new Engine(stage.daemon.url, { path: "/socket.io/", transports: ["websocket"] });
  await event(silent, "open");
  const closed = event(silent, "close");
  const refused = stage.client({ reconnection: false, auth: { refuse: "because" } });
  await Promise.all([closed, until(() => refused.io.engine?.readyState === "closed")]);
  for (const socket of [alone, both]) {
    assert.equal((await socket.emitWithAck("join", "room")).ok, true);
    assert.deepEqual(socket.disconnects, []);
  }
  // And the application has the client anew when it is let in.
  late.auth = {};
  late.connect();
  await until(() => late.connected);
  assert.equal(await late.emitWithAck("echo", "in"), "in");
  assert.deepEqual([alone.disconnects, both.disconnects], [[], []]);
}));
