// The list of differences is true: each side does what it says, and users are told the same.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { root } from "../it/daemon.mjs";
import { outcome, withDaemon } from "./both.mjs";
import { DIFFERENCES } from "./differences.mjs";

const told = readFileSync(path.join(root, "docs/upstream.md"), "utf8").split("## What does not carry over")[1].split("\n## ")[0].replace(/\s+/g, " ");

describe("differences", () => {
  const at = withDaemon(["--set", "engine.ping_interval_ms=300"]);
  for (const { says, serves, behaviour, stock, ringway } of DIFFERENCES) {
    test(says, { timeout: 30_000 }, async () => {
      assert.notDeepEqual(stock, ringway, "a difference");
      assert.deepEqual(await outcome(undefined, { serves }, behaviour), stock, "stock");
      assert.deepEqual(await outcome(at, { serves }, behaviour), ringway, "behind the daemon: if it is as stock's now, the entry goes and the behaviour joins a table");
      assert.ok(told.includes(says.replace(/^[a-z]/, (letter) => letter.toUpperCase())) || told.includes(says), "docs/upstream.md says so");
    });
  }
});
