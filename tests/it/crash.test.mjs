// Uploads while connections are cut and the daemon is killed at random moments: what arrived is what was sent, and no acknowledged byte is lost.
//
// UPLOAD_CUTS and UPLOAD_KILLS say how often, UPLOAD_SEED which moments.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import * as tus from "tus-js-client";
import { once } from "node:events";
import { serveDev, until } from "./daemon.mjs";
import { create, offsetOf, patch, random, sha256, whole } from "./tus.mjs";

const CUTS = Number(process.env.UPLOAD_CUTS ?? 100);
const KILLS = Number(process.env.UPLOAD_KILLS ?? 20);
const MEBI = 1 << 20;

async function withDaemon(act, isEncrypted = false) {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-crash-"));
  const key = path.join(folder, "master");
  writeFileSync(key, randomBytes(32));
  const encrypts = isEncrypted ? ["--set", `uploads.key_files=["${key}"]`] : [];
  const state = { folder, daemon: await serveDev("--uploads", folder, "--shards", "2", "--set", `uploads.checkpoint_bytes=${MEBI / 4}`, ...encrypts) };
  /** The digests of the files that are whole, as clients read them. */
  state.hashes = () => Promise.all(whole(folder).map(async ({ name }) => {
    const answer = await fetch(`${state.daemon.url}/uploads/files/${name}`);
    return sha256(Buffer.from(await answer.arrayBuffer()));
  }));
  /** The daemon dies now, and is there again. */
  state.kill = async () => {
    state.daemon.process.kill("SIGKILL");
    await once(state.daemon.process, "exit");
    state.daemon = await state.daemon.again();
  };
  try {
    await act(state);
    assert.equal(await state.daemon.stop(), 0, state.daemon.log());
  } finally {
    await state.daemon.stop("SIGKILL");
    rmSync(folder, { recursive: true });
  }
}

