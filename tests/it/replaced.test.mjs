// Files that are replaced all the time, and files that are written to where they are: the real daemon, and writers that run beside it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Worker } from "node:worker_threads";
import { event, serveDev } from "./daemon.mjs";

/** What a version has in it: its number, again and again. */
const LINE = 16;
const READ_MS = 3000;
let folder, daemon, agent;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "ringway-replaced-"));
  daemon = await serveDev("--files", folder, "--shards", "1", "--set", "files.revalidate_ms=0");
  agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
});

after(async () => {
  agent.destroy();
  assert.equal(await daemon.stop(), 0, daemon.log());
  rmSync(folder, { recursive: true });
});

function ask(where) {
  return new Promise((resolve, reject) => {
    const headers = { "accept-encoding": "identity" };
    const request = http.request({ host: "127.0.0.1", port: daemon.port, path: where, headers, agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, etag: response.headers.etag, body: Buffer.concat(chunks) }));
    });
    request.on("error", reject).end();
  });
}

/** Versions one after the other until it is told to stop: so many a millisecond, or as many as it can. */
const WRITER = `
  const { appendFileSync, linkSync, openSync, renameSync, writeFileSync, writeSync } = require("node:fs");
  const { parentPort, workerData: { name, bytes, how, line, rate } } = require("node:worker_threads");
  const VERSIONS = 200;
  const bodyOf = (version) => Buffer.from(String(version).padStart(line).repeat(bytes / line));
  let [version, stopped, descriptor] = [0, false, undefined];
  parentPort.on("message", () => { stopped = true; });
  const ways = {
    // Names of files that are there: a disk would be slower than this is to be.
    replace() {
      const made = name + "." + version % VERSIONS;
      if (version < VERSIONS) writeFileSync(made, bodyOf(version));
      linkSync(made, name + ".new");
      renameSync(name + ".new", name);
    },
    append: () => appendFileSync(name, "x".repeat(line)),
    write: () => writeSync(descriptor ??= openSync(name, "r+"), bodyOf(version), 0, bytes, 0),
  };
  const start = performance.now();
  (function go() {
    const turn = performance.now();
    while (version < (performance.now() - start) * rate && performance.now() < turn + 5) {
      ways[how]();
      version += 1;
    }
    if (stopped) return parentPort.postMessage(version), parentPort.close();
    setTimeout(go, 0);
  })();
`;

/** Reads a file from eight connections while it is written; gives the statuses, how many were of one version, and how many versions there were. */
async function readWhile(how, name, bytes, rate = 1) {
  const whole = path.join(folder, name);
  writeFileSync(whole, Buffer.from("0".padStart(LINE).repeat(bytes / LINE)));
  const writer = new Worker(WRITER, { eval: true, workerData: { name: whole, bytes, how, line: LINE, rate } });
  const [statuses, seen, wrong] = [new Map(), new Set(), []];
  const until = performance.now() + READ_MS;
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (performance.now() < until) {
      const { status, body } = await ask(`/files/${name}`);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status !== 200) continue;
      const line = body.subarray(0, LINE).toString();
      seen.add(line);
      if (how !== "append" && !body.equals(Buffer.from(line.repeat(bytes / LINE)))) wrong.push(`${body.length} bytes of ${line.trim()}`);
    }
  }));
  writer.postMessage("stop");
  const versions = await event(writer, "message");
  console.log(how, name, Object.fromEntries(statuses), `${seen.size} of ${versions} versions`, wrong.length);
  return { statuses: [...statuses.keys()], seen: seen.size, versions, wrong };
}

for (const [name, bytes] of [["small.bin", 4096], ["small.txt", 65_536], ["large.bin", 262_144], ["large.txt", 262_144]]) {
  test(`what is replaced all the time is answered, each time with one version: ${name}`, { timeout: 30_000 }, async () => {
    const { statuses, seen, versions, wrong } = await readWhile("replace", name, bytes, 1000);
    assert.deepEqual([statuses, wrong], [[200], []]);
    assert.ok(versions > READ_MS && seen > 20, `${seen} of ${versions} versions`);
  });
}

test("what is appended to all the time is answered", { timeout: 30_000 }, async () => {
  const { statuses } = await readWhile("append", "log.txt", 1024);
  assert.deepEqual(statuses, [200]);
});

// What a writer is in the middle of nobody can tell from what it has done: it is looked at until it stands still for a moment, and not for ever.
test("what is written to where it is is answered, or asked for again", { timeout: 30_000 }, async () => {
  const { statuses } = await readWhile("write", "written.bin", 4096);
  assert.ok(statuses.includes(200) && statuses.every((status) => [200, 503].includes(status)), `${statuses}`);
});
