// One-time URLs and the end of the daemon: what was used before it is used after it, however it ended.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { binary, freePort, serve } from "./daemon.mjs";
import { total } from "./metrics.mjs";

const BODY = "for you alone\n";
const JOURNALS = ".used-urls";

/** A directory with a file, a key and a configuration; `set` is more of the latter. */
function home(t, set) {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-used-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const name of ["files", "uploads", "used"]) mkdirSync(path.join(folder, name));
  writeFileSync(path.join(folder, "files/one.txt"), BODY);
  writeFileSync(path.join(folder, "key"), randomBytes(32));
  const config = path.join(folder, "ringway.toml");
  writeFileSync(config, `
[[auth.keys]]
id = "a"
algorithm = "HS256"
file = "${folder}/key"
[files]
roots = [{ directory = "${folder}/files" }]
url_keys = [{ id = "u", file = "${folder}/key" }]
${set(folder)}
`);
  const url = () => String(execFileSync(binary, ["url", "--config", config, "--path", "/files/one.txt", "--once"])).trim();
  return { folder, config, url, urls: (count) => Array.from({ length: count }, url) };
}

const inUploads = (folder) => `[uploads]\ndirectory = "${folder}/uploads"`;
const inUsed = (folder) => `used_urls = "${folder}/used"`;
const forgetful = () => "";

/** The status, and the text or the code of the refusal; on a connection of its own, as one of a daemon that has ended is no use. */
function get(daemon, url, method = "GET") {
  return new Promise((resolve, reject) => {
    const asked = request(daemon.url + url, { method, agent: false }, async (answer) => {
      const text = Buffer.concat(await answer.toArray()).toString();
      resolve([answer.statusCode, text.startsWith("{") ? JSON.parse(text).code : text]);
    });
    asked.on("error", reject);
    asked.end();
  });
}

const USED = [410, "RW-2708"];
const FRESH = [200, BODY];

async function checkUsed(daemon, urls) {
  for (const url of urls) {
    assert.deepEqual(await get(daemon, url), USED);
    assert.deepEqual(await get(daemon, url, "HEAD"), [410, ""]);
  }
}

for (const [where, set, journals] of [["uploads.directory", inUploads, "uploads"], ["files.used_urls", inUsed, "used"]]) {
  test(`what was used stays used: SIGKILL, SIGTERM, another number of shards (${where})`, async (t) => {
    const { folder, config, urls } = home(t, set);
    const [used, later, fresh] = [urls(6), urls(3), urls(2)];
    let daemon = await serve(["--config", config, "--shards", "3"]);
    t.after(() => daemon.stop("SIGKILL"));
    for (const url of used) {
      assert.deepEqual(await get(daemon, url, "HEAD"), [200, ""]);
      assert.deepEqual(await get(daemon, url), FRESH);
    }
    await checkUsed(daemon, used);
    await daemon.stop("SIGKILL");
    daemon = await daemon.again();
    await checkUsed(daemon, used);
    for (const url of later) assert.deepEqual(await get(daemon, url), FRESH);
    assert.equal(await daemon.stop(), 0);
    for (const shards of [1, 2]) {
      daemon = await serve(["--config", config, "--shards", `${shards}`]);
      await checkUsed(daemon, [...used, ...later]);
      await daemon.stop("SIGKILL");
    }
    daemon = await daemon.again();
    for (const url of fresh) assert.deepEqual(await get(daemon, url), FRESH);
    const names = readdirSync(path.join(folder, journals, JOURNALS));
    assert.ok(names.length > 0 && names.every((name) => /^\d+-(all|\d+)\.journal$/.test(name)), `${names}`);
    assert.equal(await daemon.stop(), 0);
  });
}

