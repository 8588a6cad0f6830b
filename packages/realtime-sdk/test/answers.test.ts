// Which packets want an acknowledgement, and which are one.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ackOf, Answers } from "../src/answers.js";

const IDS: readonly (readonly [string, string | undefined])[] = [
  ["2[\"a\"]", undefined], ["20[\"a\"]", "0"], ["212[\"a\"]", "12"], ["2/chat,7[\"a\"]", "/chat,7"], ["2/chat,[\"a\"]", undefined],
  ["51-3[\"a\",{}]", "3"], ["52-/chat,3[\"a\",{}]", "/chat,3"], ["51-[\"a\",{}]", undefined], ["0", undefined], ["", undefined], ["2/chat", undefined],
];

test("an event's id is found where it stands", () => {
  for (const [packet, id] of IDS) assert.equal(ackOf(packet, "2", "5"), id, packet);
});

test("events are open until they are answered, each in its namespace", () => {
  const answers = new Answers();
  for (const packet of ["21[\"a\"]", "2/chat,1[\"a\"]", "51-2[\"a\",{}]", "2[\"a\"]"]) answers.asked(packet);
  assert.equal(answers.size, 3);
  answers.answered("21[\"not an answer\"]");
  answers.answered("39[]");
  assert.equal(answers.size, 3);
  for (const packet of ["31[]", "61-/chat,1[{}]", "32[]"]) answers.answered(packet);
  assert.equal(answers.size, 0);
});

test("a client that is never answered costs a bound", () => {
  const answers = new Answers();
  for (let id = 0; id < 5_000; id += 1) answers.asked(`2${id}["a"]`);
  assert.equal(answers.size, 1_024);
});
