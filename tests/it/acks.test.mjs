// Acknowledgements with and without an answer in time, and events that were emitted before there was a connection.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev } from "./daemon.mjs";

let daemon;
const open = [];
before(async () => { daemon = await serveDev("--shards", "2"); });
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

for (const [mode, options] of Object.entries(modes)) {
  describe(`socket.io-client 4.8, ${mode}`, { timeout: 30_000 }, () => {
    test("an answer in time is an answer; none in time is an error, and a late one hurts nobody", async () => {
      const socket = await connect(versions["4.8"], daemon.url, options, open);
      assert.deepEqual(await socket.timeout(10_000).emitWithAck("echo", "soon"), { ok: true, data: "soon" });
      await daemon.freeze();
      try {
        await assert.rejects(socket.timeout(300).emitWithAck("echo", "never"), /timed out/);
      } finally {
        daemon.thaw();
      }
      // The late answer comes before this one, and is for nobody.
      assert.deepEqual(await socket.timeout(10_000).emitWithAck("echo", "again"), { ok: true, data: "again" });
    });
  });
}

for (const [version, io] of Object.entries(versions)) {
  for (const [mode, options] of Object.entries(modes)) {
    describe(`socket.io-client ${version}, ${mode}`, { timeout: 30_000 }, () => {
      test("acks come to their own events, whatever else is under way", async () => {
        const socket = await connect(io, daemon.url, options, open);
        const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(socket, "echo", i)));
        assert.deepEqual(answers.map(({ data }) => data), answers.map((_, i) => i));
      });

      test("what is emitted before the connection arrives after it, in order", async () => {
        const socket = io(daemon.url, { forceNew: true, reconnection: false, autoConnect: false, ...options });
        open.push(socket);
        const heard = [];
        socket.on("message", (_room, data) => heard.push(data));
        const room = `early ${version} ${mode}`;
        socket.emit("join", room);
        for (let i = 0; i < 50; i++) socket.emit("publish", room, i);
        socket.volatile.emit("publish", room, "volatile: lost before the connection");
        const last = ask(socket, "publish", room, "last");
        socket.connect();
        await event(socket, "connect");
        assert.equal((await last).ok, true);
        assert.equal((await ask(socket, "echo", 1)).ok, true);
        while (heard.at(-1) !== "last") await event(socket, "message");
        assert.deepEqual(heard, [...Array.from({ length: 50 }, (_, i) => i), "last"]);
      });

      test("a volatile event on an open connection arrives", async () => {
        const socket = await connect(io, daemon.url, options, open);
        const answer = new Promise((resolve) => {
          const attempt = () => socket.io.engine.transport.writable ? socket.volatile.emit("echo", "now", resolve) : setImmediate(attempt);
          attempt();
        });
        assert.equal((await answer).data, "now");
      });
    });
  }
}
