// What was said of sockets, and what became of those that are not introduced yet; what rooms of another name are called.

import assert from "node:assert/strict";

import { MOVEMENT } from "../src/link/frames.js";
import { movesOf, Moves } from "../src/moves.js";
import { RoomNames, wireRoom } from "../src/rooms.js";
import { test } from "./timed.js";

test("a word that the daemon had not heard of is later than what it did, by its rooms", () => {
  const moves = new Moves(() => 0);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), ["a", "b"], "nothing was said");
  moves.say("s", ["a", "c"]);
  moves.say("s", ["b"]);
  moves.say("other", ["d"]);
  for (const [known, unsaid] of [[0, ["d"]], [1, ["a", "c", "d"]], [2, ["a", "b", "c", "d"]], [3, ["a", "b", "c", "d"]]] as const) {
    assert.deepEqual(moves.unsaid("s", known, ["a", "b", "c", "d"]), unsaid, `known ${known}`);
  }
  moves.say("s", ["a"]);
  assert.deepEqual(moves.unsaid("s", 2, ["a", "b"]), ["b"], "it was named again");
  moves.begin("s");
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), ["a", "b"], "it was described anew");
  moves.say("s", ["b"]);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), ["a"], "and frames count from there");
});

test("words are remembered for a while, and so many of them", () => {
  let now = 0;
  const moves = new Moves(() => now);
  moves.say("s", ["a", "b"]);
  now = 10_000;
  moves.say("s", ["b"]);
  now = 29_999;
  moves.say("other", []);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), []);
  now = 30_000;
  moves.say("other", []);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), ["a"], "b was named later, too");
  for (let number = 0; number < 65_536; number += 1) moves.say(`${number}`, ["r"]);
  assert.deepEqual(moves.unsaid("s", 0, ["b"]), ["b"]);
  assert.deepEqual(moves.unsaid("0", 0, ["r"]), []);
  moves.say("one more", ["r"]);
  assert.deepEqual(moves.unsaid("0", 0, ["r"]), ["r"]);
});

test("what is forgotten of a socket that was described anew does not take the new words along", () => {
  let now = 0;
  const moves = new Moves(() => now);
  moves.say("s", ["a"]);
  moves.begin("s");
  now = 20_000;
  moves.say("s", ["a"]);
  now = 30_000;
  moves.say("other", []);
  assert.deepEqual(moves.unsaid("s", 0, ["a"]), []);
});

test("what became of a socket before it is introduced is given once, to its own connection, in its order, and in time", () => {
  let now = 0;
  const moves = new Moves(() => now);
  const [first, second] = [{}, {}];
  const [join, leave] = [{ what: MOVEMENT.JOIN, places: ["a"] }, { what: MOVEMENT.LEAVE, places: ["b"] }];
  moves.keep("s", first, join);
  moves.keep("s", first, leave);
  assert.deepEqual(moves.take("s", second), []);
  assert.deepEqual(moves.take("s", first), [join, leave]);
  assert.deepEqual(moves.take("s", first), []);
  moves.keep("s", first, join);
  moves.keep("s", second, leave);
  assert.deepEqual([moves.take("s", first), moves.take("s", second)], [[], [leave]], "another connection has its place");
  moves.keep("old", first, join);
  now = 30_000;
  moves.keep("s", first, join);
  assert.deepEqual([moves.take("old", first), moves.take("s", first)], [[], [join]]);
  // Each is counted with the room that it names.
  for (let number = 0; number <= 32_768; number += 1) moves.keep(`${number}`, first, join);
  assert.deepEqual([moves.take("0", first), moves.take("1", first)], [[], [join]]);
  moves.clear();
  assert.deepEqual(moves.take("2", first), []);
});

test("what was said again of the daemon's doings is no word against what it does next, unless it had heard of the socket", () => {
  const moves = new Moves();
  moves.say("s", ["echo"], true);
  moves.say("s", ["own"]);
  assert.deepEqual(moves.unsaid("s", undefined, ["echo", "own", "other"]), ["echo", "other"]);
  assert.deepEqual(moves.unsaid("s", 0, ["echo", "own", "other"]), ["other"]);
  assert.deepEqual(moves.unsaid("s", 1, ["echo", "own"]), ["echo"]);
});

