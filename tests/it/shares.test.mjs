// How the files that may be open are divided: whatever uploads and readers do, others have their share.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { serveDev, until } from "./daemon.mjs";
import { create, request } from "./tus.mjs";

const FILES = 80;
let folder, daemon;

before(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), "ringway-shares-"));
  const [files, uploads] = ["files", "uploads"].map((name) => path.join(folder, name));
  for (const directory of [files, uploads]) mkdirSync(directory);
  for (let number = 0; number < FILES; number += 1) writeFileSync(path.join(files, `${number}.bin`), "x".repeat(300_000));
  daemon = await serveDev("--files", files, "--uploads", uploads, "--shards", "1", "--set", "files.open_max=64");
});

after(async () => {
  assert.equal(await daemon.stop(), 0, daemon.log());
  rmSync(folder, { recursive: true });
});

/** All files, one after the other, each of which is open for as long as the cache can have it so. */
async function readAll() {
  for (let number = 0; number < FILES; number += 1) {
    const answer = await request(daemon, "GET", `/files/${number}.bin`);
    assert.deepEqual([answer.status, answer.body.length], [200, 300_000], `${number}: ${answer.body.subarray(0, 100)}`);
  }
}

/** A body of a hundred bytes, of which the last one is to come. */
async function beginBody(where) {
  const socket = net.connect(daemon.port, "127.0.0.1");
  const body = { socket, heard: "", status: () => Number(/^HTTP\/1\.1 (\d+)/.exec(body.heard)?.[1]) };
  socket.on("data", (chunk) => { body.heard += chunk; });
  socket.write([
    `PATCH ${where} HTTP/1.1`, "Host: x", "Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Type: application/offset+octet-stream",
    "Content-Length: 100", "", "x".repeat(99),
  ].join("\r\n"));
  return body;
}

test("as many bodies as may come in, and one who reads all files", { timeout: 60_000 }, async () => {
  const bodies = [];
  for (let number = 0; number < 32; number += 1) bodies.push(await beginBody(await create(daemon, 100)));
  const going = () => bodies.filter((body) => !body.status());
  await until(() => going().length === 24);
  await readAll();
  const these = going();
  assert.equal(these.length, 24, "the others were told to come again");
  for (const body of these) body.socket.write("x");
  await until(() => these.every((body) => body.status()));
  for (const body of these) assert.equal(body.status(), 204, body.heard);
  for (const { socket } of bodies) socket.destroy();
});

test("many who create uploads at once, and one who reads all files", { timeout: 60_000 }, async () => {
  let isOver = false;
  const statuses = new Set();
  const clients = Array.from({ length: 100 }, async () => {
    do {
      const answer = await request(daemon, "POST", "/uploads/", { "upload-length": "10" });
      statuses.add(answer.status);
    } while (!isOver);
  });
  await readAll();
  isOver = true;
  await Promise.all(clients);
  assert.deepEqual([...statuses], [201]);
});
