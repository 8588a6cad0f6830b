// Faults that nobody listens to are said by the process: each code once in a while.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { LinkError } from "../src/link/errors.js";
import { Warned } from "../src/warned.js";

/** The warnings that a body makes the process say. */
async function warnings(body: () => void): Promise<string[]> {
  const said: string[] = [];
  const listener = (warning: Error): void => void said.push(`${warning.name} ${(warning as NodeJS.ErrnoException).code} ${warning.message}`);
  process.on("warning", listener);
  body();
  await setImmediate();
  process.off("warning", listener);
  return said;
}

const proof = new LinkError("proof", "wrong", true);

test("a fault is said once in a minute of each code, with who has found it", async () => {
  const warned = new Warned();
  const said = await warnings(() => {
    for (const now_ms of [0, 1, 59_999]) warned.tell(proof, now_ms);
    warned.tell(new LinkError("queue-full", "much"), 59_999);
    warned.tell(proof, 60_000);
  });
  const closed = "RingwayWarning RINGWAY_LINK the daemon has closed the link: proof: wrong";
  assert.deepEqual(said, [closed, "RingwayWarning RINGWAY_LINK the link to the daemon: queue-full: much", closed]);
});

test("what is the worker's own is not said of the link; who reads that it began reads that it is over", async () => {
  const warned = new Warned();
  const said = await warnings(() => {
    for (const [code, at_ms] of [["full", 0], ["free", 30_000], ["full", 30_001], ["free", 30_002], ["full", 60_000], ["free", 60_001], ["free", 60_002]] as const) {
      warned.tell(new LinkError(`handlers-${code}`, `${at_ms}`), at_ms);
    }
  });
  const codes = ["handlers-full: 0", "handlers-free: 30000", "handlers-full: 60000", "handlers-free: 60001"];
  assert.deepEqual(said, codes.map((code) => `RingwayWarning RINGWAY_LINK the worker: ${code}`));
});

test("codes that a daemon makes up are not all said", async () => {
  const warned = new Warned();
  const said = await warnings(() => {
    for (let number = 0; number < 100; number += 1) warned.tell(new LinkError(`code-${number}`, "x", true), 0);
  });
  assert.equal(said.length, 32);
});
