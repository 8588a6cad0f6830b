// An ordinary Socket.IO application; one line gives it sockets that it does not own. Started as `node application.mjs LINK [SECRET_FILE [deaf]]`: deaf, it does not listen for
// faults of its link, as most applications do not.
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";
import { Counting } from "./counting.mjs";
import { plant } from "./planted.mjs";

const [url, secretFile, ears] = process.argv.slice(2);
// A parser of its own, by the name of its module.
const parser = process.env.PARSER === undefined ? {} : { parser: await import(process.env.PARSER) };
// Whose requests it judges, if it does: of others it says nothing, ever.
const judges = process.env.JUDGES;
const judge = judges && { allowRequest: ({ _query: { who } }, decide) => { if (judges === "all" || who === judges) decide(null, true); } };
const io = new Server({ connectTimeout: Number(process.env.CONNECT_TIMEOUT ?? 45_000), ...parser, ...judge });
const options = { url, resolveFrom: fileURLToPath(import.meta.url) };
if (process.env.ON_CLOSE) options.onClose = process.env.ON_CLOSE;
if (secretFile) options.secret = readFileSync(secretFile, "utf8").trim();
if (process.env.QUEUE_BYTES_MAX) options.bounds = { queue_bytes_max: Number(process.env.QUEUE_BYTES_MAX) };
const ringway = attachRingway(io, options);

// What was told is told, however the process ends: otherwise it waits for a reader that is slow.
process.stdout._handle.setBlocking(true);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
if (ears !== "deaf") ringway.on("fault", ({ code, message }) => tell({ event: "fault", code, message }));
// What doubles is planted (planted.mjs), so that it is seen that tests which count see it.
if (process.env.DOUBLES) plant(io, process.env.DOUBLES);
// What clients must hear once and in its turn, whatever becomes of the link (numbered.mjs).
const counting = process.env.COUNTS ? new Counting(io, Number(process.env.COUNTS)) : undefined;

/** Writes down that a handler ran: a client's acknowledgement is called once, however often its event was heard. */
function ran({ id }, value) {
  const [number] = [value].flat();
  if (Number.isInteger(number)) tell({ event: "ran", id, number });
}

io.use((socket, next) => {
  // It never answers.
  if (process.env.HANGS) return undefined;
  if (socket.handshake.auth.refuse) {
    const error = new Error("not you");
    error.data = { reason: socket.handshake.auth.refuse };
    return next(error);
  }
  socket.data.who = socket.handshake.auth.who;
  // What only the first process says: others have it of the daemon, or not at all.
  if (socket.handshake.auth.born) socket.data.born ??= process.pid;
  return next();
});

let isPouring = false;
function pour(text) {
  for (let number = 0; number < 50; number += 1) io.to("lobby").emit("told", number, text);
  if (isPouring) setImmediate(pour, text);
}
process.on("SIGUSR2", () => { isPouring = false; });

