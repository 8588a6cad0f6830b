// Uploads by @tus/server into a folder: server.mjs --port N --folder DIR.
import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const { values } = parseArgs({ options: { port: { type: "string" }, folder: { type: "string" } } });
mkdirSync(values.folder, { recursive: true });
const server = new Server({ path: "/uploads", datastore: new FileStore({ directory: values.folder }), relativeLocation: true });
const http = server.listen({ host: "127.0.0.1", port: Number(values.port) });
// A client keeps its connection for as long as it likes, as with the others.
http.keepAliveTimeout = 0;
http.requestTimeout = 0;
