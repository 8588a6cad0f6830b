// Members spread over four shards: every message once, all in the same order.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { serveDev, until } from "./daemon.mjs";

// So many that the kernel's hash leaves no shard without any.
const MEMBERS = 60;
const MESSAGES = 200;
let daemon;
const open = [];
before(async () => { daemon = await serveDev("--shards", "4"); });
after(async () => { open.forEach((socket) => socket.close()); await daemon.stop(); });

test("every member sees every message once, in one order", { timeout: 60_000 }, async () => {
  const kinds = Object.values(modes).flatMap((mode) => Object.values(versions).map((version) => [version, mode]));
  const members = await Promise.all(Array.from({ length: MEMBERS }, (_, i) => connect(kinds[i % kinds.length][0], daemon.url, kinds[i % kinds.length][1], open)));
  const shards = new Set(await Promise.all(members.map(async (socket) => (await ask(socket, "info")).shard)));
  assert.deepEqual([...shards].sort(), [0, 1, 2, 3], "members on every shard");
  const seen = members.map(() => []);
  members.forEach((socket, i) => socket.on("message", (_room, data, meta) => seen[i].push([meta.offset, data])));
  await Promise.all(members.map((socket) => ask(socket, "join", "order")));
  await Promise.all(Array.from({ length: MESSAGES }, (_, i) => ask(members[i % MEMBERS], "publish", "order", i)));
  await until(() => seen.every((list) => list.length >= MESSAGES));
  for (const list of seen) assert.deepEqual(list, seen[0]);
  assert.deepEqual(seen[0].map(([offset]) => offset), Array.from({ length: MESSAGES }, (_, i) => seen[0][0][0] + i));
  assert.equal(new Set(seen[0].map(([, data]) => data)).size, MESSAGES);
});