io.on("connection", (socket) => {
  tell({ event: "connection", id: socket.id, recovered: socket.recovered });
  // A version that cannot serve anybody.
  if (process.env.CRASHES) setImmediate(() => process.exit(1));
  // A handler that nobody has tried with such a client.
  if (socket.handshake.query.filter) JSON.parse(socket.handshake.query.filter);
  socket.on("parse", (text) => JSON.parse(text));
  socket.on("parse later", (text) => Promise.resolve(text).then(JSON.parse));
  socket.join("lobby");
  socket.on("echo", (value, answer) => { ran(socket, value); answer(value); });
  counting?.begin(socket);
  socket.on("who", (answer) => answer({ pid: process.pid, data: socket.data, rooms: [...socket.rooms].sort() }));
  socket.on("handshake", (answer) => {
    const { headers, address, query, url, secure, xdomain } = socket.handshake;
    answer({ headers, address, query, url, secure, xdomain, transport: socket.conn.transport.name });
  });
  socket.on("binary", (bytes, answer) => answer(Buffer.from(bytes).reverse(), { nested: [Buffer.from(bytes)] }));
  socket.on("join", (room, answer) => { socket.join(room); answer([...socket.rooms].sort()); });
  socket.on("leave", (room, answer) => { socket.leave(room); answer([...socket.rooms].sort()); });
  socket.on("to", (rooms, except, ...values) => io.to(rooms).except(except).emit("told", ...values));
  socket.on("others", (value) => socket.broadcast.to("lobby").emit("told", value));
  socket.on("local", (...values) => io.local.emit("told", ...values));
  socket.on("everybody", (...values) => io.emit("told", ...values));
  socket.on("ask me", async (question, answer) => answer(await socket.timeout(2_000).emitWithAck("question", question)));
  socket.on("sequence", (count) => { for (let number = 0; number < count; number += 1) socket.emit("number", number); });
  socket.on("fetch", async (room, answer) => {
    const sockets = await io.in(room).fetchSockets();
    answer(sockets.map(({ id, rooms, data }) => ({ id, rooms: [...rooms].sort(), data })));
  });
  socket.on("gather", async (room, answer) => answer(await io.in(room).timeout(3_000).emitWithAck("question", "all")));
  socket.on("move", (from, to) => io.in(from).socketsJoin(to));
  socket.on("take out", (from, room) => io.in(from).socketsLeave(room));
  // Broadcasts behind what workers have to do first, each with a word to whoever asked behind it.
  socket.on("tell behind", async (what, count, every_ms, answer) => {
    const ask = { join: () => io.in("nobody").socketsJoin("lobby"), leave: () => io.in("nobody").socketsLeave("lobby"), kick: () => io.in("nobody").disconnectSockets() }[what];
    for (let number = 0; number < count; number += 1) {
      if (number % 4 === 0) ask();
      io.to("lobby").emit("told", number);
      socket.emit("number", number);
      await new Promise((resolve) => { setTimeout(resolve, every_ms); });
    }
    answer();
  });
  socket.on("drop", (room) => io.in(room).disconnectSockets());
  socket.on("ring", async (answer) => answer(await io.serverSideEmitWithAck("who are you")));
  socket.on("flood", (count) => { for (let number = 0; number < count; number += 1) socket.volatile.emit("drop", number); socket.emit("end"); });
  socket.on("storm", (count, text) => { for (let number = 0; number < count; number += 1) io.to("lobby").emit("told", number, text); });
  // What no client can take, for as long as nobody says to stop.
  socket.on("pour", (text) => {
    isPouring = true;
    pour(text);
  });
  socket.on("remember", (value, answer) => { socket.data.value = value; answer(); });
  // As an application does that has much to say to one client: it waits while the client cannot follow.
  socket.on("stream", async (count, text, answer) => {
    let waits = 0;
    for (let number = 0; number < count; number += 1) {
      if (!socket.conn.transport.writable) {
        waits += 1;
        await new Promise((resolve) => { socket.conn.once("drain", resolve); });
      }
      socket.emit("told", number, text);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    answer(waits);
  });
  socket.on("spray", (number) => { socket.volatile.emit("told", number); tell({ event: "spray", writable: socket.conn.transport.writable }); });
  socket.on("slow", (ms, value, answer) => { ran(socket, value); setTimeout(() => answer(value), ms); });
  socket.on("hang", (ms) => { const end = Date.now() + ms; while (Date.now() < end); });
  socket.on("leave me", (close) => socket.disconnect(close));
  socket.on("disconnect", (reason) => tell({ event: "disconnect", id: socket.id, reason }));
});

io.on("who are you", (answer) => answer(process.pid));

io.of("/admin").use((socket, next) => { if (!process.env.ADMIN_HANGS) next(); });
io.of("/admin").on("connection", (socket) => {
  socket.emit("welcome", socket.nsp.name);
  socket.on("echo", (value, answer) => answer(["admin", value]));
  socket.on("count", (answer) => answer(io.of("/admin").sockets.size));
});

io.of(/^\/shop-\d+$/).on("connection", (socket) => socket.emit("welcome", socket.nsp.name));

process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
// As a deployment stops it: its clients wait for the next one.
process.once("SIGTERM", async () => { await io.close(); process.exit(0); });
