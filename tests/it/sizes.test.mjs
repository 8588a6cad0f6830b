// Large messages: payloads that are split over requests, the limit itself, and what is beyond it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev } from "./daemon.mjs";

let daemon, bystander;
const open = [];
before(async () => {
  daemon = await serveDev("--shards", "1");
  bystander = await connect(versions["4.8"], daemon.url, modes["websocket only"], open);
});
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const bytes = (count) => Buffer.from(Uint8Array.from({ length: count }, (_, i) => i * 7 + (i >> 8)));

for (const [version, io] of Object.entries(versions)) {
  for (const [mode, options] of Object.entries(modes)) {
    describe(`socket.io-client ${version}, ${mode}`, { timeout: 30_000 }, () => {
      for (const count of [0, 1, 125, 126, 65_535, 65_536, 300_000]) {
        test(`${count} bytes as text and as an attachment`, async () => {
          const socket = await connect(io, daemon.url, options, open);
          assert.equal((await ask(socket, "echo", "✓".repeat(count / 3))).data, "✓".repeat(count / 3));
          const answer = await ask(socket, "echo", [bytes(count), "between", bytes(3)]);
          assert.ok(bytes(count).equals(Buffer.from(answer.data[0])));
          assert.ok(bytes(3).equals(Buffer.from(answer.data[2])));
        });
      }

      test("900 KB there and back, and into a room", async () => {
        const [anna, bert] = [await connect(io, daemon.url, options, open), await connect(io, daemon.url, options, open)];
        const text = "0123456789".repeat(90_000);
        assert.equal((await ask(anna, "echo", text)).data, text);
        const room = `large ${version} ${mode}`;
        await ask(bert, "join", room);
        const heard = event(bert, "message");
        assert.equal((await ask(anna, "publish", room, text)).ok, true);
        assert.equal((await heard)[1], text);
      });

      test("several large attachments at once, which polling splits over payloads", async () => {
        const socket = await connect(io, daemon.url, options, open);
        const files = Array.from({ length: 4 }, (_, i) => bytes(150_000 + i));
        const answers = await Promise.all(files.map((file) => ask(socket, "echo", file)));
        for (const [i, { data }] of answers.entries()) assert.ok(files[i].equals(Buffer.from(data)), String(i));
      });

      test("a message over the limit ends its own connection, and costs nobody else anything", async () => {
        const room = `limit ${version} ${mode}`;
        const heard = [];
        bystander.on("message", (where, data) => where === room && heard.push(data));
        await ask(bystander, "join", room);
        const [large, publisher] = [await connect(io, daemon.url, options, open), await connect(io, daemon.url, options, open)];
        const gone = event(large, "disconnect");
        const acks = Array.from({ length: 20 }, (_, i) => ask(publisher, "publish", room, i));
        large.emit("publish", room, "x".repeat(1_000_001));
        acks.push(...Array.from({ length: 20 }, (_, i) => ask(publisher, "publish", room, 20 + i)));
        assert.ok((await Promise.all(acks)).every(({ ok }) => ok));
        const [reason] = await gone;
        assert.ok(["transport close", "transport error"].includes(reason), reason);
        assert.equal((await ask(bystander, "echo", 1)).data, 1);
        assert.deepEqual(heard, Array.from({ length: 40 }, (_, i) => i));
      });
    });
  }
}

describe("many small events at once", { timeout: 30_000 }, () => {
  for (const [version, io] of Object.entries(versions)) {
    for (const [mode, options] of Object.entries(modes)) {
      test(`socket.io-client ${version}, ${mode}: 5,000 of them, emitted before the connection, are answered in order`, async (t) => {
        const roomy = await serveDev("--shards", "2", "--set", "limits.queue_packets_max=10000");
        const socket = io(roomy.url, { forceNew: true, reconnection: false, autoConnect: false, ...options });
        t.after(async () => { socket.close(); await roomy.stop(); });
        const answers = Promise.all(Array.from({ length: 5000 }, (_, i) => ask(socket, "echo", i)));
        const gone = event(socket, "disconnect").then(([reason]) => { throw new Error(reason); });
        socket.connect();
        assert.deepEqual((await Promise.race([answers, gone])).map(({ data }) => data), Array.from({ length: 5000 }, (_, i) => i));
        gone.catch(() => {});
      });
    }
  }
});
