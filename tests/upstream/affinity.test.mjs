// Which worker a client gets: by what it says of itself (`link.affinity`), and only by its load when it says nothing.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { on } from "./stage.mjs";

const shop = fileURLToPath(new URL("shop.mjs", import.meta.url));
const worker = (stage) => stage.join([shop, stage.link, "default", "/"]);
const who = (socket) => socket.timeout(10_000).emitWithAck("who");
const USERS = ["ada", "bob", "eve", "kim", "max", "mia", "sam", "zoe"];
const FREE = ["--set", "limits.address_connections_per_second=0"];

/** How a client says who its user is. */
const KINDS = {
  "header:X-User": (user) => ({ extraHeaders: { "x-user": user } }),
  "cookie:user": (user) => ({ extraHeaders: { cookie: `theme=dark; user=${user}` } }),
  "query:user": (user) => ({ query: { user } }),
};

/** Two clients of each user, of which one polls: the worker of each user. */
async function places(stage, says) {
  const places = new Map();
  for (const user of USERS) {
    const one = await stage.connected(says(user));
    const two = await stage.connected({ ...says(user), transports: ["polling"] });
    const [first, second] = [await who(one), await who(two)];
    assert.equal(first, second, user);
    places.set(user, first);
  }
  return places;
}

describe("affinity", () => {
  for (const [affinity, says] of Object.entries(KINDS)) {
    test(`${affinity}: clients of one user have one worker`, on({ args: [...FREE, "--set", `link.affinity="${affinity}"`] }, async (stage) => {
      await worker(stage);
      await worker(stage);
      await worker(stage);
      const found = await places(stage, says);
      assert.ok(new Set(found.values()).size > 1, "users are spread");
    }));
  }

  test("a worker that dies moves its own clients alone, users together", on({ args: [...FREE, "--set", "link.affinity=\"query:user\""] }, async (stage) => {
    const workers = [await worker(stage), await worker(stage), await worker(stage)];
    const says = KINDS["query:user"];
    const before = await places(stage, says);
    const lost = workers.find(({ pid }) => [...before.values()].includes(`default ${pid}`));
    const held = stage.clients.slice();
    await stage.kill(lost);
    const after = new Map();
    for (const [at, socket] of held.entries()) {
      const user = USERS[Math.floor(at / 2)];
      const now = await who(socket);
      assert.equal(after.get(user) ?? now, now, `${user}'s clients are together`);
      after.set(user, now);
      if (before.get(user) !== `default ${lost.pid}`) assert.equal(now, before.get(user), user);
      assert.deepEqual(socket.disconnects, []);
    }
    assert.deepEqual([...await places(stage, says)], [...after], "new clients find them there");
  }));

  test("address: all clients of a host", on({ args: [...FREE, "--set", "link.affinity=\"address\""] }, async (stage) => {
    await worker(stage);
    await worker(stage);
    const found = new Set();
    for (let count = 0; count < 6; count += 1) found.add(await who(await stage.connected()));
    assert.equal(found.size, 1);
  }));

  test("who says nothing goes to whoever has least to do", on({ args: [...FREE, "--set", "link.affinity=\"header:x-user\""] }, async (stage) => {
    await worker(stage);
    await worker(stage);
    const found = [];
    for (let count = 0; count < 6; count += 1) found.push(await who(await stage.connected()));
    for (const name of new Set(found)) assert.equal(found.filter((other) => other === name).length, 3);
    await until(async () => await total(stage.daemon, "ringway_upstream_workers") === 2);
  }));
});
