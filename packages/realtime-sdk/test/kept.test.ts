import assert from "node:assert/strict";

import { Kept, type Audience } from "../src/kept.js";
import { test } from "./timed.js";

const audience = (rooms: string[] = [], except: string[] = []): Audience => ({ rooms: new Set(rooms), except: new Set(except) });
const session = { sid: "s", pid: "p", rooms: ["s", "in"], data: { who: 1 } };

/** What a client in two rooms missed. */
function missedBy(kept: Kept, offset: string): unknown[] | undefined {
  const returning = kept.find("p", offset);
  return returning && kept.giveBack(returning)?.map(([value]) => value);
}

test("rooms and exceptions say who missed what, once", () => {
  const kept = new Kept(1_000, () => 0);
  const add = (value: string, to: Audience): string => {
    const offset = kept.offset();
    kept.add(offset, [value, offset], to, 1);
    return offset;
  };
  const first = add("first", audience());
  const offset = add("heard", audience(["in"]));
  kept.save(session);
  for (const [value, to] of [["all", audience()], ["in", audience(["in", "other"])], ["other", audience(["other"])], ["but s", audience([], ["s"])]] as const) add(value, to);
  assert.equal(kept.find("another", offset), undefined);
  assert.equal(kept.find("p", "unknown"), undefined);
  const returning = kept.find("p", first);
  assert.deepEqual(returning?.session, session);
  // While its middlewares run.
  add("late", audience(["s"]));
  assert.deepEqual(missedBy(kept, offset), ["all", "in", "late"]);
  assert.equal(kept.find("p", offset), undefined, "it was given back");
});

test("who comes too late, or missed what is gone, starts anew", () => {
  let now = 0;
  const kept = new Kept(1_000, () => now);
  const add = (bytes = 1): string => {
    const offset = kept.offset();
    kept.add(offset, [offset], audience(), bytes);
    return offset;
  };
  const old = add();
  now = 500;
  const young = add();
  kept.save(session);
  now = 1_200;
  assert.equal(kept.find("p", old), undefined, "too old an offset");
  assert.deepEqual(missedBy(kept, young), []);
  kept.save(session);
  now = 2_200;
  assert.equal(kept.find("p", add()), undefined, "too late");
  kept.save(session);
  const returning = kept.find("p", add());
  add(20 << 20);
  add(20 << 20);
  assert.ok(returning);
  assert.equal(kept.giveBack(returning), undefined, "too much");
});

test("behind what was not told here nobody is given anything", () => {
  const kept = new Kept(1_000, () => 0);
  const offset = kept.offset();
  kept.add(offset, ["heard", offset], audience(), 1);
  kept.save(session);
  kept.forget();
  kept.save(session);
  assert.equal(kept.find("p", offset), undefined);
  const next = kept.offset();
  kept.add(next, ["next", next], audience(), 1);
  assert.deepEqual(missedBy(kept, next), []);
});

test("thousands of packets go and come", () => {
  let now = 0;
  const kept = new Kept(100, () => now);
  let last = "";
  for (let number = 0; number < 5_000; number += 1) {
    now += 1;
    last = kept.offset();
    kept.add(last, [number, last], audience(), 1);
    if (number === 4_950) kept.save(session);
    if (number === 4_960) assert.deepEqual(kept.find("p", last)?.session, session);
  }
  assert.deepEqual(missedBy(kept, last), []);
});
