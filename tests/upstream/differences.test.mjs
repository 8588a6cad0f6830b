// The list of differences is true: each side does what it says, and users are told the same, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { root } from "../it/daemon.mjs";
import { outcome, withDaemon } from "./both.mjs";
import { DIFFERENCES } from "./differences.mjs";

const section = readFileSync(path.join(root, "docs/upstream.md"), "utf8").split("\n## What does not carry over\n")[1].split("\n## ")[0];
/** The entries of the list that is tried; what stands behind "And besides:" are limits and moments, for which both sides have no outcome to compare. */
const told = section.split("\nAnd besides:\n")[0].split(/^- /m).slice(1).map((entry) => entry.trim().replace(/\s+/g, " ").replace(/\.$/, ""));
const asTold = (says) => says.replace(/^[a-z]/, (letter) => letter.toUpperCase());

test("users are told of each difference that is tried, and each that they are told of is tried", () => {
  assert.equal(section.split("\nAnd besides:\n").length, 2, "where the list ends");
  assert.deepEqual([...told].sort(), DIFFERENCES.map(({ says }) => asTold(says)).sort());
});

describe("differences", () => {
  const at = withDaemon(["--set", "engine.ping_interval_ms=300"]);
  for (const { says, serves, behaviour, stock, ringway } of DIFFERENCES) {
    test(says, { timeout: 30_000 }, async () => {
      assert.notDeepEqual(stock, ringway, "a difference");
      assert.deepEqual(await outcome(undefined, { serves }, behaviour), stock, "stock");
      assert.deepEqual(await outcome(at, { serves }, behaviour), ringway, "behind the daemon: if it is as stock's now, the entry goes and the behaviour joins a table");
    });
  }
});
