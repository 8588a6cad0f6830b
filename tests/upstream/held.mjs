// A NestJS application whose handlers wait until they are let go. Started as `node --expose-gc held.mjs LINK`; MODULES is a `node_modules` with another NestJS.
import { createRequire } from "node:module";

const require = createRequire(process.env.MODULES ?? new URL("../../packages/realtime-sdk/package.json", import.meta.url));
require("reflect-metadata");
const { Module } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const { SubscribeMessage, WebSocketGateway } = require("@nestjs/websockets");
const { RingwayAdapter } = require("@ecommerce-enterprise/realtime-sdk/nest");

let begun = 0;
let isOpen = false;
let waiting = [];

class Gateway {
  async wait(_socket, [number]) {
    begun += 1;
    if (!isOpen) await new Promise((resolve) => { waiting.push(resolve); });
    return { number };
  }

  go() {
    isOpen = true;
    waiting.forEach((resolve) => resolve());
    waiting = [];
    return { ok: true };
  }

  look() {
    globalThis.gc();
    return { begun, heap: process.memoryUsage().heapUsed };
  }
}
for (const name of ["wait", "go", "look"]) SubscribeMessage(name)(Gateway.prototype, name, Object.getOwnPropertyDescriptor(Gateway.prototype, name));
// What the gateway says of its server, as JSON.
WebSocketGateway(JSON.parse(process.env.GATEWAY ?? "{}"))(Gateway);
class Application {}
Module({ providers: [Gateway] })(Application);

const options = { url: process.argv[2], bounds: { handlers_max: 100 }, ...(process.env.MODULES ? { resolveFrom: require.resolve("@nestjs/platform-socket.io") } : {}) };
const app = await NestFactory.create(Application, { logger: ["error", "warn"] });
app.useWebSocketAdapter(new RingwayAdapter(app, options));
await app.listen(0, "127.0.0.1");
process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
