// Where NestJS keeps its socket.io: it pins a copy of its own, which may lie nested beside @nestjs/platform-socket.io.

import { createRequire } from "node:module";
import { join } from "node:path";

const PLATFORM = "@nestjs/platform-socket.io";

/** The file of the application's platform-socket.io, from which its socket.io is found; undefined if nothing leads to it. */
export function platformFile(): string | undefined {
  const here = join(process.cwd(), "package.json");
  for (const start of [process.argv[1], here]) {
    if (start === undefined) continue;
    try {
      return createRequire(start).resolve(PLATFORM);
    } catch {
      // Some launchers are the main file themselves; then the working directory is what is left.
    }
  }
  return undefined;
}
