// Answers to other workers that are longer than a frame.

import assert from "node:assert/strict";
import { mock } from "node:test";

import { MESSAGE_BYTES_MAX, PIECE_BYTES_MAX, Pieces } from "../src/pieces.js";
import { test } from "./timed.js";

/** Two workers: what each says lies in `way` until it is carried. */
class Pair {
  readonly way: { from: string; to: string; opaque: Buffer }[] = [];
  readonly warnings: string[] = [];
  readonly whole: [from: string, bytes: Buffer][] = [];
  readonly #ends = new Map(["a", "b"].map((name) => [name, new Pieces((_nsp, to, opaque) => this.way.push({ from: name, to, opaque }), (why) => this.warnings.push(`${name}: ${why}`))]));

  end(name: string): Pieces {
    return this.#ends.get(name) as Pieces;
  }

  /** Carries what is on the way, or so many; `drop` says what is lost. */
  carry(count = Infinity, drop: (piece: Buffer) => boolean = () => false): number {
    let carried = 0;
    while (carried < count) {
      const next = this.way.shift();
      if (next === undefined) break;
      carried += 1;
      assert.ok(Pieces.is(next.opaque));
      if (drop(next.opaque)) continue;
      // As of the link: the memory is used again.
      const opaque = Buffer.from(next.opaque);
      const whole = this.end(next.to).take("/", next.from, opaque);
      opaque.fill(0xff);
      if (whole) this.whole.push([next.from, whole]);
    }
    return carried;
  }
}

const messageOf = (length: number, first: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (first + at) & 0xff));

test("a message comes whole, and of each worker's one piece is on the way", () => {
  const pair = new Pair();
  const messages = [messageOf(3 * PIECE_BYTES_MAX + 1, 1), messageOf(2 * PIECE_BYTES_MAX, 2), messageOf(1, 3)];
  for (const message of messages) pair.end("a").send("/", "b", message);
  pair.end("b").send("/", "a", messages[1] as Buffer);
  let most = 0;
  do most = Math.max(most, pair.way.filter(({ from }) => from === "a").length);
  while (pair.carry(1) > 0);
  const of = (name: string): Buffer[] => pair.whole.filter(([from]) => from === name).map(([, bytes]) => bytes);
  assert.equal(Buffer.compare(Buffer.concat(of("a")), Buffer.concat(messages)), 0);
  assert.deepEqual([of("a").length, of("b").length, pair.warnings], [3, 1, []]);
  // A piece, and the answer to the other's.
  assert.equal(most, 2);
});

test("more than a message may have, and more than may wait, is refused with a word", () => {
  const pair = new Pair();
  pair.end("a").send("/", "b", Buffer.alloc(MESSAGE_BYTES_MAX + 1));
  assert.equal(pair.warnings.length, 1);
  assert.equal(pair.way.length, 0);
  const large = Buffer.alloc(MESSAGE_BYTES_MAX);
  for (let count = 0; count < 3; count += 1) pair.end("a").send("/", "b", large);
  assert.match(String(pair.warnings[1]), /or wait with others/);
  // A session that is lost takes all with it.
  pair.end("a").lose();
  for (let count = 0; count < 2; count += 1) pair.end("a").send("/", "b", large);
  assert.equal(pair.warnings.length, 2);
  pair.end("a").lose();
});

test("a piece that is lost, or that nobody takes, ends its message and no other", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const pair = new Pair();
    pair.end("a").send("/", "b", messageOf(2 * PIECE_BYTES_MAX, 1));
    pair.end("a").send("/", "b", messageOf(PIECE_BYTES_MAX, 2));
    pair.carry(2);
    pair.carry(1, () => true);
    assert.deepEqual([pair.carry(), pair.whole.length, pair.warnings.length], [0, 0, 0]);
    mock.timers.tick(10_000);
    assert.match(String(pair.warnings[0]), /^a: the worker that asked took no more of it/);
    pair.carry();
    assert.deepEqual(pair.whole.map(([, bytes]) => bytes[0]), [2]);
  } finally {
    mock.timers.reset();
  }
});

