// What stands until others have dealt with it, and what it looks like to `packetCreate`.

import assert from "node:assert/strict";

import { Fence } from "../src/fence.js";
import { preEncodedFrame } from "../src/frame.js";
import { test } from "./timed.js";

test("what was asked is done when everybody has passed it", () => {
  const fence = new Fence();
  fence.add("one");
  fence.add("two");
  assert.equal(fence.before(["room"]), undefined);
  assert.equal(fence.next, 1);
  const first = fence.raise(["room"]);
  const second = fence.raise(["room"]);
  assert.deepEqual([first.number, second.number, fence.before(["room"])], [1, 2, second]);
  fence.pass("one", second.number);
  fence.pass("two", first.number);
  assert.deepEqual([fence.isDone(first), fence.isDone(second)], [true, false]);
  fence.pass("two", second.number);
  assert.deepEqual([fence.isDone(second), fence.before(["room"])], [true, undefined]);
});

test("only what is about the same rooms, or about everything, is before a broadcast", () => {
  const fence = new Fence();
  fence.add("one");
  const join = fence.raise(["a", "b"]);
  assert.deepEqual([fence.before(["b"]), fence.before(["c"]), fence.before([])], [join, undefined, undefined]);
  const all = fence.raise();
  assert.deepEqual([fence.before(["b"]), fence.before(["c"]), fence.before([])], [all, all, all]);
  const leave = fence.raise(["c"]);
  assert.deepEqual([fence.before(["b", "c"]), fence.before(["b"])], [leave, all]);
  fence.pass("one", all.number);
  assert.deepEqual([fence.before(["b"]), fence.before(["c"])], [undefined, leave]);
});

test("who leaves is not waited for, and who comes was asked nothing", () => {
  const fence = new Fence();
  fence.add("one");
  const asked = fence.raise();
  fence.add("late");
  assert.equal(fence.isDone(asked), false);
  fence.remove("one");
  assert.equal(fence.isDone(asked), true);
});

test("a number that was never raised, and a worker that nobody named, pass nothing", () => {
  const fence = new Fence();
  fence.add("one");
  const asked = fence.raise();
  fence.pass("one", asked.number + 1);
  fence.pass("other", asked.number);
  assert.equal(fence.isDone(asked), false);
});

test("who was given up is not waited for until it says something, and nothing is asked about for longer than two seconds", () => {
  let now = 0;
  const fence = new Fence(() => now);
  fence.add("stuck");
  const first = fence.raise(["room"]);
  fence.giveUp(first);
  assert.equal(fence.isDone(first), true);
  assert.equal(fence.isDone(fence.raise(["room"])), true, "it has not said anything");
  fence.pass("stuck", first.number);
  const next = fence.raise(["room"]);
  assert.equal(fence.isDone(next), false);
  now = 1_999;
  assert.equal(fence.before(["room"]), next);
  now = 2_000;
  assert.equal(fence.before(["room"]), undefined);
});

for (const [bytes, header] of [[1, "8102"], [124, "817d"], [125, "817e007e"], [65_534, "817effff"], [65_535, "817f0000000000010000"]] as const) {
  test(`the frame of ${bytes} bytes`, () => {
    const [head, payload] = preEncodedFrame("x".repeat(bytes));
    assert.equal(head.toString("hex"), header);
    assert.equal(payload.toString(), `4${"x".repeat(bytes)}`);
  });
}
