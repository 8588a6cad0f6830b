// socket.io-client 4.8 and 3.1, unmodified, over every transport.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev } from "./daemon.mjs";

let daemon;
const open = [];
before(async () => { daemon = await serveDev("--shards", "4"); });
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

for (const [version, io] of Object.entries(versions)) {
  for (const [mode, options] of Object.entries(modes)) {
    describe(`socket.io-client ${version}, ${mode}`, { timeout: 30_000 }, () => {
      test("connects and echoes text", async () => {
        const socket = await connect(io, daemon.url, options, open);
        const answer = await ask(socket, "echo", { text: "grüß dich ✓", n: [1, 2, { three: null }] });
        assert.deepEqual(answer, { ok: true, data: { text: "grüß dich ✓", n: [1, 2, { three: null }] } });
      });

      test("echoes binary both ways", async () => {
        const socket = await connect(io, daemon.url, options, open);
        const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 256));
        const answer = await ask(socket, "echo", { a: bytes, b: [Buffer.from("x")] });
        assert.equal(answer.ok, true);
        assert.ok(Buffer.from(answer.data.a).equals(bytes));
        assert.ok(Buffer.from(answer.data.b[0]).equals(Buffer.from("x")));
      });

      test("two windows chat in a room, numbered", async () => {
        const room = `chat ${version} ${mode}`;
        const [anna, bert] = [await connect(io, daemon.url, options, open), await connect(io, daemon.url, options, open)];
        const joined = await ask(anna, "join", room);
        assert.equal(joined.ok, true);
        assert.equal((await ask(bert, "join", room)).ok, true);
        const heard = [event(anna, "message"), event(bert, "message")];
        const published = await ask(bert, "publish", room, { text: "hello" });
        assert.equal(published.ok, true);
        assert.equal(published.offset, joined.offset + 1);
        for (const [where, data, meta] of await Promise.all(heard)) {
          assert.equal(where, room);
          assert.deepEqual(data, { text: "hello" });
          assert.equal(meta.offset, published.offset);
          assert.equal(meta.epoch, published.epoch);
          assert.ok(meta.from && meta.ts > 0);
        }
        assert.equal((await ask(bert, "leave", room)).ok, true);
      });

      test("several namespaces share a connection", async () => {
        const main = await connect(io, daemon.url, { ...options }, open);
        const other = main.io.socket("/orders");
        open.push(other);
        if (!other.connected) await event(other, "connect");
        assert.notEqual(main.id, other.id);
        assert.equal((await ask(other, "echo", 1)).data, 1);
        other.disconnect();
        assert.equal((await ask(main, "echo", 2)).data, 2);
      });

      test("binary messages reach a room", async () => {
        const room = `binary ${version} ${mode}`;
        const socket = await connect(io, daemon.url, options, open);
        await ask(socket, "join", room);
        const heard = event(socket, "message");
        await ask(socket, "publish", room, { file: Buffer.from([0, 255, 7]) });
        const [, data] = await heard;
        assert.ok(Buffer.from(data.file).equals(Buffer.from([0, 255, 7])));
      });
    });
  }
}

test("a client of polling then upgrade ends on websocket", { timeout: 30_000 }, async () => {
  const socket = await connect(versions["4.8"], daemon.url, modes["polling then upgrade"], open);
  if (socket.io.engine.transport.name !== "websocket") await event(socket.io.engine, "upgrade");
  assert.equal((await ask(socket, "echo", "after")).data, "after");
});

test("an event that no namespace has is answered with a code", { timeout: 30_000 }, async () => {
  const socket = await connect(versions["4.8"], daemon.url, modes["websocket only"], open);
  const answer = await socket.timeout(2000).emitWithAck("no such event", 1);
  assert.equal(answer.ok, false);
  assert.match(answer.code, /^RW-\d{4}$/);
});
