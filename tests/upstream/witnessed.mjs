// Whether a NestJS application was made of the packages that a test means: see witness.mjs, which tells it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { root } from "../it/daemon.mjs";
import * as nest12 from "./nest12/tree.mjs";

export const example = path.join(root, "packages/examples/nest-chat");

/** What each tree's package.json pins. */
const pinned = (folder) => JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")).dependencies["@nestjs/core"];

/** Each NestJS: where the chat is built, where the packages are, and what these say of themselves. */
export const NEST = {
  11: { chat: example, modules: path.join(root, "packages/node_modules"), core: pinned(example) },
  12: { chat: nest12.chat, modules: nest12.modules, core: pinned(nest12.folder) },
};

/** What stands in front of an application's main file, so that it tells. */
export const TELLS = ["--import", new URL("witness.mjs", import.meta.url).href];

/** Resolves when an application has told that it runs on this NestJS, and that its adapter and its rooms are of that very tree's classes. */
export async function isMadeOf(app, nest, { adapter, rooms }) {
  const told = () => app.lines.filter((line) => line.startsWith("{\"witness\""));
  await app.until(() => told().length > 0);
  const [{ platform, ...witness }, ...more] = told().map((line) => JSON.parse(line).witness);
  assert.deepEqual(more, [], "it has one server");
  const { modules, core } = NEST[nest];
  assert.ok(core.startsWith(`${nest}.`), core);
  assert.deepEqual(witness, { core, adapter, isIoAdapter: true, isServer: true, rooms, isRooms: true });
  assert.ok(platform.startsWith(path.join(modules, "@nestjs/platform-socket.io/")), platform);
}

export const PLAIN = { adapter: "IoAdapter", rooms: "Adapter" };
export const RINGWAY = { adapter: "RingwayAdapter", rooms: "RingwayAdapter" };
