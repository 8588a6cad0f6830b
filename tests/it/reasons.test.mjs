// Why clients are told that they are disconnected: what they come back after, and that the daemon never says otherwise.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev } from "./daemon.mjs";

const open = [];
after(() => open.forEach((socket) => socket.close()));
const IMPATIENT = ["--set", "engine.ping_interval_ms=300", "--set", "engine.ping_timeout_ms=200", "--set", "drain.deadline_ms=1000"];

// What happens, and what each transport makes of it.
const CAUSES = [
  ["the client says goodbye", (socket) => socket.disconnect(), { websocket: ["io client disconnect"], polling: ["io client disconnect"] }],
  ["the daemon drains", (_, daemon) => daemon.stop(), { websocket: ["transport close"], polling: ["transport close", "transport error"] }],
  ["the daemon is killed", (_, daemon) => daemon.stop("SIGKILL"), { websocket: ["transport close"], polling: ["transport error"] }],
  ["the daemon stands still", (_, daemon) => daemon.freeze(), { websocket: ["ping timeout"], polling: ["ping timeout"] }],
  ["a message is too large", (socket) => socket.emit("echo", "x".repeat(1_000_001)), { websocket: ["transport close"], polling: ["transport close", "transport error"] }],
  ["the client breaks the protocol", (socket) => socket.io.engine.write("9 is no packet"), { websocket: ["transport close"], polling: ["transport close", "transport error"] }],
];

for (const [cause, act, reasons] of CAUSES) {
  for (const [version, io] of Object.entries(versions)) {
    describe(`socket.io-client ${version}: ${cause}`, { timeout: 30_000 }, () => {
      for (const [mode, options] of Object.entries(modes).filter(([name]) => name.endsWith("only"))) {
        test(mode, async (t) => {
          const daemon = await serveDev("--shards", "2", ...IMPATIENT);
          t.after(async () => {
            daemon.thaw();
            await daemon.stop("SIGKILL");
          });
          const socket = await connect(io, daemon.url, options, open);
          assert.equal((await ask(socket, "echo", 1)).data, 1);
          const gone = event(socket, "disconnect");
          await act(socket, daemon);
          const [reason] = await gone;
          assert.ok(reasons[mode.split(" ")[0]].includes(reason), reason);
          // After this reason a client stays away for good.
          assert.notEqual(reason, "io server disconnect");
        });
      }
    });
  }
}

test("a client that answers its pings stays", { timeout: 30_000 }, async (t) => {
  const daemon = await serveDev(...IMPATIENT);
  t.after(() => daemon.stop());
  const sockets = await Promise.all(Object.values(modes).map((options) => connect(versions["4.8"], daemon.url, options, open)));
  const reasons = [];
  for (const socket of sockets) socket.on("disconnect", (reason) => reasons.push(reason));
  for (let pings = 0; pings < 5; pings++) await Promise.all(sockets.map((socket) => event(socket.io, "ping")));
  assert.deepEqual(reasons, []);
  assert.equal((await ask(sockets[0], "echo", 1)).data, 1);
  sockets.forEach((socket) => socket.close());
});
