// A set that forgets by itself.

import assert from "node:assert/strict";
import { mock } from "node:test";

import { Lately } from "../src/lately.js";
import { test } from "./timed.js";

test("what was added is there for a second, and gone within two, and nothing is left to do then", () => {
  mock.timers.enable({ apis: ["setInterval"] });
  const lately = new Lately();
  lately.add("a");
  mock.timers.tick(1_000);
  lately.add("b");
  assert.deepEqual([...lately.keys()], ["a", "b"]);
  lately.delete("b");
  assert.deepEqual([lately.has("a"), lately.has("b")], [true, false]);
  mock.timers.tick(1_000);
  assert.deepEqual([...lately.keys()], []);
  lately.add("c");
  mock.timers.tick(999);
  assert.ok(lately.has("c"));
  mock.timers.tick(1_001);
  assert.equal(lately.has("c"), false);
  lately.add("d");
  lately.clear();
  assert.deepEqual([...lately.keys()], []);
  mock.timers.reset();
});
