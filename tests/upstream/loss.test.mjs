// A worker that dies with an acknowledgement that a client waits for: by default it never comes; with `link.on_worker_loss = "strict"` that client is closed,
// comes back and asks again.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as msgpack from "socket.io-msgpack-parser";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { on } from "./stage.mjs";

const shop = fileURLToPath(new URL("shop.mjs", import.meta.url));
const STRICT = ["--set", "link.on_worker_loss=\"strict\""];
const worker = (stage, environment) => stage.join([shop, stage.link, "default", "/"], environment);
const unanswered = (stage) => total(stage.daemon, "ringway_upstream_clients_unanswered_total");

/** A client that has asked what is not answered, and one that has had its answer. */
async function pair(stage, options) {
  const [waits, quiet] = [await stage.connected(options), await stage.connected(options)];
  waits.emit("never", () => assert.fail("nobody answers that"));
  // Behind it, so that the worker has both.
  await waits.emitWithAck("who");
  await quiet.emitWithAck("who");
  return [waits, quiet];
}

describe("a worker's death and acknowledgements", () => {
  for (const transport of ["websocket", "polling"]) {
    test(`strict: who waits is closed and comes back, who does not stays (${transport})`, on({ args: STRICT }, async (stage) => {
      const first = await worker(stage);
      const [waits, quiet] = await pair(stage, { transports: [transport], reconnectionDelay: 50 });
      const { id } = quiet;
      await stage.kill(first);
      await worker(stage);
      await until(() => waits.disconnects.length === 1 && waits.connected);
      assert.ok(["transport close", "transport error"].includes(waits.disconnects[0]), waits.disconnects[0]);
      await waits.timeout(5_000).emitWithAck("who");
      await quiet.timeout(5_000).emitWithAck("who");
      assert.deepEqual([quiet.disconnects, quiet.id], [[], id]);
      await until(async () => await unanswered(stage) === 1);
      await until(() => /RW-2606/.test(stage.daemon.log()));
    }));
  }

  test("strict: an event with `retries` is said again and answered", on({ args: STRICT }, async (stage) => {
    const first = await worker(stage);
    const socket = await stage.connected({ retries: 3, ackTimeout: 60_000, reconnectionDelay: 50 });
    await socket.emitWithAck("who");
    // It hears of the event, and stops before it answers.
    first.child.kill("SIGSTOP");
    const answer = socket.emitWithAck("who");
    await until(async () => await total(stage.daemon, "ringway_packets_received_total") >= 3);
    await stage.kill(first);
    const next = await worker(stage);
    assert.equal(await answer, `default ${next.pid}`);
    assert.equal(socket.disconnects.length, 1);
  }));

  test("keep: all stay, and the acknowledgement does not come", on({}, async (stage) => {
    const first = await worker(stage);
    const [waits, quiet] = await pair(stage, {});
    await stage.kill(first);
    await worker(stage);
    await waits.timeout(5_000).emitWithAck("who");
    await quiet.timeout(5_000).emitWithAck("who");
    assert.deepEqual([waits.disconnects, quiet.disconnects], [[], []]);
    assert.equal(await unanswered(stage), 0);
  }));

  // A broadcast of a parser that the daemon does not read is numbered here, as what is said to one socket.
  for (const [whom, words, environment, options] of [
    ["alone", ["ask me", "all"], {}, {}],
    ["in a room", ["gather", "lobby"], { PARSER: "socket.io-msgpack-parser" }, { parser: msgpack }],
  ]) {
    test(`what a client is asked ${whom} by a worker that dies: its late answer is none to what the next one asks`, on({}, async (stage) => {
      const first = await stage.worker([], environment);
      const socket = await stage.connected(options);
      const answers = [];
      socket.on("question", (_, answer) => answers.push(answer));
      socket.emit(...words, () => assert.fail("nobody answers that"));
      await until(() => answers.length === 1);
      await stage.kill(first);
      await stage.worker([], environment);
      const answer = socket.timeout(5_000).emitWithAck(...words);
      await until(() => answers.length === 2);
      answers[0]("of the first");
      answers[1]("of the second");
      assert.deepEqual([await answer].flat(), ["of the second"]);
      assert.deepEqual(socket.disconnects, []);
    }));
  }

  test("strict: a worker that hands its clients over closes nobody", on({ args: STRICT }, async (stage) => {
    const first = await worker(stage, { ON_CLOSE: "migrate" });
    const [waits, quiet] = await pair(stage, {});
    await worker(stage);
    first.child.kill("SIGTERM");
    await once(first.child, "exit");
    await waits.timeout(5_000).emitWithAck("who");
    await quiet.timeout(5_000).emitWithAck("who");
    assert.deepEqual([waits.disconnects, quiet.disconnects], [[], []]);
    assert.equal(await unanswered(stage), 0);
  }));
});
