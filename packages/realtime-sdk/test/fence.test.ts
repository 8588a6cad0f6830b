// What stands until others have dealt with it, and what it looks like to `packetCreate`.

import assert from "node:assert/strict";

import { Fence } from "../src/fence.js";
import { preEncodedFrame } from "../src/frame.js";
import { test } from "./timed.js";

test("a fence stands until everybody has passed it", () => {
  const fence = new Fence();
  fence.add("one");
  fence.add("two");
  assert.equal(fence.stands, false);
  const first = fence.raise();
  const second = fence.raise();
  fence.pass("one", second);
  fence.pass("two", first);
  assert.equal(fence.stands, true);
  fence.pass("two", second);
  assert.equal(fence.stands, false);
  fence.raise();
  assert.equal(fence.stands, true);
});

test("who leaves is not waited for, and who comes was asked nothing", () => {
  const fence = new Fence();
  fence.add("one");
  fence.raise();
  fence.add("late");
  assert.equal(fence.stands, true);
  fence.remove("one");
  assert.equal(fence.stands, false);
});

test("a number that was never raised, and a worker that nobody named, pass nothing", () => {
  const fence = new Fence();
  fence.add("one");
  const number = fence.raise();
  fence.pass("one", number + 1);
  fence.pass("other", number);
  assert.equal(fence.stands, true);
});

test("a worker that stands still is waited for two seconds, from the first that it was asked", () => {
  let now = 0;
  const fence = new Fence(() => now);
  fence.add("stuck");
  fence.raise();
  now = 1_999;
  fence.raise();
  assert.equal(fence.stands, true);
  now = 2_001;
  assert.equal(fence.stands, false);
  fence.raise();
  assert.equal(fence.stands, true, "and again");
});

for (const [bytes, header] of [[1, "8102"], [124, "817d"], [125, "817e007e"], [65_534, "817effff"], [65_535, "817f0000000000010000"]] as const) {
  test(`the frame of ${bytes} bytes`, () => {
    const [head, payload] = preEncodedFrame("x".repeat(bytes));
    assert.equal(head.toString("hex"), header);
    assert.equal(payload.toString(), `4${"x".repeat(bytes)}`);
  });
}
