// Handlers that do not return: their client is held, and nobody else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../it/daemon.mjs";
import { refusals, total } from "../it/metrics.mjs";
import { on } from "./stage.mjs";

const held = fileURLToPath(new URL("held.mjs", import.meta.url));
const RATES = ["connection_events", "address_events"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);
const HEARTBEAT = ["--set", "engine.ping_interval_ms=1000", "--set", "engine.ping_timeout_ms=4000"];
const ARGS = ["--shards", "2", ...RATES, ...HEARTBEAT, "--set", "link.stall_ms=4000"];
const EVENTS = 20_000;

for (const kind of ["promise", "interceptor", "observable"]) test(`handlers that do not return (${kind}): their client is received from no more and not timed out, others go on, and it goes on with them`, on({ args: ARGS }, async (stage, t) => {
  await stage.join(["--expose-gc", held, stage.link], { KIND: kind });
  const [busy, other] = [await stage.connected(), await stage.connected()];
  const before = await other.emitWithAck("look");
  const text = "x".repeat(2_000);
  const answers = [];
  for (let number = 0; number < EVENTS; number += 1) busy.emit("wait", [number, text], (answer) => answers.push(answer.number));
  await until(async () => (await other.emitWithAck("look")).begun >= 100);
  // Longer than a client may be silent, and than a worker may be stuck: seven pings are seven seconds.
  let pings = 0;
  other.io.engine.on("ping", () => { pings += 1; });
  await until(() => pings >= 7);
  const during = await other.emitWithAck("look");
  t.diagnostic(`of ${EVENTS} events ${during.begun} had begun, with ${Math.round((during.heap - before.heap) / 1024)} KiB of heap`);
  // The bound, and what was on the way: a window of the link, and what waits in the daemon before it stops receiving.
  assert.ok(during.begun <= 100 + ((4 << 20) + (64 << 10)) / text.length, `${during.begun}`);
  assert.ok(during.heap - before.heap < 24 << 20, `${during.heap - before.heap} bytes`);
  assert.deepEqual([busy.disconnects, other.disconnects, answers], [[], [], []]);
  assert.equal(await total(stage.daemon, "ringway_upstream_stalls_total"), 0);
  await other.emitWithAck("go");
  await until(() => answers.length === EVENTS);
  assert.deepEqual(answers, [...Array(EVENTS).keys()]);
  assert.deepEqual([busy.disconnects, await refusals(stage.daemon)], [[], {}]);
}));
