// Emitters: processes that speak to the clients and the servers of an application, and serve nobody. Two workers, a client of each.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";
import * as msgpack from "socket.io-msgpack-parser";
import { createEmitter } from "../../packages/realtime-sdk/dist/esm/emitter/index.js";
import { event, freePort, root, serve, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { Side, thrown, withDaemon } from "./both.mjs";
import { on } from "./stage.mjs";

/** Two workers with a client each, and an emitter; `a` is in room `a`, both are in `both`. */
const behind = (at, options, body) => async () => {
  const side = new Side(at, options);
  const errors = [];
  const emitter = createEmitter({ url: at.link, onError: (error) => errors.push(error.code), ...options });
  try {
    const [a, b] = await side.pair();
    a.socket.join(["a", "both"]);
    b.socket.join(["b", "both"]);
    for (const { io } of [a, b]) await side.mark(io);
    await emitter.ready;
    await body({ side, emitter, errors, a, b });
    assert.deepEqual(errors, []);
  } finally {
    await emitter.close();
    await side.close();
  }
};

/** What both clients have heard once the emitter's last word has come to them. */
async function heard(emitter, ...meetings) {
  emitter.emit("end");
  await until(() => meetings.every(({ client }) => client.heard.at(-1)?.[0] === "end"));
  return meetings.map(({ client }) => client.heard.filter(([name]) => name === "told").map(([, ...values]) => values));
}

// A Buffer, or what a browser's parser makes of one.
const plain = (value) => (value instanceof Uint8Array || value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value);

for (const [name, options] of Object.entries({ "Socket.IO's parser": {}, msgpack: { parser: msgpack } })) {
  describe(`an emitter, ${name}`, () => {
    const at = withDaemon();

    test("reaches clients of all workers, those it chose and no others", behind(at, options, async ({ emitter, a, b }) => {
      emitter.emit("told", "all", { deep: [null, "é"] });
      emitter.to("a").emit("told", "a");
      emitter.to(["a", "b"]).in("both").emit("told", "once");
      emitter.except(b.socket.id).emit("told", "not b");
      emitter.in("both").except(["a", "nobody"]).emit("told", "not a");
      emitter.to(b.socket.id).emit("told", "b by its id");
      emitter.compress(false).to("nobody").emit("told", "nobody");
      const wait = [a, b].map(({ client }) => event(client, "bytes"));
      emitter.emit("bytes", Buffer.of(1, 2), "é", { deep: [Uint8Array.of(3)] });
      const bytes = await Promise.all(wait);
      assert.deepEqual(bytes.map(([first, text, { deep }]) => [plain(first), text, plain(deep[0])]), Array(2).fill([[1, 2], "é", [3]]));
      assert.deepEqual(await heard(emitter, a, b), [
        [["all", { deep: [null, "é"] }], ["a"], ["once"], ["not b"]],
        [["all", { deep: [null, "é"] }], ["once"], ["not a"], ["b by its id"]],
      ]);
    }));

    test("moves and ends the sockets of all workers", behind(at, options, async ({ emitter, a, b }) => {
      emitter.in("both").socketsJoin(["new", "newer"]);
      emitter.to("a").socketsLeave("both");
      await until(() => [a, b].every(({ socket }) => socket.rooms.has("new") && socket.rooms.has("newer")) && !a.socket.rooms.has("both"));
      assert.ok(b.socket.rooms.has("both"));
      await until(async () => {
        emitter.to("new").emit("told", "in");
        return [a, b].every(({ client }) => client.heard.some(([, value]) => value === "in"));
      });
      emitter.in("b").disconnectSockets();
      await until(() => b.client.disconnects.length === 1);
      emitter.except("nobody").disconnectSockets(true);
      await until(() => a.client.disconnects.length === 1);
      assert.deepEqual([a.client.disconnects, b.client.disconnects], [["io server disconnect"], ["io server disconnect"]]);
    }));

    test("speaks to the servers, of its namespace alone", behind(at, options, async ({ emitter, a, b, side }) => {
      const told = [];
      side.servers.forEach((io, number) => {
        io.on("told", (...values) => told.push([number, "/", ...values.map(plain)]));
        io.of("/admin").on("told", (...values) => told.push([number, "/admin", ...values.map(plain)]));
      });
      await side.acquaint("/admin");
      emitter.serverSideEmit("told", 1, Buffer.of(2));
      emitter.of("admin").serverSideEmit("told", 3);
      await until(() => told.length === 4);
      assert.deepEqual(told.sort(), [[0, "/", 1, [2]], [0, "/admin", 3], [1, "/", 1, [2]], [1, "/admin", 3]]);
      assert.deepEqual(await heard(emitter, a, b), [[], []]);
    }));

    test("is none of the servers", behind(at, options, async ({ side, a, b }) => {
      // Shards say what they count five times a second.
      await until(async () => (await total(at.daemon, "ringway_upstream_emitters")) === 1);
      await until(async () => (await total(at.daemon, "ringway_upstream_workers")) === 2);
      assert.deepEqual(await Promise.all([a, b].map(({ io }) => io.of("/").adapter.serverCount())), [2, 2]);
      assert.equal((await a.io.fetchSockets()).length, 2);
      side.servers.forEach((io, number) => io.on("ask", (answer) => answer(number)));
      assert.equal((await a.io.serverSideEmitWithAck("ask")).length, 1);
    }));

    test("in other namespaces, those that nobody has among them", behind(at, options, async ({ side, emitter, a, b }) => {
      const news = emitter.of("/news");
      news.emit("told", "before anybody has it");
      for (const io of side.servers) io.of("/news");
      await side.acquaint("/news");
      const others = [a, b].map(({ client }) => side.watch(client.io.socket("/news")));
      await Promise.all(others.map((other) => event(other, "connect")));
      news.volatile.emit("told", "news");
      emitter.of("news").to("nobody").emit("told", "nobody");
      const meetings = others.map((client) => ({ client }));
      assert.deepEqual(await heard(news, ...meetings), [[["news"]], [["news"]]]);
      assert.deepEqual(await heard(emitter, a, b), [[], []]);
    }));
  });
}

describe("an emitter's links", () => {
  test("what is said before the daemon is there, while it is away and right before the end is heard", on({ withDaemon: false }, async (stage) => {
    const errors = [];
    const options = { url: stage.link, onError: ({ code }) => errors.push(code), bounds: { retry_ms_max: 50 } };
    const early = createEmitter(options);
    early.emit("told", "early");
    stage.daemon = await serve(stage.args);
    await early.ready;
    await stage.worker();
    const socket = await stage.connected();
    early.to("lobby").emit("told", 1);
    const hasty = createEmitter(options);
    hasty.emit("told", 2);
    await hasty.close();
    await until(() => socket.told.length === 2);
    assert.deepEqual([socket.told.flat().sort(), errors], [[1, 2], []]);
    await early.close();
  }));

  test("a daemon that goes: what waits is bounded, and what is lost is told", on({}, async (stage) => {
    const errors = [];
    const emitter = createEmitter({ url: stage.link, onError: ({ code }) => errors.push(code), bounds: { retry_ms_max: 20, queue_bytes_max: 4096 } });
    await emitter.ready;
    await stage.daemon.stop();
    // Its session outlives it for a while: until then it may be the same daemon that comes back.
    for (let number = 0; number < 10; number += 1) emitter.emit("told", number, "x".repeat(1_000));
    await until(() => errors.includes("queue-full"));
    assert.equal(errors.filter((code) => code === "queue-full").length, 7, "three fit");
    stage.daemon = await serve(stage.args);
    await stage.worker();
    const socket = await stage.connected();
    await until(async () => (await total(stage.daemon, "ringway_upstream_emitters")) === 1);
    emitter.emit("told", "after");
    await until(() => socket.told.length > 0);
    assert.equal(socket.told.at(-1)[0], "after");
    await emitter.close();
    emitter.emit("told", "too late");
  }));

  test("one that ends without a daemon says what was not sent", async () => {
    const errors = [];
    const emitter = createEmitter({ url: "unix:/nonexistent/link.sock", onError: ({ code, message }) => errors.push([code, message]) });
    emitter.emit("told", 1);
    emitter.serverSideEmit("told", 2);
    await emitter.close();
    assert.deepEqual(errors, [["unsent", "unsent: 2 messages were not sent"]]);
  });

  test("a namespace of the daemon's own is refused, and what is said later is heard", on({ args: ["--dev", "--set", 'namespaces.native=["/live"]'] }, async (stage) => {
    const errors = [];
    await stage.worker();
    const socket = await stage.connected();
    const emitter = createEmitter({ url: stage.link, onError: ({ code, remote }) => errors.push([code, remote]), bounds: { retry_ms_max: 20 } });
    await emitter.ready;
    for (const say of [() => emitter.of("/live").emit("told", "live"), () => emitter.of("/live").socketsJoin("x")]) {
      const before = errors.length;
      say();
      await until(() => errors.length > before);
      emitter.emit("told", errors.length);
      await until(() => socket.told.at(-1)?.[0] === errors.length);
    }
    assert.deepEqual(errors, [["not-allowed", true], ["not-allowed", true]]);
    await emitter.close();
  }));

  test("over TCP it proves the secret", async () => {
    const errors = [];
    assert.equal(thrown(() => createEmitter({ url: "tcp://127.0.0.1:1" }))[0], "TypeError");
    const folder = mkdtempSync(path.join(tmpdir(), "ringway-emitter-"));
    after(() => rmSync(folder, { recursive: true, force: true }));
    const secret = "0123456789abcdef0123456789abcdef";
    writeFileSync(`${folder}/secret`, secret, { mode: 0o600 });
    const url = `tcp://127.0.0.1:${await freePort()}`;
    const daemon = await serve(["--link", url, "--set", `link.secret_file="${folder}/secret"`]);
    try {
      const wrong = createEmitter({ url, secret: "another secret of its own", onError: ({ code }) => errors.push(code) });
      await until(() => errors.includes("proof"));
      await wrong.close();
      const right = createEmitter({ url, secret });
      await right.ready;
      await right.close();
    } finally {
      await daemon.stop();
    }
  });
});

describe("the package", () => {
  test("as a CommonJS module, in a process without socket.io", async () => {
    const cjs = createRequire(import.meta.url)("../../packages/realtime-sdk/dist/cjs/emitter/index.js");
    assert.deepEqual(Object.keys(cjs).sort(), ["BroadcastOperator", "Emitter", "LinkError", "createEmitter"]);
    const folder = mkdtempSync(path.join(tmpdir(), "ringway-emitter-"));
    after(() => rmSync(folder, { recursive: true, force: true }));
    cpSync(path.join(root, "packages/realtime-sdk/dist/esm"), `${folder}/esm`, { recursive: true });
    writeFileSync(`${folder}/package.json`, '{ "type": "module" }');
    writeFileSync(`${folder}/alone.mjs`, 'import { createEmitter } from "./esm/emitter/index.js"; console.log(typeof createEmitter);');
    const { stdout } = await promisify(execFile)(process.execPath, [`${folder}/alone.mjs`], { cwd: folder });
    assert.equal(stdout.trim(), "function");
  });

  test("what an emitter cannot", () => {
    const emitter = createEmitter({ url: "unix:/nonexistent/link.sock", onError: () => {} });
    assert.deepEqual(thrown(() => emitter.emit("connect")), ["Error", '"connect" is a reserved event name']);
    assert.deepEqual(thrown(() => emitter.to("a").emit("told", () => {})), ["Error", "Acknowledgements are not supported"]);
    assert.deepEqual(thrown(() => emitter.serverSideEmit("told", () => {})), ["Error", "Acknowledgements are not supported"]);
    return emitter.close();
  });
});