test("more rooms than one frame holds go in several, those by which sockets are chosen last", () => {
  const places = Array.from({ length: 600 }, (_, number) => `${number}`);
  const move = { nsp: 0, what: MOVEMENT.LEAVE, rooms: ["1"], except: ["0", "x"], places };
  const moves = movesOf(move);
  assert.deepEqual(moves.map((one) => one.places.length), [...Array<number>(9).fill(64), 24]);
  assert.deepEqual(moves.flatMap((one) => one.places), [...places.slice(2), "0", "1"]);
  assert.deepEqual(movesOf({ ...move, what: MOVEMENT.CLOSE, places: [] }).length, 1);
  // Their bytes are bounded, too.
  const long = Array.from({ length: 20 }, (_, number) => `${number}`.padEnd(4_000));
  assert.deepEqual(movesOf({ ...move, places: long }).map((one) => one.places.length), [16, 4]);
  assert.deepEqual(movesOf({ ...move, places: [] }).map((one) => one.places.length), [0]);
});

test("names of rooms are told once, and again to who was told nothing", () => {
  const long = "é".repeat(3_000);
  const [one, two] = [new RoomNames(), new RoomNames()];
  const rooms = [42, long, "plain", true, { toString: () => "object" }, 1n, NaN];
  const news = one.news(rooms);
  assert.deepEqual(news, [["42", 42], [wireRoom(long), long], ["true", true]]);
  two.take(JSON.parse(JSON.stringify(news)));
  assert.deepEqual(["42", wireRoom(long), "true", "plain", "object"].map((name) => two.roomOf(name)), [42, long, true, "plain", "object"]);
  assert.deepEqual(one.news(rooms), []);
  assert.deepEqual(two.news([42]), [["42", 42]], "who heard of it does not know who else has");
  one.tellAnew();
  assert.deepEqual(one.news([42]), [["42", 42]]);
  // The same name, and now it is a text.
  const text = one.news(["42"]);
  assert.deepEqual([text, one.news(["42"])], [[["42", "42"]], []]);
  two.take(text);
  assert.deepEqual([one.roomOf("42"), two.roomOf("42")], ["42", "42"]);
  for (const none of [undefined, {}, ["42"], [[]], [["42", 43]], [["42", {}]], [[42, 42]]]) two.take(none);
  assert.equal(two.roomOf("42"), "42");
});

test("so many names are kept, and so many bytes of them", () => {
  const names = new RoomNames();
  for (let number = 0; number <= 10_000; number += 1) names.take([[`${number}`, number]]);
  assert.deepEqual([names.roomOf("0"), names.roomOf("1"), names.roomOf("10000")], ["0", 1, 10_000]);
  const long = (number: number): string => `${number}`.padEnd(3 << 20, "x");
  names.take([[wireRoom(long(1)), long(1)]]);
  names.take([[wireRoom(long(2)), long(2)]]);
  assert.deepEqual([names.roomOf(wireRoom(long(1))), names.roomOf(wireRoom(long(2))), names.roomOf("10000")], [wireRoom(long(1)), long(2), "10000"]);
});

test("rooms are remembered up to so many, however few frames name them", () => {
  const moves = new Moves(() => 0);
  const rooms = Array.from({ length: 4_096 }, (_, number) => `room ${number}`);
  moves.say("s", ["first"]);
  for (let frames = 0; frames < 63; frames += 1) moves.say("other", rooms);
  assert.deepEqual(moves.unsaid("s", 0, ["first"]), []);
  moves.say("other", rooms);
  assert.deepEqual(moves.unsaid("s", 0, ["first"]), ["first"]);
});

test("what was said of one socket is found without a look at what was said of all", () => {
  const moves = new Moves(() => 0);
  for (let number = 0; number < 65_536; number += 1) moves.say(`${number}`, ["r"]);
  const looked = (sid: string): number => {
    const began_ms = performance.now();
    for (let times = 0; times < 2_000; times += 1) assert.deepEqual(moves.unsaid(sid, 0, ["r", "q"]), ["q"]);
    return performance.now() - began_ms;
  };
  looked("1");
  // One that was said of first costs what one costs that was said of last: thirty thousand times as much it would be by looking at all.
  const [last, first] = [looked("65535"), looked("0")];
  assert.ok(first < 100 * last + 50, `${first} ms and ${last} ms`);
});

test("lists that have moved, and what is said later, are found as well", () => {
  let now = 0;
  const moves = new Moves(() => now);
  for (let number = 0; number < 3_000; number += 1) moves.say(`${number % 10}`, [`r${number}`]);
  now = 29_000;
  moves.say("s", ["a"]);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), ["b"]);
  moves.say("s", ["b"]);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), []);
  assert.deepEqual(moves.unsaid("s", 1, ["a", "b"]), ["a"]);
  now = 30_000;
  moves.say("5", ["late"]);
  assert.deepEqual(moves.unsaid("s", 0, ["a", "b"]), [], "the others were forgotten, and these moved");
  assert.deepEqual(moves.unsaid("5", 0, ["r5", "r2995", "late"]), ["r5", "r2995"]);
});
