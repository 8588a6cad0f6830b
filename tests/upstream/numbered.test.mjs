// The judge of numbered events sees what it is there for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Numbered, COUNTING } from "./numbered.mjs";
import { DOUBLES } from "./planted.mjs";
import { on } from "./stage.mjs";

const ARGS = ["--set", "limits.connection_events_per_second=0", "--set", "limits.address_events_per_second=0", "--set", "limits.address_connections_per_second=0"];

/** Some events and words with a worker of this environment. */
async function run(stage, environment) {
  await stage.worker(undefined, { ...COUNTING, ...environment });
  const sockets = [await stage.connected(), await stage.connected()];
  const numbered = new Numbered(stage, sockets);
  await numbered.goesOn(20);
  const rests = await numbered.end();
  return () => {
    numbered.judgeEvents();
    numbered.judgeWords();
    numbered.judgeEnd(rests);
  };
}

test("events and words that come once are found to come once", on({ args: ARGS }, async (stage) => {
  (await run(stage, {}))();
}));

for (const what of DOUBLES) {
  test(`what is ${what} twice is seen`, on({ args: ARGS }, async (stage) => {
    assert.throws(await run(stage, { DOUBLES: what }), { code: "ERR_ASSERTION" });
  }));
}
