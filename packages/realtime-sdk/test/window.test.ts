// Two ends in memory and what is on the wire between them; a cut loses the wire. A seed is a run.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/link/backoff.js";
import { LinkError } from "../src/link/errors.js";
import { isProof, prove } from "../src/link/proof.js";
import { Incoming, Outgoing, type Sum } from "../src/link/window.js";

const SMALL = { frames: 8, bytes: 100 };

const frame = (number: number, bytes: number): Buffer => {
  const made = Buffer.alloc(bytes);
  made.writeUInt32LE(number);
  return made;
};

const code = (expected: string) => (error: unknown) => error instanceof LinkError && error.code === expected;

/** SplitMix64. */
class Random {
  #state: bigint;

  constructor(seed: number) {
    this.#state = BigInt(seed);
  }

  below(end: number): number {
    const mask = (1n << 64n) - 1n;
    this.#state = (this.#state + 0x9e3779b97f4a7c15n) & mask;
    let word = this.#state;
    word = ((word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    word = ((word ^ (word >> 27n)) * 0x94d049bb133111ebn) & mask;
    return Number((word ^ (word >> 31n)) % BigInt(end));
  }
}

test("the window counts frames and bytes", () => {
  const outgoing = new Outgoing(SMALL);
  for (let number = 0; number < 9; number += 1) outgoing.push(frame(number, 10));
  for (let number = 0; number < 8; number += 1) assert.ok(outgoing.next());
  assert.equal(outgoing.next(), undefined);
  outgoing.credit({ frames: 8, bytes: 80 });
  assert.equal(outgoing.next()?.readUInt32LE(0), 8);
  outgoing.push(frame(9, 91));
  assert.equal(outgoing.next(), undefined, "90 bytes fit beside 10, not 91");
  outgoing.credit({ frames: 9, bytes: 90 });
  assert.ok(outgoing.next());
});

test("a frame larger than the window goes alone", () => {
  const outgoing = new Outgoing(SMALL);
  const incoming = new Incoming(SMALL);
  outgoing.push(frame(0, 1000));
  outgoing.push(frame(1, 10));
  assert.equal(outgoing.next()?.length, 1000);
  assert.equal(outgoing.next(), undefined);
  incoming.receive(1000);
  assert.throws(() => incoming.receive(10), code("window"));
  incoming.deal(1000);
  assert.throws(() => incoming.receive(10), code("window"), "it was not told yet");
  assert.deepEqual(incoming.credit(false), { frames: 1, bytes: 1000 });
  incoming.receive(10);
});

test("credit that cannot be changes nothing", () => {
  const outgoing = new Outgoing(SMALL);
  outgoing.push(frame(0, 10));
  outgoing.push(frame(1, 20));
  assert.throws(() => outgoing.credit({ frames: 1, bytes: 10 }), code("window"), "it was not sent");
  outgoing.next();
  outgoing.next();
  for (const [frames, bytes] of [[3, 30], [1, 11], [1, 9], [2, 10], [0, 10], [NaN, 0]] as const) {
    assert.throws(() => outgoing.credit({ frames, bytes }), code("window"), `${frames} ${bytes}`);
  }
  outgoing.credit({ frames: 1, bytes: 10 });
  outgoing.credit({ frames: 1, bytes: 10 });
  assert.throws(() => outgoing.credit({ frames: 0, bytes: 0 }), code("window"));
  for (const received of [0, 3, NaN]) assert.throws(() => outgoing.resume(received), code("window"));
  assert.equal(outgoing.keptBytes, 20);
});

test("credit goes behind what was said when its frames were dealt with", () => {
  const incoming = new Incoming(SMALL);
  for (const [frames, behind] of [[1, 2], [1, 2], [1, 5], [1, 9]] as const) {
    incoming.receive(10);
    incoming.deal(10, frames, behind);
  }
  const cases: [behind: number, told: number | undefined][] = [[1, undefined], [2, 2], [4, undefined], [6, 3], [8, undefined]];
  for (const [behind, told] of cases) assert.equal(incoming.credit(true, behind)?.frames, told, `${behind}`);
  assert.equal(incoming.owes, true);
  assert.equal(incoming.resume(), 4, "of a new link all is told at once: what was said goes again, and what was dealt with must not come again");
  assert.equal(incoming.credit(true, 0), undefined);
});

/** One run: every step is one of send, hand over, receive, deal with, hear credit, cut. */
function run(seed: number): { cuts: number; sent: number } {
  const random = new Random(seed);
  const outgoing = new Outgoing(SMALL);
  const incoming = new Incoming(SMALL);
  let wire: Buffer[] = [];
  let credits: Sum[] = [];
  let waiting: Buffer[] = [];
  let told: Sum = { frames: 0, bytes: 0 };
  let [next, dealt, cuts] = [0, 0, 0];
  const send = (): void => outgoing.push(frame(next++, random.below(20) === 0 ? 300 : 8 + random.below(40)));
  const handOver = (): void => {
    for (let one = outgoing.next(); one; one = outgoing.next()) wire.push(one);
    // What was handed over and is not known to be dealt with is within the window, or one frame.
    const onTheWay = wire.length + waiting.length;
    const bytes = [...wire, ...waiting].reduce((sum, one) => sum + one.length, 0);
    assert.ok(onTheWay <= SMALL.frames && (bytes <= SMALL.bytes || onTheWay === 1), `seed ${seed}: ${onTheWay}, ${bytes}`);
  };
  const receive = (): void => {
    const one = wire.shift();
    if (!one) return;
    incoming.receive(one.length);
    waiting.push(one);
  };
  const deal = (): void => {
    const one = waiting.shift();
    if (one) {
      assert.equal(one.readUInt32LE(0), dealt++, `seed ${seed}: nothing is lost, doubled or moved`);
      incoming.deal(one.length);
    }
    const sum = incoming.credit(random.below(3) === 0);
    if (sum) credits.push((told = sum));
  };
  const hear = (): void => {
    const sum = credits.shift();
    if (sum) outgoing.credit(sum);
  };
  const cut = (): void => {
    [wire, credits, waiting] = [[], [], []];
    outgoing.resume(incoming.resume());
    cuts += 1;
  };
  for (let step = 0; step < 2_000; step += 1) {
    const chosen = random.below(60);
    if (chosen === 0) cut();
    else if (chosen < 15) send();
    else if (chosen < 30) handOver();
    else if (chosen < 45) receive();
    else if (chosen < 53) deal();
    else hear();
  }
  for (let step = 0; dealt < next && step < 100_000; step += 1) for (const act of [handOver, receive, deal, hear]) act();
  assert.equal(dealt, next, `seed ${seed}`);
  assert.ok(told.frames <= next);
  return { cuts, sent: next };
}

test("whatever is cut, nothing is lost, doubled or moved", () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const { cuts, sent } = run(seed);
    assert.ok(cuts > 5 && sent > 100, `seed ${seed}: ${cuts} cuts, ${sent} frames`);
  }
});

