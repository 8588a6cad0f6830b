// Several links of one daemon, each with what its kind asks of a worker; and links of one's own user alone.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { freePort, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
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
      assert.match(stage.daemon.log(), /a link was refused: the proof is wrong.*peer=127\.0\.0\.1.*said="proof"/);
      assert.equal(stage.daemon.log().match(/a link was refused/g).length, 1);
      assert.equal(await total(stage.daemon, "ringway_upstream_workers"), 3);
      const sockets = await Promise.all([...Array(9).keys()].map(() => stage.connected()));
      const pids = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("who")).pid));
      for (const worker of [local, careful, remote]) assert.equal(pids.filter((pid) => pid === worker.pid).length, 3);
      stage.link = unix;
    })();
  });
});
