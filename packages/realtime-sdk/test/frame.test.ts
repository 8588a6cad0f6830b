// What a broadcast looks like to `packetCreate`.

import assert from "node:assert/strict";

import { preEncodedFrame } from "../src/frame.js";
import { test } from "./timed.js";

for (const [bytes, header] of [[1, "8102"], [124, "817d"], [125, "817e007e"], [65_534, "817effff"], [65_535, "817f0000000000010000"]] as const) {
  test(`the frame of ${bytes} bytes`, () => {
    const [head, payload] = preEncodedFrame("x".repeat(bytes));
    assert.equal(head.toString("hex"), header);
    assert.equal(payload.toString(), `4${"x".repeat(bytes)}`);
  });
}
