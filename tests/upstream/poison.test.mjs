// Clients on whom every worker dies, as its handlers throw: they are found and sent away, and others lose nothing but what went with their workers.
import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { on } from "./stage.mjs";

const application = fileURLToPath(new URL("application.mjs", import.meta.url));
const dismissed = (stage) => total(stage.daemon, "ringway_upstream_clients_dismissed_total");

/** For so long a worker must live with a client that is tried, and half a second more for it to get there. */
const TRIAL_MS = 1_500;

/** Three workers, each of which comes back whenever an exception ends it, as a supervisor would see to. */
async function supervised(stage) {
  const deaths = [];
  const start = () => {
    const { child } = stage.launch([application, stage.link]);
    child.once("exit", (code) => {
      if (code !== 1) return;
      deaths.push(child.pid);
      start();
    });
  };
  for (let number = 0; number < 3; number += 1) start();
  await until(async () => (await total(stage.daemon, "ringway_links_joined_total")) >= 3);
  return deaths;
}

/** They are answered sooner or later: what went with a worker is asked again. */
const isAnswered = (socket) => until(() => socket.timeout(1_000).emitWithAck("echo", 1).then(() => true, () => false));

async function isFound(stage, t, poison) {
  const deaths = await supervised(stage);
  const others = await Promise.all([...Array(20).keys()].map(() => stage.connected()));
  const ids = others.map(({ id }) => id);
  const guilty = await poison(stage);
  await until(async () => (await dismissed(stage)) === 1);
  await until(() => guilty.connected === false);
  const found = deaths.length;
  await Promise.all(others.map(isAnswered));
  t.diagnostic(`${found} workers died until it was found`);
  assert.ok(found >= 3 && found <= 12, `${found} deaths`);
  assert.equal(deaths.length, found, "and none since then");
  assert.deepEqual(others.flatMap((socket) => socket.disconnects), []);
  assert.deepEqual(others.map(({ id }) => id), ids);
  assert.match(stage.daemon.log(), /workers died on it.*RW-2615/);
  return guilty;
}

for (const [what, event] of [["throws", "parse"], ["rejects", "parse later"]]) {
  test(`an event whose handler ${what}, with link.redeliver: its client is told to go, and does not come back`, on({ args: ["--set", "link.redeliver=true"] }, async (stage, t) => {
    const guilty = await isFound(stage, t, async () => {
      const socket = await stage.connected({ reconnectionDelay: 50 });
      socket.emit(event, "{bad");
      return socket;
    });
    assert.deepEqual([guilty.disconnects, guilty.active], [["io server disconnect"], false]);
  }));
}

test("a client on whom `connection` throws is told to go", on({}, async (stage, t) => {
  const guilty = await isFound(stage, t, () => stage.client({ query: { filter: "{bad" }, reconnectionDelay: 50 }));
  assert.equal(guilty.active, false);
}));

test("an event whose handler throws is lost with its worker by default, and its client stays", on({}, async (stage) => {
  const deaths = await supervised(stage);
  const socket = await stage.connected();
  for (let death = 1; death <= 3; death += 1) {
    socket.emit("parse", "{bad");
    await until(() => deaths.length === death);
    await isAnswered(socket);
    // It lives on with its next worker for longer than those who are suspect.
    await new Promise((resolve) => setTimeout(resolve, 2 * TRIAL_MS));
  }
  assert.deepEqual([socket.disconnects, await dismissed(stage)], [[], 0]);
}));
