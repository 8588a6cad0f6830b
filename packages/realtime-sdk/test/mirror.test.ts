// The mirror is a Map of Sets to whoever looks, at whatever time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect, types } from "node:util";

import { listenersClass, slim } from "../src/listeners.js";
import { Mirror } from "../src/mirror.js";
import { EventEmitter } from "node:events";

const plain = (map: ReadonlyMap<string, Set<string>>): [string, string[]][] => [...map].map(([key, set]) => [key, [...set]]);

/** Each look at it, by which it must not matter that it was looked at. */
const looks: ((mirror: Mirror, key: string) => void)[] = [
  () => {},
  (mirror, key) => void mirror.get(key),
  (mirror) => void [...mirror.values()],
  (mirror) => mirror.forEach(() => {}),
];

test("it is a map of sets, however it was changed and looked at", () => {
  let state = 7;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  for (let run = 0; run < 300; run += 1) {
    const mirror = new Mirror();
    const model = new Map<string, Set<string>>();
    for (let step = 0; step < 60; step += 1) {
      const key = `k${below(3)}`;
      const item = `k${below(14)}`;
      looks[run % looks.length]?.(mirror, key);
      if (below(3) > 0) {
        mirror.open(key);
        if (!model.has(key)) model.set(key, new Set());
        if (!mirror.holds(key, item)) mirror.put(key, item);
        model.get(key)?.add(item);
      } else {
        const wasThere = model.get(key)?.delete(item) === true;
        const isEmpty = model.get(key)?.size === 0;
        assert.deepEqual([mirror.take(key, item), mirror.isEmpty(key)], [wasThere, isEmpty]);
        if (isEmpty) assert.equal(mirror.delete(key), model.delete(key));
      }
      assert.equal(mirror.holds(key, item), model.get(key)?.has(item) === true);
      assert.deepEqual([...mirror.items(key)], [...(model.get(key) ?? [])]);
      assert.equal(mirror.size, model.size);
    }
    assert.equal(inspect(mirror), inspect(model));
    assert.deepEqual(plain(mirror), plain(model));
    assert.deepEqual([...mirror.keys()], [...model.keys()]);
  }
});

test("a set that was looked at is the one that is kept", () => {
  const mirror = new Mirror();
  mirror.put("a", "a");
  const set = mirror.get("a");
  mirror.put("a", "b");
  assert.equal(mirror.get("a"), set);
  assert.deepEqual([...(set ?? [])], ["a", "b"]);
  set?.add("c");
  assert.ok(mirror.holds("a", "c"));
  assert.ok(mirror instanceof Map);
});

test("iterators are a map's, and go on over what is added", () => {
  const mirror = new Mirror();
  mirror.put("a", "a");
  const [entries, values] = [mirror.entries(), mirror.values()];
  for (const iterator of [entries, values]) {
    assert.ok(types.isMapIterator(iterator));
    assert.equal(iterator[Symbol.iterator](), iterator);
  }
  assert.deepEqual(entries.next(), { done: false, value: ["a", new Set(["a"])] });
  mirror.put("b", "x");
  mirror.put("b", "y");
  assert.deepEqual([...entries], [["b", new Set(["x", "y"])]]);
  assert.deepEqual(entries.next(), { done: true, value: undefined });
  assert.deepEqual([...values], [mirror.get("a"), mirror.get("b")]);
  assert.equal([...mirror.values()][1], mirror.get("b"));
});

test("listeners stay what they were, in their order", () => {
  const emitter = new EventEmitter();
  const heard: string[] = [];
  const symbol = Symbol("event");
  emitter.on("a", () => heard.push("a1")).on("a", () => heard.push("a2")).on(symbol, () => heard.push("symbol"));
  slim(emitter, listenersClass());
  emitter.once("constructor", () => heard.push("constructor"));
  for (const event of ["a", symbol, "constructor", "constructor", "toString"]) emitter.emit(event);
  assert.deepEqual(heard, ["a1", "a2", "symbol", "constructor"]);
  assert.deepEqual(emitter.eventNames(), ["a", symbol]);
  emitter.removeAllListeners("a");
  assert.equal(emitter.emit("a"), false);
});
