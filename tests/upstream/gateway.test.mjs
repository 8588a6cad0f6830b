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

const application = fileURLToPath(new URL("held.mjs", import.meta.url));
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
