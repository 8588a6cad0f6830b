// Clients come back by themselves: after a daemon that was killed, after one that drained, on every transport.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev, until } from "./daemon.mjs";

const open = [];
after(() => open.forEach((socket) => socket.close()));
const PATIENT = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

/** One client for each version and mode, each in the room. */
async function everybody(daemon) {
  const members = [];
  for (const [version, io] of Object.entries(versions)) {
    for (const [mode, options] of Object.entries(modes)) {
      const socket = await connect(io, daemon.url, { ...options, ...PATIENT }, open);
      if (mode === "polling then upgrade") await until(() => socket.io.engine.transport.name === "websocket");
      members.push({ name: `${version}, ${mode}`, socket });
    }
  }
  return members;
}

describe("reconnection", { timeout: 60_000 }, () => {
  for (const [how, signal, codes] of [["is killed", "SIGKILL", [null]], ["drains", "SIGTERM", [0]]]) {
    test(`every client comes back when its daemon ${how} and starts again on the same port`, async (t) => {
      const first = await serveDev("--shards", "4", "--set", "drain.deadline_ms=1000");
      const members = await everybody(first);
      const ids = members.map(({ socket }) => socket.id);
      const gone = members.map(({ socket }) => event(socket, "disconnect"));
      const code = await first.stop(signal);
      assert.ok(codes.includes(code), first.log());
      const back = members.map(({ socket }) => event(socket, "connect"));
      const second = await first.again();
      t.after(() => second.stop());
      for (const [at, [reason]] of (await Promise.all(gone)).entries()) {
        assert.ok(["transport close", "transport error"].includes(reason), `${members[at].name}: ${reason}`);
      }
      await Promise.all(back);
      for (const [at, { name, socket }] of members.entries()) {
        assert.notEqual(socket.id, ids[at], name);
        assert.equal((await ask(socket, "join", "again")).ok, true, name);
      }
      // Who is back is a member like any other.
      const heard = members.map(({ socket }) => event(socket, "message"));
      assert.equal((await ask(members[0].socket, "publish", "again", "hello")).ok, true);
      for (const [room, data] of await Promise.all(heard)) assert.deepEqual([room, data], ["again", "hello"]);
      members.forEach(({ socket }) => socket.close());
    });
  }

  test("a killed daemon leaves nothing that hinders the next one, ten times in a row", async (t) => {
    let daemon = await serveDev("--shards", "4");
    t.after(() => daemon.stop());
    for (let round = 0; round < 10; round++) {
      const sockets = await Promise.all(Object.values(modes).map((options) => connect(versions["4.8"], daemon.url, options, open)));
      const gone = sockets.map((socket) => event(socket, "disconnect"));
      daemon.process.kill("SIGKILL");
      await once(daemon.process, "exit");
      daemon = await daemon.again();
      await Promise.all(gone);
    }
    const socket = await connect(versions["4.8"], daemon.url, modes["websocket only"], open);
    assert.equal((await ask(socket, "echo", 1)).data, 1);
  });

  test("what was emitted while the daemon was away arrives once, and in order", async (t) => {
    const first = await serveDev("--shards", "2");
    const socket = await connect(versions["4.8"], first.url, { ...modes["websocket only"], ...PATIENT }, open);
    const gone = event(socket, "disconnect");
    await first.stop("SIGKILL");
    await gone;
    const answers = Promise.all(Array.from({ length: 50 }, (_, i) => ask(socket, "publish", "kept", i)));
    const second = await first.again();
    t.after(() => second.stop());
    const offsets = (await answers).map(({ offset }) => offset);
    assert.deepEqual(offsets, offsets.map((_, i) => offsets[0] + i));
    assert.equal((await ask(socket, "publish", "kept", "next")).offset, offsets.at(-1) + 1);
    socket.close();
  });
});
