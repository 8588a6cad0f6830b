// `@WebSocketGateway({ cors, path, transports })`: the daemon does what the gateway says.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { event, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import * as nest12 from "./nest12/tree.mjs";
import { on } from "./stage.mjs";
import { NEST } from "./witnessed.mjs";

before(() => nest12.build());

const [application, several] = ["held.mjs", "gateways.mjs"].map((name) => fileURLToPath(new URL(name, import.meta.url)));
const SHOP = "https://shop.example";
const GATEWAY = { cors: { origin: SHOP, credentials: true }, path: "/live/", transports: ["polling"] };

/** How the daemon answers a page of an origin that opens a session. */
async function ask(stage, path, origin, transport = "polling") {
  const response = await fetch(`${stage.daemon.url}${path}?EIO=4&transport=${transport}`, { headers: { Origin: origin } });
  const { status, headers } = response;
  await response.arrayBuffer();
  return [status, headers.get("access-control-allow-origin"), headers.get("access-control-allow-credentials")];
}

for (const [nest, { modules }] of Object.entries(NEST)) test(`NestJS ${nest}: a gateway's cors, path and transports are the daemon's`, on({ args: ["--shards", "2"] }, async (stage) => {
  await stage.join(["--expose-gc", application, stage.link], { GATEWAY: JSON.stringify(GATEWAY), MODULES: modules });
  await until(() => total(stage.daemon, "ringway_upstream_bindings_total"));
  await until(async () => (await ask(stage, "/live/", SHOP))[0] === 200);
  assert.deepEqual(await ask(stage, "/live/", SHOP), [200, SHOP, "true"]);
  assert.equal((await ask(stage, "/live/", "https://evil.example"))[0], 403);
  assert.equal((await ask(stage, "/socket.io/", SHOP))[0], 404);
  const socket = await stage.connected({ path: "/live/", transports: ["polling", "websocket"] });
  assert.equal((await socket.emitWithAck("look")).begun, 0);
  assert.equal(socket.io.engine.transport.name, "polling");
  const other = stage.client({ path: "/live/", transports: ["websocket"], reconnection: false });
  await event(other, "connect_error");
}));

for (const [nest, { modules }] of Object.entries(NEST)) test(`NestJS ${nest}: of several gateways the first one's options are the server's, and they hear of all in their order`, on({ args: ["--shards", "2"] }, async (stage) => {
  const app = await stage.join([several, stage.link], { GATEWAY: JSON.stringify({ cors: { origin: SHOP } }), MODULES: modules });
  await until(async () => (await ask(stage, "/socket.io/", SHOP))[0] === 200);
  assert.equal((await ask(stage, "/socket.io/", "https://evil.example"))[0], 403);
  await stage.connected();
  const heard = (what) => app.lines.map((line) => JSON.parse(line)).filter(([name]) => name === what).map(([, name]) => name);
  await app.until(() => heard("connection").length === 3);
  assert.deepEqual([heard("init"), heard("connection")], [["first", "second", "news", "last"], ["first", "second", "last"]]);
}));
