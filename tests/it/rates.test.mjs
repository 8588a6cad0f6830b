// What a peer may cost: each limit is hit, told by its code, counted, and recovered from.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serve, until } from "./daemon.mjs";
import { claims, forge, keyring, signers, SECRET } from "./keyring.mjs";
import { refusals } from "./metrics.mjs";
import { Wire, head } from "./raw.mjs";

const open = [];
after(() => open.forEach((socket) => socket.close()));
const ring = keyring();
const token = (subject) => forge({ alg: "HS256", kid: "k1" }, claims(subject), signers.HS256(SECRET));

/** A daemon on one shard, with these limits alone. */
async function limited(t, limits) {
  const unlimited = ["connection_events", "user_events", "room_messages", "address_events"].map((name) => `limits.${name}_per_second=0`);
  const set = [...unlimited, ...limits.map((limit) => `limits.${limit}`)].flatMap((entry) => ["--set", entry]);
  const daemon = await serve(["--config", ring.config, "--shards", "1", ...set]);
  t.after(() => daemon.stop());
  daemon.enter = (subject, options = modes["websocket only"]) => connect(versions["4.8"], daemon.url, { ...options, auth: { token: token(subject) } }, open);
  return daemon;
}

// The limit, how events go out, the code of the fourth, and how many CONNECTs count against it.
const EVENTS = [
  ["connection_events", "RW-2201", (one) => [one, one, one, one], (socket) => ask(socket, "echo", 1), 1],
  ["user_events", "RW-2202", (one, same) => [one, same, one, same], (socket) => ask(socket, "echo", 1), 0],
  ["room_messages", "RW-2203", (one, same, other) => [one, same, other, one], (socket) => ask(socket, "publish", "busy", 1), 0],
  ["address_events", "RW-2204", (one, same, other) => [one, same, other, other], (socket) => ask(socket, "echo", 1), 3],
];

describe("rates of events", { timeout: 30_000 }, () => {
  for (const [limit, code, order, act, connects] of EVENTS) {
    test(`${limit}: three pass, the fourth is told ${code}, and time heals it`, async (t) => {
      const unit = limit === "room_messages" ? "messages" : "events";
      const name = limit.replace(`_${unit}`, "");
      const daemon = await limited(t, [`${name}_${unit}_per_second=1`, `${name}_${unit}_burst=${3 + connects}`]);
      const [one, same, other] = [await daemon.enter("anna"), await daemon.enter("anna"), await daemon.enter("bert")];
      const answers = [];
      for (const socket of order(one, same, other)) answers.push(await act(socket));
      assert.deepEqual(answers.map(({ ok, code }) => code ?? ok), [true, true, true, code]);
      // Whoever has spent nothing is not concerned.
      if (limit !== "address_events") {
        const stranger = await daemon.enter("carl");
        assert.equal((await ask(stranger, limit === "room_messages" ? "join" : "echo", "free")).ok, true);
      }
      const again = order(one, same, other)[3];
      await until(async () => (await act(again)).ok);
      await until(async () => (await refusals(daemon))[code] >= 1);
      assert.equal(again.connected, true);
    });
  }
});

describe("connections of an address", { timeout: 30_000 }, () => {
  test("a burst beyond the rate is closed unheard, and counted", async (t) => {
    const daemon = await limited(t, ["address_connections_per_second=1", "address_connections_burst=3"]);
    const wires = [];
    t.after(() => wires.forEach((wire) => wire.close()));
    for (let i = 0; i < 3; i++) {
      wires.push((await Wire.open(daemon.port)).send(head("GET /nowhere HTTP/1.1")));
      await wires.at(-1).reads(/ 404 /);
    }
    const late = (await Wire.open(daemon.port)).send(head("GET /nowhere HTTP/1.1"));
    assert.equal(await late.ends(), "");
    // Another address is another matter.
    const other = (await Wire.open(daemon.port, "127.0.0.9")).send(head("GET /nowhere HTTP/1.1"));
    wires.push(other);
    await other.reads(/ 404 /);
    await until(async () => (await refusals(daemon))["RW-2205"] === 1);
  });

  test("more connections at a time than an address may have are closed, until others go", async (t) => {
    const daemon = await limited(t, ["address_connections_max=3"]);
    const held = [];
    t.after(() => held.forEach((socket) => socket.close()));
    for (let i = 0; i < 3; i++) held.push(await daemon.enter(`user ${i}`));
    await assert.rejects(daemon.enter("late"), /websocket error/);
    for (const socket of held) assert.equal((await ask(socket, "echo", 1)).ok, true);
    held[0].close();
    await until(() => daemon.enter("late").then((socket) => { held.push(socket); return true; }, () => false));
    await until(async () => (await refusals(daemon))["RW-2205"] >= 1);
  });
});

test("--dev has no rates", { timeout: 30_000 }, async (t) => {
  const daemon = await serve(["--dev", "--shards", "1", "--set", "limits.connection_events_per_second=1", "--set", "limits.connection_events_burst=1"]);
  t.after(() => daemon.stop());
  const socket = await connect(versions["4.8"], daemon.url, modes["websocket only"], open);
  for (let i = 0; i < 10; i++) assert.equal((await ask(socket, "echo", i)).ok, true);
  const gone = event(socket, "disconnect");
  socket.disconnect();
  await gone;
});