test("what is for a worker that is gone waits no more, and makes room for others", () => {
  const pair = new Pair();
  const large = Buffer.alloc(MESSAGE_BYTES_MAX);
  pair.end("a").send("/", "b", large);
  pair.end("a").send("/", "b", large);
  pair.end("a").setPeers("/", ["b"]);
  pair.end("a").setPeers("/other", []);
  pair.end("a").send("/", "c", messageOf(1, 1));
  assert.equal(pair.warnings.length, 1, "all may wait still, and there is no room");
  pair.end("a").setPeers("/", []);
  pair.way.length = 0;
  pair.end("a").send("/", "b", messageOf(PIECE_BYTES_MAX, 2));
  pair.end("a").send("/other", "b", large);
  // Of its other namespaces it is still one.
  pair.end("a").setPeers("/", []);
  assert.equal(pair.way.length, 2);
  assert.equal(pair.warnings.length, 1);
  pair.carry();
  assert.deepEqual(pair.whole.map(([, bytes]) => bytes.length), [PIECE_BYTES_MAX, MESSAGE_BYTES_MAX]);
});

const head = (number: number, total: number, at: number, bytes: number): Buffer => {
  const piece = Buffer.alloc(13 + bytes);
  piece.writeUInt8(2, 0);
  piece.writeUInt32LE(number, 1);
  piece.writeUInt32LE(total, 5);
  piece.writeUInt32LE(at, 9);
  return piece;
};

test("of each other worker one message comes at a time, however many it begins", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const pair = new Pair();
    const begin = (from: string, number: number): Buffer | undefined => pair.end("b").take("/", from, head(number, 1 << 20, 0, PIECE_BYTES_MAX));
    // Together these are more than may come in part.
    for (let number = 0; number < 2_000; number += 1) assert.equal(begin("a", number), undefined);
    begin("c", 1);
    assert.deepEqual(pair.warnings, []);
    pair.way.length = 0;
    assert.equal(pair.end("b").take("/", "a", head(1_998, 1 << 20, PIECE_BYTES_MAX, 1)), undefined);
    assert.equal(pair.way.length, 0, "it is over");
    pair.end("b").take("/", "a", head(1_999, 1 << 20, PIECE_BYTES_MAX, 1));
    assert.equal(pair.way.length, 1);
    pair.end("b").setPeers("/", ["c"]);
    pair.end("b").take("/", "a", head(1_999, 1 << 20, PIECE_BYTES_MAX + 1, 1));
    pair.end("b").take("/", "c", head(1, 1 << 20, PIECE_BYTES_MAX, 1));
    assert.deepEqual(pair.way.map(({ to }) => to), ["a", "c"]);
  } finally {
    mock.timers.reset();
  }
});

test("what is no piece, or not the next one, is passed over", () => {
  const pair = new Pair();
  const odd = [Buffer.of(2), Buffer.of(3, 1), head(1, 0, 0, 1), head(1, 8, 4, 4), head(2, 2, 0, 3), head(3, MESSAGE_BYTES_MAX + 1, 0, 1), head(4, 4, 0, 0)];
  for (const opaque of odd) assert.equal(pair.end("b").take("/", "a", opaque), undefined);
  assert.deepEqual(pair.way, []);
  assert.equal(pair.end("b").take("/", "a", head(5, 4, 0, 2)), undefined);
  assert.equal(pair.end("b").take("/", "a", head(5, 4, 0, 2)), undefined, "it begins anew");
  assert.equal(pair.end("b").take("/", "a", head(5, 4, 2, 2))?.length, 4);
  pair.end("b").take("/", "a", Buffer.from("0301000000ffffffff", "hex"));
  assert.equal(Pieces.is(Buffer.of(0)) || Pieces.is(Buffer.of(1)) || Pieces.is(Buffer.of()), false);
});
