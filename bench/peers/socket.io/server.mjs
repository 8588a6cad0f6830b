// The Socket.IO dialect over socket.io itself, on node:http and ws.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const HOST = "127.0.0.1";
// The kernel lowers it to net.core.somaxconn.
const BACKLOG = 16 * 1024;
const PAYLOAD_BYTES_MAX = 1024 * 1024;

const { values: options } = parseArgs({ options: { port: { type: "string" } } });
const port = Number(options.port);
if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error("usage: server.mjs --port N");

// node:http sets TCP_NODELAY by itself.
const server = createServer();

const io = new Server(server, {
  transports: ["polling", "websocket"],
  pingInterval: 25_000,
  pingTimeout: 20_000,
  maxHttpBufferSize: PAYLOAD_BYTES_MAX,
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});

io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack?.({ ok: true });
  });
  socket.on("publish", (room, data, ack) => {
    io.to(room).emit("message", room, data);
    ack?.({ ok: true });
  });
  socket.on("echo", (data, ack) => {
    ack?.({ ok: true, data });
  });
});

// The handshake's request is of no use any more, and is the largest part of an idle connection.
io.engine.on("connection", (connection) => {
  connection.request = null;
});

server.listen({ host: HOST, port, backlog: BACKLOG }, () => console.log("ready"));
