// What is read here is what socket.io-parser reads, and what it refuses is refused as it refuses it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { leanDecoder, readPacket, type DecoderClass } from "../src/decoder.js";
import type { Packet } from "../src/internals.js";

const require = createRequire(import.meta.url);
const { Decoder: Stock } = createRequire(require.resolve("socket.io"))("socket.io-parser") as { Decoder: DecoderClass };
const Lean = leanDecoder(Stock);

/** What comes of parts: packets, and what was thrown, in their order. */
function outcome(Decoder: DecoderClass, parts: readonly (string | Buffer)[]): unknown[] {
  const decoder = new Decoder();
  const seen: unknown[] = [];
  decoder.on("decoded", (packet: Packet) => { seen.push({ ...packet }); });
  for (const part of parts) {
    try {
      decoder.add(part);
    } catch (error) {
      seen.push((error as Error).message);
    }
  }
  return seen;
}

const same = (...parts: (string | Buffer)[]): void => assert.deepEqual(outcome(Lean, parts), outcome(Stock, parts), JSON.stringify(parts));

test("packets and faults are those of socket.io-parser", () => {
  const packets = [
    '2["a"]', '2/admin,["a",1]', '2/admin,12["a",{"b":[1,2]}]', '212["a"]', '3/a,7[]', '37[1,"x"]', '2[1]', '2["connect"]', '2["disconnect"]', "2[]", "2[null]",
    '2["a"', "2", "2/", "2/a", "2/a,", '2/a["b","c"]', '2/a[1,["x"]', '2 ["a"]', '2 1["a"]', '2-1["a"]', '21e3["a"]', '2999999999999999["a"]', '29999999999999999["a"]',
    '200["a"]', '2{"a":1}', '3{"a":1}', "3", "0", '0{"token":"x"}', "0[]", "1", "1[]", '4{"message":"x"}', '4"x"', "4[]", "7[]", "x", '2["a"] ', '2["a"]x', '2["ä","🙂"]',
    '51-["a",{"_placeholder":true,"num":0}]', '5["a"]', '6x-["a"]', '599-["a"]',
  ];
  for (const packet of packets) same(packet);
});

test("keys, names and numbers that mean something to objects or to socket.io", () => {
  const values = ['{"__proto__":{"polluted":1}}', '{"a":{"__proto__":[]}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"toString":1}', '[{"__proto__":null}]'];
  for (const value of values) {
    same(`2["x",${value}]`);
    same(`3/a,7[${value}]`);
    const [name, read] = readPacket(`2["x",${value}]`, () => true)?.data as [string, object];
    assert.deepEqual([name, JSON.stringify(read), ({} as { polluted?: unknown }).polluted], ["x", value, undefined]);
  }
  const reserved = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
  for (const name of [...reserved, "error", "__proto__", "constructor", "hasOwnProperty", ""]) {
    same(`2["${name}",1]`);
    same(`2/a,12["${name}"]`);
  }
  for (const name of reserved) assert.equal(outcome(Lean, [`2["${name}"]`]).at(-1), "invalid payload", name);
  for (const id of ["0", "007", "4294967296", "999999999999999", "9007199254740993", "99999999999999999999", "1".repeat(400), "-1", "1e3", "0x1", "1.5", "Infinity"]) {
    same(`2${id}["x"]`);
    same(`3/a,${id}[1]`);
  }
  for (const nsp of ["/a?x=1,", "/a?x=1&y=[2],", "/?,", "/a?x=1", "/a#b,", "//a,", "/a/,", "/[a],", "/__proto__,", "?x=1,"]) {
    for (const packet of [`2${nsp}["x"]`, `2${nsp}12["x"]`, `3${nsp}1[]`, `0${nsp}`, `0${nsp}{"a":1}`, `1${nsp}`]) same(packet);
  }
});

test("attachments are waited for, and another text between them is the fault that it is", () => {
  const header = '52-/a,3["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
  same(header, Buffer.of(1), Buffer.of(2), '2["after"]');
  same(header, Buffer.of(1), '2["between"]', Buffer.of(2), '2["after"]');
  same(Buffer.of(1), '2["after"]');
  same('61-3[{"_placeholder":true,"num":0}]', Buffer.of(1), '37["after"]');
});

test("whatever is made of the characters of packets", () => {
  const letters = ['2', '3', '0', '5', '/', ',', '[', ']', '"', 'a', '1', '-', ' ', '{', '}', ':', '"a"', '["a"]', '["a",1]', 'connect'];
  let state = 20_261_128;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  let read = 0;
  for (let run = 0; run < 10_000; run += 1) {
    let text = below(2) === 0 ? "2" : "3";
    for (let length = below(8); length >= 0; length -= 1) text += letters[below(letters.length)];
    same(text);
    if (readPacket(text, () => true) !== undefined) read += 1;
  }
  // It would show nothing if all of them were socket.io-parser's.
  assert.ok(read > 100, `${read} were read here`);
});

test("what is no decoder of socket.io-parser stays", () => {
  class Other { add(): void {} on(): void {} }
  assert.equal(leanDecoder(Other as unknown as DecoderClass), Other);
});

test("a decoder that is let go waits for nothing", () => {
  const decoder = new Lean();
  const heard: Packet[] = [];
  const listener = (packet: Packet): void => void heard.push(packet);
  decoder.on("decoded", listener);
  decoder.add('51-["x",{"_placeholder":true,"num":0}]');
  decoder.destroy?.();
  decoder.add('2["y"]');
  assert.equal(heard.length, 1);
  (decoder as unknown as { removeListener(event: string, listener: unknown): void }).removeListener("decoded", listener);
  decoder.add('2["z"]');
  assert.equal(heard.length, 1);
  assert.ok(decoder instanceof Stock);
});
