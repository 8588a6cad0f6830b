// An application whose clients may come back to their sockets. Started as `node recovering.mjs LINK [count [moves]]`.
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";

const [url, counts, moves] = process.argv.slice(2);
const io = new Server({ connectionStateRecovery: { maxDisconnectionDuration: 60_000 } });
attachRingway(io, { url, resolveFrom: fileURLToPath(import.meta.url) });

/** Numbers for whoever is in one of three rooms, but for the deaf, for as long as the process lives. */
function count() {
  let number = 0;
  setInterval(() => {
    for (let step = 0; step < 3; step += 1) {
      number += 1;
      // What others have to do first, and are at times too busy for.
      if (moves && number % 4 === 0) io.in("nobody").socketsJoin(`room-${number % 3}`);
      io.to(`room-${number % 3}`).except("deaf").emit("counted", process.pid, number, number % 7 ? null : Buffer.from(`${number}`));
    }
  }, 3);
}

io.on("connection", (socket) => {
  if (!socket.recovered) {
    socket.join(socket.handshake.auth.rooms ?? []);
    socket.data.who = socket.handshake.auth.who;
  }
  socket.on("who", (answer) => answer({ pid: process.pid, id: socket.id, recovered: socket.recovered, data: socket.data, rooms: [...socket.rooms].sort() }));
  socket.on("note", (data, answer) => { Object.assign(socket.data, data); answer(); });
  socket.on("say", (rooms, value, answer) => { io.to(rooms).emit("told", value); answer(); });
});

if (counts) count();
if (moves) setInterval(() => { const end = Date.now() + 30; while (Date.now() < end); }, 90);