/** Sends the rest of the bytes from an offset, until so many went out or `cut` is called; resolves when the connection is over. */
function send(daemon, where, bytes, offset, count) {
  const socket = net.connect(daemon.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.on("data", () => {});
  const length = bytes.length - offset;
  socket.write(`PATCH ${where} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: ${offset}\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: ${length}\r\n\r\n`);
  socket.write(bytes.subarray(offset, offset + count));
  return socket;
}

/** Where the upload is now. It was told that `acknowledged` bytes are safe. */
async function offsetAfter(daemon, where, acknowledged) {
  // 423 while the file gets its name.
  const { found } = await until(() => offsetOf(daemon, where).then((found) => ({ found }), () => false));
  assert.ok(found >= acknowledged, `${acknowledged} bytes were acknowledged, and ${found} are there`);
  return found;
}

/** Sends the rest. What was sent on a connection that was cut may be read, and be in the way, later than that. */
async function complete(state, where, bytes, acknowledged) {
  const { daemon } = state;
  await until(async () => {
    const offset = await offsetAfter(daemon, where, acknowledged);
    const { status } = await patch(daemon, where, offset, bytes.subarray(offset));
    assert.ok([204, 409, 423].includes(status), String(status));
    return status === 204;
  });
  assert.deepEqual(await state.hashes(), [sha256(bytes)]);
}

/** Cuts a connection after some of its bytes; resolves when the next request may write. */
async function cut({ daemon }, below, where, bytes, offset) {
  const count = below(Math.min(bytes.length - offset, MEBI));
  const socket = send(daemon, where, bytes, offset, count);
  await until(() => socket.writableLength === 0 && !socket.connecting);
  socket[["destroy", "resetAndDestroy", "end"][below(3)]]();
  const closed = once(socket, "close");
  await Promise.race([closed, until(async () => (await patch(daemon, where, bytes.length + 1, Buffer.alloc(0))).status === 409)]);
  socket.destroy();
  await until(async () => (await patch(daemon, where, bytes.length + 1, Buffer.alloc(0))).status === 409);
}

const BOTH = [["", false], [" of an encrypted one", true]];

for (const [name, isEncrypted] of BOTH) test(`${CUTS} cuts${name}`, { timeout: 600_000 }, () => withDaemon(async (state) => {
  const below = random();
  const bytes = randomBytes(Math.max(1, CUTS / 4) * MEBI + 13);
  const where = await create(state.daemon, bytes.length);
  let acknowledged = 0;
  for (let index = 0; index < CUTS; index += 1) {
    await cut(state, below, where, bytes, acknowledged);
    acknowledged = await offsetAfter(state.daemon, where, acknowledged);
  }
  await complete(state, where, bytes, acknowledged);
}, isEncrypted));

for (const [name, isEncrypted] of BOTH) test(`${KILLS} kills${name}`, { timeout: 600_000 }, () => withDaemon(async (state) => {
  const below = random();
  const bytes = randomBytes(KILLS * 2 * MEBI + 13);
  const where = await create(state.daemon, bytes.length);
  let acknowledged = 0;
  for (let index = 0; index < KILLS; index += 1) {
    // Some bytes are acknowledged, and some are on their way when the daemon dies.
    const sure = below(MEBI);
    // 423 while what did not count is cut off.
    const answer = await until(async () => {
      const tried = await patch(state.daemon, where, acknowledged, bytes.subarray(acknowledged, acknowledged + sure));
      return tried.status !== 423 && tried;
    });
    assert.equal(answer.status, 204);
    acknowledged += sure;
    const socket = send(state.daemon, where, bytes, acknowledged, MEBI);
    await new Promise((resolve) => setTimeout(resolve, below(30)));
    await state.kill();
    socket.destroy();
    assert.deepEqual(whole(state.folder), [], "nothing half-written is to be seen");
    acknowledged = await offsetAfter(state.daemon, where, acknowledged);
  }
  await complete(state, where, bytes, acknowledged);
  assert.equal(readdirSync(path.join(state.folder, "parts")).filter((name) => !name.endsWith(".json")).length, 0);
}, isEncrypted));

test(`tus-js-client goes on by itself over ${KILLS} kills`, { timeout: 600_000 }, () => withDaemon(async (state) => {
  const below = random();
  const files = Array.from({ length: 4 }, () => randomBytes(KILLS * MEBI + below(MEBI)));
  let sent = 0;
  const upload = (bytes) => new Promise((resolve, reject) => {
    const client = new tus.Upload(bytes, {
      endpoint: `${state.daemon.url}/uploads/`,
      chunkSize: 200_000,
      retryDelays: Array.from({ length: 200 }, () => 50),
      // The daemon may die before it answers a creation: the client cannot know of that upload, and creates another.
      onShouldRetry: () => true,
      onChunkComplete: () => { sent += 1; },
      onError: reject,
      onSuccess: () => resolve(client.url),
    });
    client.start();
  });
  const uploads = Promise.all(files.map(upload));
  uploads.catch(() => {});
  for (let index = 0; index < KILLS; index += 1) {
    const before = sent;
    await Promise.race([uploads, until(() => sent > before + 3)]);
    await new Promise((resolve) => setTimeout(resolve, below(20)));
    await state.kill();
  }
  await uploads;
  const hashes = await state.hashes();
  assert.deepEqual(hashes.toSorted(), files.map(sha256).toSorted());
}));

test("whoever stops the daemon in the middle loses nothing that came", { timeout: 60_000 }, () => withDaemon(async (state) => {
  const bytes = randomBytes(MEBI);
  const where = await create(state.daemon, bytes.length);
  const socket = send(state.daemon, where, bytes, 0, 100_000);
  const id = where.split("/").at(-1);
  await until(() => readFileSync(path.join(state.folder, "parts", `${id}.part`)).length === 100_000);
  assert.equal(await state.daemon.stop(), 0);
  state.daemon = await state.daemon.again();
  socket.destroy();
  assert.equal(await offsetOf(state.daemon, where), 100_000);
}));
