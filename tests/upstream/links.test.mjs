// Several links of one daemon, each with what its kind asks of a worker; and links of one's own user alone.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePort, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { errorsIn, hello, lie } from "./liar.mjs";
import { on } from "./stage.mjs";

/** Runs a body with files of a right and of a wrong secret. */
async function withSecrets(body) {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-secret-"));
  const [right, wrong] = ["right", "wrong"].map((name) => path.join(folder, name));
  writeFileSync(right, "a secret of more than sixteen bytes\n");
  writeFileSync(wrong, "another secret of sixteen bytes\n");
  try {
    await body(right, wrong);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What has been said so often, waited for. */
const said = (worker, text) => worker.until(() => worker.errors.includes(text));

test("a Unix link and a TCP link beside it: over TCP the secret is proven, over the Unix socket it is not", async () => {
  await withSecrets(async (right, wrong) => {
    const tcp = `tcp://127.0.0.1:${await freePort()}`;
    const args = ["--shards", "2", "--link", tcp, "--set", `link.secret_file="${right}"`];
    await on({ args }, async (stage) => {
      const unix = stage.link;
      const local = await stage.worker();
      // It says a secret that nobody asks for.
      const careful = await stage.worker([wrong]);
      stage.link = tcp;
      const remote = await stage.worker([right]);
      const liar = stage.launch(["application.mjs", tcp, wrong, "deaf"].map((part, at) => (at === 0 ? new URL(part, import.meta.url).pathname : part)));
      await said(liar, "RINGWAY_LINK");
      assert.match(liar.errors, /RingwayWarning: the daemon has closed the link: proof: the proof is wrong/);
      await until(async () => (await total(stage.daemon, "ringway_links_refused_total")) >= 3);
      assert.equal(liar.errors.match(/RINGWAY_LINK/g).length, 1, "it tries again, and says it once");
      await until(() => /a link was refused: the proof is wrong.*peer=127\.0\.0\.1.*said="proof"/.test(stage.daemon.log()));
      assert.equal(stage.daemon.log().match(/a link was refused/g).length, 1);
      await until(async () => await total(stage.daemon, "ringway_upstream_workers") === 3);
      const sockets = await Promise.all([...Array(9).keys()].map(() => stage.connected()));
      const pids = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
      for (const worker of [local, careful, remote]) assert.equal(pids.filter((pid) => pid === worker.pid).length, 3);
      stage.link = unix;
    })();
  });
});

const application = fileURLToPath(new URL("application.mjs", import.meta.url));

test("over TCP a worker with a wrong secret and one with none are refused by name on both sides, beside one with the right one, and its clients go on", async () => {
  await withSecrets(async (right, wrong) => {
    const port = await freePort();
    const link = `tcp://127.0.0.1:${port}`;
    await on({ args: ["--shards", "2", "--set", `link.secret_file="${right}"`], link }, async (stage) => {
      const worker = await stage.worker([right]);
      const client = await stage.connected();
      const refused = () => total(stage.daemon, "ringway_links_refused_total");
      let [asked, isOver] = [0, false];
      const talk = (async () => {
        while (!isOver) {
          assert.equal(await client.emitWithAck("echo", (asked += 1)), asked);
          // Below what a client may say in a second.
          await setTimeout(20);
        }
      })();
      // Awaited at the end; what it throws before is not to end the process.
      talk.catch(() => {});

      // It says nothing of a secret: that is found before it speaks to anybody.
      const without = stage.launch([application, link]);
      await until(() => without.child.exitCode !== null);
      assert.equal(without.child.exitCode, 1);
      assert.match(without.errors, /TypeError: a link over TCP needs a secret of at least 16 bytes/);
      assert.equal(await refused(), 0);

      // An SDK of somebody's own that proves nothing.
      assert.deepEqual(errorsIn(await lie(stage, hello(), { host: "127.0.0.1", port })), ["proof"]);
      await until(async () => await refused() === 1);

      // The application listens for faults, and is told each time it tries; it goes on trying, as the secret may be set right at the daemon.
      const stranger = stage.launch([application, link, wrong]);
      const faults = () => stranger.lines.map((line) => JSON.parse(line)).filter(({ event }) => event === "fault");
      await stranger.until(() => faults().length >= 3);
      for (const { code, message } of faults()) assert.deepEqual([code, message], ["proof", "proof: the proof is wrong: are both secrets the same?"]);
      assert.doesNotMatch(stranger.errors, /RINGWAY_LINK/, "who listens is not warned as well");
      await until(async () => await refused() >= 4);

      const lines = stage.daemon.log().split("\n").filter((line) => line.includes("a link was refused"));
      assert.equal(lines.length, 1, "once a minute of a peer");
      assert.match(lines[0], /WARN.*a link was refused: the proof is wrong: are both secrets the same\?.*RW-2608.*peer=127\.0\.0\.1.*said="proof"/);
      assert.deepEqual(await Promise.all(["ringway_upstream_workers", "ringway_links_joined_total", "ringway_upstream_workers_lost_total"].map((name) => total(stage.daemon, name))), [1, 1, 0]);

      // Another one that knows it has clients, too, while the stranger goes on trying.
      const second = await stage.worker([right]);
      const newcomers = await Promise.all([...Array(3).keys()].map(() => stage.connected()));
      const pids = await Promise.all([client, ...newcomers].map(async (socket) => (await socket.emitWithAck("who")).pid));
      assert.deepEqual(new Set(pids), new Set([worker.pid, second.pid]));
      isOver = true;
      await talk;
      assert.ok(asked > 10, `${asked} events meanwhile`);
      assert.deepEqual([client, ...newcomers].flatMap(({ disconnects }) => disconnects), []);
      assert.deepEqual(worker.events.filter(({ event }) => event === "fault" || event === "disconnect"), []);
    })();
  });
});
