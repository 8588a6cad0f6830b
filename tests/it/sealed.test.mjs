// Uploads that are encrypted where they are stored, by the real daemon: what is on the disk, what is read back, what becomes of them without their key.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { binary, serve as serveBy, serveDev, until } from "./daemon.mjs";
import { total } from "./metrics.mjs";
import { create, metadata, offsetOf, patch, request, sha256, upload } from "./tus.mjs";

const SEGMENT = 65_536;
let folder, keys, daemon;

const settings = (names) => ["--set", `uploads.directory="${folder}"`, "--set", `uploads.key_files=[${names.map((name) => `"${path.join(keys, name)}"`).join(",")}]`];
const tuned = ["--shards", "2", "--set", `uploads.checkpoint_bytes=${SEGMENT}`, "--set", "files.revalidate_ms=50"];
const serve = (...names) => serveDev(...tuned, ...settings(names));
const restart = async (...names) => {
  assert.equal(await daemon.stop(), 0, daemon.log());
  daemon = await serve(...names);
};

before(async () => {
  [folder, keys] = ["ringway-sealed-", "ringway-keys-"].map((name) => mkdtempSync(path.join(tmpdir(), name)));
  writeFileSync(path.join(keys, "old"), randomBytes(32));
  writeFileSync(path.join(keys, "new"), `${randomBytes(32).toString("base64")}\n`);
  daemon = await serve("old");
});

after(async () => {
  assert.equal(await daemon.stop(), 0, daemon.log());
  [folder, keys].forEach((one) => rmSync(one, { recursive: true }));
});

const idOf = (where) => where.split("/").at(-1);
const stored = (where) => {
  const name = readdirSync(path.join(folder, "whole")).find((one) => one.startsWith(idOf(where)));
  return { name, at: path.join(folder, "whole", name), key: path.join(folder, "keys", `${idOf(where)}.key`) };
};
const get = (where, headers = {}) => request(daemon, "GET", `/uploads/files/${stored(where).name}`, headers);
async function make(bytes, headers = {}, by = daemon) {
  const where = await create(by, bytes.length, headers);
  for (let from = 0; from < bytes.length; from += 100_001) await patch(by, where, from, bytes.subarray(from, from + 100_001));
  return where;
}
/** Text that compresses, and that would be found in a file that has it as it is. */
const words = (count) => Buffer.from("the quick brown fox jumps over the lazy dog. ".repeat(Math.ceil(count / 45)).slice(0, count));

