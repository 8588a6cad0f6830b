/** A server that says to others who it is, and what it was told so far. */
export function answering(io, name) {
  const notes = [];
  io.on("who", (answer) => answer(name));
  io.on("note", (note) => notes.push(note));
  io.on("notes", (answer) => answer([name, notes]));
  io.on("connection", (socket) => {
    socket.data.server = name;
    socket.join("room");
  });
}
