// A shard shares nothing: under load no shard thread makes a single futex call.
//
// Deliberately absent: operators' questions, and signatures that are checked beside the shards. What one thread allocates and another frees
// meets the locks of the C library's allocator.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { serveDev, until } from "./daemon.mjs";
import { total } from "./metrics.mjs";

const [SHARDS, CLIENTS, ROUNDS] = [4, 100, 30];

/** The threads of a process by the name that they gave themselves. */
const threads = (pid) => readdirSync(`/proc/${pid}/task`).map((tid) => [tid, readFileSync(`/proc/${pid}/task/${tid}/comm`, "utf8").trim()]);

/** Attaches strace to single threads; `end()` detaches and gives what they did. */
async function trace(tids, calls) {
  const output = path.join(mkdtempSync(path.join(os.tmpdir(), "ringway-it-")), "strace");
  const strace = spawn("strace", ["-o", output, "-e", `trace=${calls}`, ...tids.flatMap((tid) => ["-p", tid])], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  strace.stderr.on("data", (chunk) => { said += chunk; });
  await until(() => {
    if (strace.exitCode !== null) throw new Error(`strace ended: ${said}`);
    return tids.every((tid) => said.includes(`Process ${tid} attached`));
  });
  return {
    async end() {
      strace.kill("SIGINT");
      await once(strace, "exit");
      return readFileSync(output, "utf8");
    },
  };
}

test("no futex call on a shard thread, under load", { timeout: 60_000 }, async (t) => {
  const daemon = await serveDev("--shards", String(SHARDS));
  t.after(() => daemon.stop());
  const kinds = Object.values(modes);
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => connect(Object.values(versions)[i % 2], daemon.url, kinds[i % 3])));
  t.after(() => clients.forEach((socket) => socket.close()));
  let delivered = 0;
  for (const socket of clients) socket.on("message", () => { delivered++; });
  /** Joins, publishes, echoes, leaves; connections come and go, requests land on other shards, an operator publishes and scrapes. */
  async function round(number) {
    const room = (i) => `room ${(i + number) % 8}`;
    const all = (act) => Promise.all(clients.map(act));
    await all((socket, i) => ask(socket, "join", room(i)));
    await all((socket, i) => ask(socket, "publish", room(i), { number, file: Buffer.alloc(1000) }));
    await all((socket, i) => ask(socket, "echo", i));
    // Above a quarter of a ring: these travel between shards as blocks.
    await Promise.all([0, 1, 2, 3].map((i) => ask(clients[i], "publish", room(i), "x".repeat(300_000))));
    await all((socket, i) => ask(socket, "leave", room(i)));
    await Promise.all(kinds.map(async (kind) => (await connect(versions["4.8"], daemon.url, kind)).close()));
    await fetch(`${daemon.admin}/api/v1/publish`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ room: room(0), data: number }) });
    await total(daemon, "ringway_sessions");
  }
  await round(0);
  await round(1);

  const shards = threads(daemon.process.pid).filter(([, name]) => name.startsWith("shard-"));
  assert.equal(shards.length, SHARDS);
  const [before, deliveredBefore] = [await total(daemon, "ringway_mail_total"), delivered];
  // What a shard does call shows that the trace sees these threads at all.
  const tracing = await trace(shards.map(([tid]) => tid), "futex,io_uring_enter");
  for (let number = 2; number < ROUNDS; number++) await round(number);
  const calls = (await tracing.end()).split("\n");
  assert.ok(delivered > deliveredBefore + CLIENTS * ROUNDS, "the load was a load");
  assert.ok(await total(daemon, "ringway_mail_total") > before + 1000, "the shards talked to each other");
  for (const [tid] of shards) assert.ok(calls.some((line) => line.startsWith(`${tid} `) && line.includes("io_uring_enter")), tid);
  const futex = calls.filter((line) => line.includes("futex("));
  assert.deepEqual(futex.slice(0, 10), []);
});
