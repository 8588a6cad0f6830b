// A NestJS application of several gateways, of which the first one says the options. Started as `node gateways.mjs LINK`; MODULES is a `node_modules` with another NestJS.
// It prints as JSON what its gateways hear, in their order.
import { createRequire } from "node:module";

const require = createRequire(process.env.MODULES ?? new URL("../../packages/realtime-sdk/package.json", import.meta.url));
require("reflect-metadata");
const { Module } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const { WebSocketGateway } = require("@nestjs/websockets");
const { RingwayAdapter } = require("@ecommerce-enterprise/realtime-sdk/nest");

const tell = (what, name) => console.log(JSON.stringify([what, name]));

function gateway(name, options) {
  class Gateway {
    afterInit() { tell("init", name); }
    handleConnection() { tell("connection", name); }
  }
  WebSocketGateway(options)(Gateway);
  return Gateway;
}

const others = { second: { cors: { origin: "https://evil.example" } }, news: { namespace: "news" }, last: {} };
class Application {}
Module({ providers: [gateway("first", JSON.parse(process.env.GATEWAY)), ...Object.entries(others).map(([name, options]) => gateway(name, options))] })(Application);

const app = await NestFactory.create(Application, { logger: ["error", "warn"] });
app.useWebSocketAdapter(new RingwayAdapter(app, { url: process.argv[2], ...(process.env.MODULES ? { resolveFrom: require.resolve("@nestjs/platform-socket.io") } : {}) }));
await app.listen(0, "127.0.0.1");
