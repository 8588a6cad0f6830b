// The events of the bench (bench/peers/README.md) as gateways of NestJS, or on a Socket.IO server; on sockets of its own (`--port`) or on Ringway's (`--link`).
//
// Both do the same, with the default options of their packages. What is measured is this process.

import "reflect-metadata";
import { renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: { kind: { type: "string" }, port: { type: "string" }, link: { type: "string" }, ready: { type: "string" }, heap: { type: "string" } },
});
const HOST = "127.0.0.1";
const port = options.port === undefined ? undefined : Number(options.port);
if (!["nest", "plain"].includes(options.kind) || (port === undefined) === (options.link === undefined)) {
  throw new Error("usage: application.mjs --kind nest|plain --port N|--link URL [--ready FILE] [--heap FILE]");
}

/** A file that is there whole or not at all. */
function write(file, text) {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

async function plain() {
  const { Server } = await import("socket.io");
  const io = new Server();
  io.on("connection", (socket) => {
    socket.on("echo", (data, answer) => answer({ ok: true, data }));
    socket.on("say", () => {});
    socket.on("join", (room, answer) => { socket.join(room); answer({ ok: true }); });
    socket.on("publish", (room, data) => { io.to(room).emit("message", room, data); });
  });
  if (port === undefined) {
    const { attachRingway } = await import("@ecommerce-enterprise/realtime-sdk/server");
    await attachRingway(io, { url: options.link }).ready;
  } else {
    const server = createServer();
    io.attach(server);
    await new Promise((resolve) => { server.listen({ host: HOST, port, backlog: 16_384 }, resolve); });
  }
}

async function nest() {
  const { Module } = await import("@nestjs/common");
  const { NestFactory } = await import("@nestjs/core");
  const { SubscribeMessage, WebSocketGateway, WebSocketServer } = await import("@nestjs/websockets");
  class Gateway {
    echo(client, data) { return { ok: true, data }; }
    say() {}
    join(client, room) { client.join(room); return { ok: true }; }
    publish(client, [room, data]) { this.server.to(room).emit("message", room, data); }
  }
  // What decorators do, as this is no TypeScript.
  for (const name of ["echo", "say", "join", "publish"]) SubscribeMessage(name)(Gateway.prototype, name, Object.getOwnPropertyDescriptor(Gateway.prototype, name));
  WebSocketServer()(Gateway.prototype, "server");
  WebSocketGateway()(Gateway);
  class AppModule {}
  Module({ providers: [Gateway] })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: ["error"] });
  if (port === undefined) {
    const { RingwayAdapter } = await import("@ecommerce-enterprise/realtime-sdk/nest");
    const adapter = new RingwayAdapter(app, { url: options.link });
    app.useWebSocketAdapter(adapter);
    // Its own port is for controllers, of which there are none.
    await app.listen(0, HOST);
    await adapter.ringway.ready;
  } else {
    const { IoAdapter } = await import("@nestjs/platform-socket.io");
    app.useWebSocketAdapter(new IoAdapter(app));
    await app.listen(port, HOST);
  }
}

// Whoever measures asks for it by a signal; the answer is what is alive.
if (options.heap !== undefined) {
  process.on("SIGUSR2", () => {
    for (let times = 0; times < 3; times += 1) globalThis.gc();
    write(options.heap, String(process.memoryUsage().heapUsed));
  });
}
await (options.kind === "nest" ? nest() : plain());
if (options.ready !== undefined) write(options.ready, String(process.pid));
