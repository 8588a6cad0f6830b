// The third server of an application, in a process of its own, so that it can be stopped as a whole. Started as `node third.mjs LINK`.
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";
import { answering } from "./answering.mjs";

const io = new Server();
answering(io, "c");
await attachRingway(io, { url: process.argv[2], resolveFrom: fileURLToPath(import.meta.url) }).ready;
console.log("ready");
process.stdin.resume();
process.stdin.once("end", () => process.exit(0));
