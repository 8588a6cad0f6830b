// The list of differences is true: each side does what it says, and users are told the same, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { event, root, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
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

describe("an acknowledgement that a client gives counts as an event", () => {
  const at = withDaemon(["--set", "limits.connection_events_per_second=1", "--set", "limits.connection_events_burst=20"]);
  test("and too many of them are too many events", { timeout: 30_000 }, () => outcome(at, {}, async (side) => {
    const { client, socket } = await side.meet();
    client.on("ask", (answer) => answer());
    let answers = 0;
    for (let count = 0; count < 40; count += 1) socket.emit("ask", () => { answers += 1; });
    // The server hears of that behind what came before it.
    await Promise.all([event(client, "disconnect"), event(socket, "disconnect")]);
    assert.ok(answers > 0 && answers <= 20, String(answers));
    await until(async () => (await total(at.daemon, "ringway_refusals_total", { code: "RW-2201" })) > 0);
  }));
});
