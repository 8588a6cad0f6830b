// What socket.io, and NestJS on it, cost by themselves: their packages over an engine that holds nothing and has no socket. No link can be below that.
//
//     node --expose-gc floor.mjs plain|nest [bytes|events|broadcast]
//
// `bytes`: of a connection in two rooms. `events`: CPU of one without an acknowledgement, two of them per turn of the event loop. `broadcast`: of one that
// publishes to a room, whose adapter does nothing.

import "reflect-metadata";
import { EventEmitter } from "node:events";

const [kind = "plain", what = "bytes"] = process.argv.slice(2);
const CONNECTIONS = 2_000;
const EVENTS = 100_000;
const text = "x".repeat(64);

/** Has what socket.io looks at, and shares what can be shared. */
class Connection extends EventEmitter {
  id = "connection";
  protocol = 4;
  readyState = "open";
  remoteAddress = "127.0.0.1";
  write() { return this; }
}
Object.assign(Connection.prototype, { request: { headers: {}, connection: {}, _query: {}, url: "" }, transport: { writable: true } });

async function plain() {
  const { Server } = await import("socket.io");
  const io = new Server();
  io.on("connection", (socket) => {
    socket.on("say", () => {});
    socket.on("join", (room) => { socket.join(room); });
    socket.on("publish", (room, data) => { io.to(room).emit("message", room, data); });
  });
  return io;
}

async function nest() {
  const { Module } = await import("@nestjs/common");
  const { NestFactory } = await import("@nestjs/core");
  const { SubscribeMessage, WebSocketGateway, WebSocketServer } = await import("@nestjs/websockets");
  const { IoAdapter } = await import("@nestjs/platform-socket.io");
  class Gateway {
    say() {}
    join(client, room) { client.join(room); }
    publish(client, [room, data]) { this.server.to(room).emit("message", room, data); }
  }
  for (const name of ["say", "join", "publish"]) SubscribeMessage(name)(Gateway.prototype, name, Object.getOwnPropertyDescriptor(Gateway.prototype, name));
  WebSocketServer()(Gateway.prototype, "server");
  WebSocketGateway()(Gateway);
  class AppModule {}
  Module({ providers: [Gateway] })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: ["error"] });
  let io;
  class Adapter extends IoAdapter {
    createIOServer(port, options) { return (io = super.createIOServer(undefined, options)); }
  }
  app.useWebSocketAdapter(new Adapter(app));
  await app.init();
  return io;
}

const turn = () => new Promise((resolve) => { setImmediate(resolve); });
const rest = () => new Promise((resolve) => { setTimeout(resolve, 100); });

async function alive() {
  for (let times = 0; times < 3; times += 1) { globalThis.gc(); await rest(); }
  return process.memoryUsage().heapUsed;
}

async function connect(engine, count, says) {
  const connections = Array.from({ length: count }, () => new Connection());
  for (const connection of connections) engine.emit("connection", connection);
  for (const packet of says) {
    for (const connection of connections) connection.emit("data", packet);
    await rest();
  }
  return connections;
}

/** CPU microseconds of each of so many packets. */
async function cost(connections, packet) {
  const bytes = Buffer.from(packet);
  const run = async () => {
    for (let at = 0; at < EVENTS; at += 2) {
      for (let one = 0; one < 2; one += 1) connections[(at + one) % connections.length].emit("data", bytes.toString("latin1"));
      await turn();
    }
  };
  await run();
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / EVENTS;
}

const io = await (kind === "nest" ? nest() : plain());
if (what === "broadcast") {
  const { Adapter } = (await import("node:module")).createRequire((await import("node:module")).createRequire(import.meta.url).resolve("socket.io"))("socket.io-adapter");
  io.adapter(class extends Adapter { broadcast() {} });
}
const engine = new EventEmitter();
io.bind(engine);
const says = ["0", '2["join","all"]', '2["join","room"]'];
let kept = await connect(engine, 100, says);
if (what === "bytes") {
  const before = await alive();
  kept = [kept, await connect(engine, CONNECTIONS, says)];
  process.stdout.write(`${kind}: ${Math.round((await alive() - before) / CONNECTIONS)} bytes a connection\n`);
} else {
  const packet = what === "events" ? `2["say","${text}"]` : `2["publish","all","${text}"]`;
  process.stdout.write(`${kind}: ${(await cost(kept, packet)).toFixed(2)} us of CPU for one of ${what}\n`);
}
process.exit(kept.length > 0 ? 0 : 1);
