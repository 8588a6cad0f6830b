// A NestJS application whose handlers wait until they are let go. Started as `node --expose-gc held.mjs LINK`; MODULES is a `node_modules` with another NestJS,
// BOUNDS are those of the adapter as JSON; with OPEN=1 none waits; KIND says how the handlers wait: by their Promise, behind an interceptor, which makes an Observable of it, or by an Observable of their own.
import { createRequire } from "node:module";

const require = createRequire(process.env.MODULES ?? new URL("../../packages/realtime-sdk/package.json", import.meta.url));
require("reflect-metadata");
const { Module } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const { UseInterceptors } = require("@nestjs/common");
const { SubscribeMessage, WebSocketGateway } = require("@nestjs/websockets");
const { from } = require("rxjs");
const { RingwayAdapter } = require("@ecommerce-enterprise/realtime-sdk/nest");

let begun = 0;
let isOpen = process.env.OPEN === "1";
let waiting = [];

const KIND = process.env.KIND ?? "promise";

async function waited(number) {
  begun += 1;
  if (!isOpen) await new Promise((resolve) => { waiting.push(resolve); });
  return { number };
}

class Gateway {
  wait(_socket, [number]) {
    return KIND === "observable" ? from(waited(number)) : waited(number);
  }

  go() {
    isOpen = true;
    waiting.forEach((resolve) => resolve());
    waiting = [];
    return { ok: true };
  }

  leave() {
    setImmediate(async () => {
      await app.close();
      console.log(begun);
    });
  }

  look() {
    globalThis.gc();
    return { begun, heap: process.memoryUsage().heapUsed };
  }
}
for (const name of ["wait", "go", "leave", "look"]) SubscribeMessage(name)(Gateway.prototype, name, Object.getOwnPropertyDescriptor(Gateway.prototype, name));
if (KIND === "interceptor") UseInterceptors({ intercept: (_context, next) => next.handle() })(Gateway);
// What the gateway says of its server, as JSON.
WebSocketGateway(JSON.parse(process.env.GATEWAY ?? "{}"))(Gateway);
class Application {}
Module({ providers: [Gateway] })(Application);

const options = { url: process.argv[2], bounds: JSON.parse(process.env.BOUNDS ?? '{"handlers_max":100}'), ...(process.env.MODULES ? { resolveFrom: require.resolve("@nestjs/platform-socket.io") } : {}) };
const app = await NestFactory.create(Application, { logger: ["error", "warn"] });
app.useWebSocketAdapter(new RingwayAdapter(app, options));
await app.listen(0, "127.0.0.1");
process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