test("waiting doubles up to a bound, between half and all of it", () => {
  const least = new Backoff({ min_ms: 50, max_ms: 5_000, random: () => 0 });
  const most = new Backoff({ min_ms: 50, max_ms: 5_000, random: () => 1 });
  const take = (backoff: Backoff): number[] => Array.from({ length: 9 }, () => backoff.next());
  assert.deepEqual(take(most), [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  assert.deepEqual(take(least), [25, 50, 100, 200, 400, 800, 1_600, 2_500, 2_500]);
  most.reset();
  assert.equal(most.next(), 50);
});

// The same values stand in the daemon's tests; Python's hmac module made them.
test("a proof is what others compute", () => {
  const secret = Buffer.alloc(32, 7);
  const bodies = ['{"nonce":"a"}', '{"nonce":"b"}'];
  const worker = prove(secret, "worker", bodies);
  assert.equal(worker, "7252efad5d856aa1431c683107b871ceeda3c8e10b504cf2af878eaead96cff8");
  assert.equal(prove(secret, "daemon", bodies), "e661f4bafa7c151dd5352fddcec17d94eb6ee09a224c6ebf6bc4e3dc2b8edab3");
  assert.equal(isProof(secret, "worker", bodies, worker.toUpperCase()), true);
  for (const wrong of ["", "00", worker.slice(1), `${worker}00`, "é".repeat(32)]) {
    assert.equal(isProof(secret, "worker", bodies, wrong), false, wrong);
  }
  assert.equal(isProof(secret, "daemon", bodies, worker), false);
  assert.equal(isProof(secret, "worker", bodies.toReversed(), worker), false);
});