test("whoever was answered before a crash has used the URL up", async (t) => {
  const { config, urls } = home(t, inUsed);
  let daemon = await serve(["--config", config, "--shards", "2"]);
  t.after(() => daemon.stop("SIGKILL"));
  for (let round = 0; round < 3; round += 1) {
    const answered = [];
    const all = urls(24);
    const asking = all.map(async (url) => {
      // The head is enough: the rest may be cut.
      const answer = await fetch(daemon.url + url).catch(() => null);
      if (answer?.status === 200) answered.push(url);
      if (answered.length === 8) daemon.process.kill("SIGKILL");
      await answer?.text().catch(() => "");
    });
    await Promise.all(asking);
    await daemon.stop("SIGKILL");
    daemon = await daemon.again();
    assert.ok(answered.length >= 8);
    await checkUsed(daemon, answered);
    // Of others either is right, and each is used up now.
    const rest = all.filter((url) => !answered.includes(url));
    for (const url of rest) assert.ok([200, 410].includes((await get(daemon, url))[0]));
    await checkUsed(daemon, all);
  }
  assert.equal(await daemon.stop(), 0);
});

test("a journal that was cut, or has garbage in it, is read as far as it is one", async (t) => {
  const { folder, config, urls } = home(t, inUsed);
  const used = urls(4);
  let daemon = await serve(["--config", config, "--shards", "1"]);
  t.after(() => daemon.stop("SIGKILL"));
  for (const url of used) assert.deepEqual(await get(daemon, url), FRESH);
  await daemon.stop("SIGKILL");
  const journals = path.join(folder, "used", JOURNALS);
  for (const name of readdirSync(journals)) appendFileSync(path.join(journals, name), Buffer.concat([randomBytes(100).map((byte) => byte | 1), Buffer.from("\n+0123")]));
  writeFileSync(path.join(journals, "99-7.journal"), "");
  daemon = await daemon.again();
  await checkUsed(daemon, used);
  assert.match(daemon.log(), /RW-2713/);
  assert.ok(await total(daemon, "ringway_used_url_lines_unreadable") >= 2);
  assert.equal(await total(daemon, "ringway_used_urls"), used.length);
  assert.equal(await daemon.stop(), 0);
});

test("a use that cannot be written is none, and says so", async (t) => {
  const { folder, config, url } = home(t, inUsed);
  const where = url();
  let daemon = await serve(["--config", config, "--shards", "1"]);
  t.after(() => daemon.stop("SIGKILL"));
  // Nothing can be made in a directory that is gone.
  rmSync(path.join(folder, "used", JOURNALS), { recursive: true });
  for (let times = 0; times < 3; times += 1) {
    const answer = await fetch(daemon.url + where);
    assert.deepEqual([answer.status, answer.headers.get("retry-after"), (await answer.json()).code], [503, "1", "RW-2712"]);
  }
  assert.deepEqual(await get(daemon, where, "HEAD"), [200, ""]);
  assert.equal(await daemon.stop(), 0);
  daemon = await daemon.again();
  assert.deepEqual(await get(daemon, where), FRESH);
  assert.deepEqual(await get(daemon, where), USED);
  assert.equal(await daemon.stop(), 0);
});

test("one daemon has the directory", async (t) => {
  const { config } = home(t, inUsed);
  const daemon = await serve(["--config", config, "--shards", "1"]);
  t.after(() => daemon.stop("SIGKILL"));
  await assert.rejects(serve(["--config", config, "--shards", "1"], {}, { port: await freePort(), adminPort: await freePort() }), /RW-1014/);
  assert.equal(await daemon.stop(), 0);
});

test("without a directory it is forgotten when the daemon ends", async (t) => {
  const { config, url } = home(t, forgetful);
  const where = url();
  let daemon = await serve(["--config", config, "--shards", "2"]);
  t.after(() => daemon.stop("SIGKILL"));
  for (let times = 0; times < 2; times += 1) {
    assert.deepEqual(await get(daemon, where), FRESH);
    assert.deepEqual(await get(daemon, where), USED);
    assert.equal(await daemon.stop(), 0);
    if (times === 0) daemon = await daemon.again();
  }
});