describe("at rest", { timeout: 120_000 }, () => {
  for (const count of [0, 1, 1000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 1_000_000]) {
    test(`${count} bytes are read back, and are not on the disk`, async () => {
      const bytes = words(count);
      const where = await make(bytes);
      const file = readFileSync(stored(where).at);
      assert.equal(file.length, 32 + count + 16 * Math.max(1, Math.ceil(count / SEGMENT)));
      assert.ok(!file.includes("quick brown"));
      const { status, headers, body } = await get(where);
      assert.deepEqual([status, headers["content-length"]], [200, String(count)]);
      assert.ok(body.equals(bytes));
      assert.equal((await get(where, { "if-none-match": headers.etag })).status, 304);
      assert.equal((await request(daemon, "HEAD", `/uploads/files/${stored(where).name}`)).headers["content-length"], String(count));
    });
  }

  test("a part and its record have no plaintext either", async () => {
    const bytes = words(2 * SEGMENT + 1000);
    const where = await create(daemon, bytes.length);
    await patch(daemon, where, 0, bytes.subarray(0, SEGMENT + 500));
    for (const name of readdirSync(path.join(folder, "parts"))) {
      assert.ok(!readFileSync(path.join(folder, "parts", name)).includes("quick brown"), name);
    }
    assert.equal((await request(daemon, "DELETE", where)).status, 204);
    assert.deepEqual(readdirSync(path.join(folder, "parts")).filter((name) => name.startsWith(idOf(where)) ), []);
  });

  test("ranges anywhere, one and several", async () => {
    const bytes = randomBytes(5 * SEGMENT + 12_345);
    const where = await make(bytes);
    const ranges = [[0, 0], [SEGMENT - 1, SEGMENT], [SEGMENT, 2 * SEGMENT - 1], [100, 300_000], [bytes.length - 1, bytes.length - 1], [5 * SEGMENT, bytes.length - 1]];
    for (const [from, to] of ranges) {
      const { status, body, headers } = await get(where, { range: `bytes=${from}-${to}` });
      assert.deepEqual([status, headers["content-range"]], [206, `bytes ${from}-${to}/${bytes.length}`]);
      assert.ok(body.equals(bytes.subarray(from, to + 1)), `${from}-${to}`);
    }
    const { status, headers, body } = await get(where, { range: `bytes=10-19,${2 * SEGMENT - 5}-${2 * SEGMENT + 4},-7` });
    assert.equal(status, 206);
    assert.match(headers["content-type"], /^multipart\/byteranges/);
    for (const [from, to] of [[10, 20], [2 * SEGMENT - 5, 2 * SEGMENT + 5], [bytes.length - 7, bytes.length]]) {
      assert.ok(body.includes(bytes.subarray(from, to)), `${from}-${to}`);
    }
    assert.equal((await get(where, { range: `bytes=${bytes.length}-` })).status, 416);
  });

  test("a small file is compressed for who takes that", async () => {
    const bytes = words(20_000);
    const where = await make(bytes, { "upload-metadata": metadata({ filename: "a.txt" }) });
    const answer = await fetch(`${daemon.url}/uploads/files/${stored(where).name}`, { headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers.get("content-encoding"), "gzip");
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
  });

  test("tus-js-client, unmodified, and a concatenation of its parts", async () => {
    const bytes = randomBytes(3_000_001);
    const url = await upload(daemon, bytes);
    assert.equal(sha256((await get(new URL(url).pathname)).body), sha256(bytes));
    const joined = await upload(daemon, bytes, { parallelUploads: 3 });
    assert.equal(sha256((await get(new URL(joined).pathname)).body), sha256(bytes));
  });
});

describe("without", { timeout: 120_000 }, () => {
  test("an upload goes on behind a crash, at an offset within a segment", async () => {
    const bytes = randomBytes(4 * SEGMENT + 77);
    const where = await create(daemon, bytes.length);
    await patch(daemon, where, 0, bytes.subarray(0, SEGMENT + 1234));
    for (const more of [10, 2 * SEGMENT]) {
      // Bytes beyond it are on their way when the daemon dies.
      const socket = net.connect(daemon.port, "127.0.0.1").on("error", () => {}).on("data", () => {});
      const from = await offsetOf(daemon, where);
      socket.write(`PATCH ${where} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: ${from}\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: ${bytes.length - from}\r\n\r\n`);
      socket.write(bytes.subarray(from, from + more));
      const part = path.join(folder, "parts", `${idOf(where)}.part`);
      if (more > SEGMENT) await until(() => statSync(part).size > 32 + 2 * (SEGMENT + 16));
      daemon.process.kill("SIGKILL");
      await once(daemon.process, "exit");
      daemon = await daemon.again();
      socket.destroy();
      const { found } = await until(() => offsetOf(daemon, where).then((found) => ({ found }), () => false));
      assert.ok(found >= from);
      // 423 while what did not count is cut off.
      const answer = await until(async () => {
        const tried = await patch(daemon, where, found, bytes.subarray(found, found + 5000));
        return tried.status !== 423 && tried;
      });
      assert.equal(answer.status, 204);
    }
    const from = await offsetOf(daemon, where);
    assert.equal((await patch(daemon, where, from, bytes.subarray(from))).status, 204);
    assert.equal(sha256((await get(where)).body), sha256(bytes));
  });

  test("a byte that was changed is found out before it is sent", async () => {
    const bytes = randomBytes(3 * SEGMENT);
    const [large, small] = [await make(bytes), await make(bytes.subarray(0, 1000))];
    for (const [where, at] of [[large, 32 + SEGMENT + 16 + 5], [small, 40]]) {
      const { at: file } = stored(where);
      const sealed = readFileSync(file);
      sealed[at] ^= 1;
      writeFileSync(file, sealed);
    }
    // What stands before the changed segment is right, and all that comes.
    await assert.rejects(() => get(large));
    assert.ok((await get(large, { range: `bytes=0-${SEGMENT - 1}` })).body.equals(bytes.subarray(0, SEGMENT)));
    assert.equal((await get(small)).status, 500);
    const metrics = await (await fetch(`${daemon.admin}/metrics`)).text();
    assert.match(metrics, /^ringway_file_seals_broken_total\S* [1-9]/m);
  });

  test("what has a key is encrypted: no other header, no plaintext, no stump is taken for it", async () => {
    const [large, small] = [await make(randomBytes(3 * SEGMENT)), await make(randomBytes(1000))];
    for (const where of [large, small]) {
      const sealed = readFileSync(stored(where).at);
      const headers = [0, 4, 8, 15, 16, 31].map((at) => Buffer.from(sealed).fill(sealed[at] ^ 1, at, at + 1));
      const stumps = [sealed.subarray(0, 20), sealed.subarray(0, sealed.length - 1)];
      for (const bytes of [...headers, Buffer.from(sealed).fill(0, 0, 32), words(sealed.length), ...stumps]) {
        writeFileSync(stored(where).at, sealed);
        await until(() => get(where).then(({ status }) => status === 200, () => false));
        const broken = await total(daemon, "ringway_file_seals_broken_total");
        writeFileSync(stored(where).at, bytes);
        await until(() => get(where).then(({ status }) => status === 500, () => false));
        await until(async () => (await total(daemon, "ringway_file_seals_broken_total")) > broken);
      }
    }
  });

  test("a record that was changed is that of no upload", async () => {
    const bytes = randomBytes(SEGMENT + 100);
    const where = await create(daemon, bytes.length);
    await patch(daemon, where, 0, bytes.subarray(0, SEGMENT + 10));
    const record = path.join(folder, "parts", `${idOf(where)}.json`);
    const kept = readFileSync(record);
    // Not encrypted any more; shorter than it was.
    for (const spoilt of [kept.subarray(0, kept.indexOf("\n")), Buffer.from(kept.toString("latin1").replace(`"length":${bytes.length}`, `"length":${bytes.length - 1}`), "latin1")]) {
      writeFileSync(record, spoilt);
      assert.equal((await patch(daemon, where, SEGMENT + 10, bytes.subarray(SEGMENT + 10))).status, 500);
    }
    writeFileSync(record, kept);
    assert.equal((await patch(daemon, where, SEGMENT + 10, bytes.subarray(SEGMENT + 10))).status, 204);
    assert.ok((await get(where)).body.equals(bytes));
  });

  test("segments of another file, and of another place, are found out", async () => {
    const [one, other] = [await make(randomBytes(3 * SEGMENT)), await make(randomBytes(3 * SEGMENT))];
    const sealed = readFileSync(stored(one).at);
    const foreign = readFileSync(stored(other).at);
    const segment = (bytes, index) => bytes.subarray(32 + index * (SEGMENT + 16), 32 + (index + 1) * (SEGMENT + 16));
    for (const put of [segment(foreign, 1), segment(sealed, 2)]) {
      const spoilt = Buffer.from(sealed);
      put.copy(spoilt, 32 + SEGMENT + 16);
      writeFileSync(stored(one).at, spoilt);
      await assert.rejects(() => get(one));
    }
    writeFileSync(stored(one).at, sealed.subarray(0, 32 + 2 * (SEGMENT + 16)));
    // Until it is looked at again, what is known of it is sent as far as it goes.
    await until(() => get(one).then(({ status }) => status === 500, () => false));
  });

  test("a file whose key was erased is gone, and nobody gets what is left of it", async () => {
    const [large, small] = [await make(words(300_000)), await make(words(300))];
    const damaged = [await make(words(300_000)), await make(words(300))];
    for (const where of [large, small, ...damaged]) {
      assert.equal((await get(where)).status, 200);
      // Nothing but its header says that it was encrypted, and that is known in spite of some damage.
      const sealed = readFileSync(stored(where).at);
      for (const at of damaged.includes(where) ? [0, 20] : []) sealed[at] ^= 1;
      writeFileSync(stored(where).at, sealed);
      const { envelope } = JSON.parse(readFileSync(stored(where).key));
      rmSync(stored(where).key);
      for (const name of readdirSync(folder, { recursive: true }).map((one) => path.join(folder, one)).filter((one) => statSync(one).isFile())) {
        const text = readFileSync(name, "latin1");
        assert.ok(!text.includes(envelope) && !(name.includes(idOf(where)) && text.includes("envelope")), `${name} has the key, too`);
      }
      await until(async () => (await get(where)).status === 404);
    }
  });

  test("a small file that was continued behind a restart has the header that its lock says", async () => {
    const bytes = randomBytes(5000);
    const where = await create(daemon, bytes.length);
    await patch(daemon, where, 0, bytes.subarray(0, 2000));
    await restart("old");
    assert.equal((await patch(daemon, where, 2000, bytes.subarray(2000))).status, 204);
    assert.ok((await get(where)).body.equals(bytes));
  });

  test("termination erases the key with the file", async () => {
    const where = await make(words(100));
    const { key, at } = stored(where);
    assert.ok(statSync(key).size > 0);
    assert.equal((await request(daemon, "DELETE", where)).status, 204);
    assert.throws(() => statSync(key));
    assert.throws(() => statSync(at));
  });

  test("another master key: what is old is read by the old one, and by nothing else", async () => {
    const bytes = randomBytes(2 * SEGMENT + 5);
    const [done, begun] = [await make(bytes), await create(daemon, bytes.length)];
    await patch(daemon, begun, 0, bytes.subarray(0, 70_000));
    await restart("new");
    assert.equal((await get(done)).status, 500);
    assert.equal((await request(daemon, "HEAD", begun)).status, 404);
    assert.match(daemon.log(), /RW-2817/);
    await restart("new", "old");
    assert.ok((await get(done)).body.equals(bytes));
    assert.equal(await offsetOf(daemon, begun), 70_000);
    assert.equal((await patch(daemon, begun, 70_000, bytes.subarray(70_000))).status, 204);
    // It is the new one's by now.
    await restart("new");
    assert.ok((await get(begun)).body.equals(bytes));
    await restart("old");
    assert.equal((await get(begun)).status, 500);
  });

  test("a key that may not be read is no key that was erased", async () => {
    // Root reads everything but for this.
    const command = process.getuid() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", binary] : [binary];
    await daemon.stop();
    const strict = await serveBy(["--dev", ...tuned, ...settings(["old", "new"])], {}, { command });
    try {
      const where = await make(words(300), {}, strict);
      const { key, name } = stored(where);
      const status = async () => (await request(strict, "GET", `/uploads/files/${name}`)).status;
      assert.equal(await status(), 200);
      chmodSync(key, 0);
      await until(async () => (await status()) === 500);
      chmodSync(key, 0o600);
      await until(async () => (await status()) === 200);
    } finally {
      assert.equal(await strict.stop(), 0, strict.log());
      daemon = await serve("old");
    }
  });

  test("`ringway reseal` lets an older key go, beside a daemon that is at work", async () => {
    await restart("old");
    const bytes = randomBytes(2 * SEGMENT + 5);
    const [done, erased, small] = [await make(bytes), await make(words(500)), await make(words(700))];
    const begun = await create(daemon, bytes.length);
    await patch(daemon, begun, 0, bytes.subarray(0, 70_000));
    const reseal = (...names) => spawnSync(binary, ["reseal", ...settings(names)], { encoding: "utf8" });
    assert.match(reseal("new").stdout, /^0 keys[^]*opened by none of the keys[^]*\.key/);
    assert.equal(reseal("new").status, 1);
    await restart("new", "old");
    // What was stopped in the middle, of a file that is there and of one that was erased.
    for (const where of [done, erased]) copyFileSync(stored(where).key, stored(where).key.replace(".key", ".reseal"));
    rmSync(stored(erased).key);
    const first = reseal("new", "old");
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /^[1-9]\d* keys of files are sealed by the first master key now/);
    // Tests before this one left some, too.
    const older = ({ stdout }) => Number(/^(\d+) uploads that are not whole need an older key/m.exec(stdout)?.[1] ?? 0);
    assert.ok(older(first) >= 1, first.stdout);
    assert.deepEqual(readdirSync(path.join(folder, "keys")).filter((name) => !name.endsWith(".key")), []);
    assert.equal((await patch(daemon, begun, 70_000, bytes.subarray(70_000))).status, 204);
    const second = reseal("new", "old");
    assert.match(second.stdout, /^0 keys of files/);
    assert.equal(older(second), older(first) - 1);
    assert.equal(/The other master keys are needed no more/.test(second.stdout), older(second) === 0);
    await restart("new");
    for (const where of [done, begun]) assert.ok((await get(where)).body.equals(bytes));
    assert.equal(String((await get(small)).body), String(words(700)));
    assert.equal((await get(erased)).status, 404);
    assert.equal((await request(daemon, "DELETE", small)).status, 204);
  });
});
