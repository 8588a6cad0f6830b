// An application that has one namespace of several that its clients use, or dynamic ones by a RegExp. Started as `node shop.mjs LINK APP NAMESPACE`.
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";

const [url, app, name] = process.argv.slice(2);
const namespace = name.startsWith("^") ? new RegExp(name) : name;
const io = new Server(process.env.CONNECT_TIMEOUT ? { connectTimeout: Number(process.env.CONNECT_TIMEOUT) } : {});
const ringway = attachRingway(io, { url, app, resolveFrom: fileURLToPath(import.meta.url), ...(process.env.ON_CLOSE ? { onClose: process.env.ON_CLOSE } : {}) });
io.engine.on("connection", (conn) => conn.once("close", (reason) => process.stdout.write(`${JSON.stringify({ closed: reason })}\n`)));
ringway.on("error", (error) => process.stdout.write(`${JSON.stringify({ error: error.code ?? error.message })}\n`));

// Each process and each application says who it is.
const me = `${app} ${process.pid}`;
io.of(namespace).on("connection", (socket) => {
  process.stdout.write(`${JSON.stringify({ connection: socket.id, recovered: socket.recovered })}\n`);
  socket.on("who", (answer) => answer(me));
  socket.on("everybody", (value) => socket.nsp.emit("told", me, value));
  // One packet of several parts.
  socket.on("binary", (count) => { for (let at = 0; at < count; at += 1) socket.emit("parts", at, Buffer.alloc(1000, 1), Buffer.alloc(1000, 2), Buffer.alloc(1000, 3)); });
  socket.on("ring", async (answer) => answer(await io.serverSideEmitWithAck("who are you")));
  socket.on("join", (room, answer) => { socket.join(room); answer(); });
  socket.on("never", () => {});
  socket.on("close", () => socket.disconnect(true));
});
io.on("who are you", (answer) => answer(me));

process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
process.once("SIGTERM", async () => { await io.close(); process.exit(0); });
