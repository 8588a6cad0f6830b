// The demo page: rooms, names, numbered messages, the shard that this window is on, the round trip.
"use strict";
const $ = (id) => document.getElementById(id);
const options = new URLSearchParams(location.search);
const transports = options.get("transports");
const socket = io(transports ? { transports: transports.split(",") } : {});
const rooms = new Map(); // name -> messages, oldest first
const MESSAGES_PER_ROOM_MAX = 500;
let current = null;

$("name").value = options.get("name") || sessionStorage.name || `guest-${Math.floor(Math.random() * 1000)}`;
$("name").addEventListener("change", () => { sessionStorage.name = $("name").value; });

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

function line(entry) {
  if (entry.note) return element("li", "note", entry.note);
  const item = document.createElement("li");
  item.append(
    element("span", "number", `#${entry.offset}`),
    element("span", "from", entry.name),
    element("span", "text", entry.text),
    element("time", "", new Date(entry.ts).toLocaleTimeString()),
  );
  return item;
}

function drawRooms() {
  $("rooms").replaceChildren(...[...rooms.keys()].map((name) => {
    const item = element("li", name === current ? "current" : "", name);
    item.addEventListener("click", () => show(name));
    const leave = element("button", "", "×");
    leave.title = `Leave ${name}`;
    leave.addEventListener("click", (event) => { event.stopPropagation(); leaveRoom(name); });
    item.append(leave);
    return item;
  }));
}

function show(name) {
  current = name;
  drawRooms();
  $("log").replaceChildren(...(rooms.get(name) || []).map(line));
  $("log").scrollTop = $("log").scrollHeight;
}

function add(room, entry) {
  const messages = rooms.get(room);
  if (!messages) return;
  messages.push(entry);
  if (messages.length > MESSAGES_PER_ROOM_MAX) messages.shift();
  if (room !== current) return;
  $("log").append(line(entry));
  $("log").scrollTop = $("log").scrollHeight;
}

function joinRoom(name) {
  socket.emit("join", name, (answer) => {
    // What was refused is said in the room that is open: it is no room to list.
    const place = answer.ok || current === null ? name : current;
    if (!rooms.has(place)) rooms.set(place, []);
    show(place);
    add(place, { note: answer.ok ? `Joined ${name}; messages so far: ${answer.offset}` : `${answer.code}: ${answer.message}` });
  });
}

function leaveRoom(name) {
  socket.emit("leave", name, () => {
    rooms.delete(name);
    show(rooms.keys().next().value ?? null);
  });
}

socket.on("connect", () => {
  $("state").textContent = "connected";
  socket.emit("info", (answer) => { $("shard").textContent = `${answer.shard} of ${answer.shards}`; });
  const wanted = rooms.size ? [...rooms.keys()] : [options.get("room") || "lobby"];
  wanted.forEach(joinRoom);
  drawTransport();
});
socket.io.on("reconnect_attempt", () => { $("state").textContent = "reconnecting…"; });
socket.on("disconnect", (reason) => { $("state").textContent = reason; });
socket.on("connect_error", (error) => { $("state").textContent = error.message; });
socket.on("message", (room, data, meta) => {
  add(room, { offset: meta.offset, ts: meta.ts, name: String(data?.name ?? meta.from), text: String(data?.text ?? JSON.stringify(data)) });
});

function drawTransport() {
  const engine = socket.io.engine;
  $("transport").textContent = engine.transport.name;
  engine.once("upgrade", () => { $("transport").textContent = engine.transport.name; });
}

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("room").value.trim();
  if (name) joinRoom(name);
  $("room").value = "";
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text || !current) return;
  const room = current;
  socket.emit("publish", room, { name: $("name").value, text }, (answer) => {
    if (!answer.ok) add(room, { note: `${answer.code}: ${answer.message}` });
  });
  $("text").value = "";
});
setInterval(() => {
  if (!socket.connected) return;
  const sent = performance.now();
  socket.emit("echo", null, () => { $("rtt").textContent = `${(performance.now() - sent).toFixed(1)} ms`; });
}, 1000);
