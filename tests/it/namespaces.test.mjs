// Several namespaces on one connection, refusals among them, and a token that is better the second time.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, modes, versions } from "./clients.mjs";
import { event, serve } from "./daemon.mjs";
import { keyring } from "./keyring.mjs";

let daemon, good;
const open = [];
before(async () => {
  const ring = keyring();
  good = ring.mint("--subject", "anna", "--join", "*", "--publish", "*");
  daemon = await serve(["--config", ring.config, "--shards", "2"]);
});
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

for (const [version, io] of Object.entries(versions)) {
  for (const [mode, options] of Object.entries(modes)) {
    describe(`socket.io-client ${version}, ${mode}`, { timeout: 30_000 }, () => {
      const manager = () => {
        const made = new io.Manager(daemon.url, { reconnection: false, ...options });
        return { socket: (...args) => { open.push(made.socket(...args)); return open.at(-1); } };
      };

      test("a namespace that is refused leaves the others alone", async () => {
        const shared = manager();
        const [main, orders, closed] = [["/", good], ["/orders", good], ["/closed", "x.y.z"]].map(([name, token]) => shared.socket(name, { auth: { token } }));
        const [[error]] = await Promise.all([event(closed, "connect_error"), event(main, "connect"), event(orders, "connect")]);
        assert.equal(error.data.code, "RW-2102");
        assert.ok(error.message.length > 0);
        assert.equal(closed.connected, false);
        assert.equal(new Set([main.id, orders.id]).size, 2);
        // The same room name is another room in another namespace.
        const room = `shared ${version} ${mode}`;
        for (const socket of [main, orders]) assert.equal((await ask(socket, "join", room)).ok, true);
        const wrong = [];
        main.on("message", (...args) => wrong.push(args));
        const heard = event(orders, "message");
        assert.equal((await ask(orders, "publish", room, "for orders")).ok, true);
        assert.equal((await heard)[1], "for orders");
        assert.equal((await ask(main, "echo", 1)).data, 1);
        assert.deepEqual(wrong, []);
        // One leaves, the other stays, and may come back.
        orders.disconnect();
        assert.equal((await ask(main, "echo", 2)).data, 2);
        orders.connect();
        await event(orders, "connect");
        assert.equal((await ask(orders, "leave", room)).code, "RW-2304", "it is somebody new");
      });

      test("auth as a function is asked each time; a refused socket connects with a better token", async () => {
        const tokens = [undefined, "x.y.z", good];
        const asked = [];
        const socket = manager().socket("/", { auth: (set) => { asked.push(tokens[asked.length]); set({ token: asked.at(-1) }); } });
        for (const code of ["RW-2101", "RW-2102"]) {
          const [error] = await event(socket, "connect_error");
          assert.equal(error.data.code, code);
          assert.equal(socket.connected, false);
          socket.connect();
        }
        await event(socket, "connect");
        assert.deepEqual(asked, tokens);
        assert.equal((await ask(socket, "echo", "in")).data, "in");
      });
    });
  }
}
