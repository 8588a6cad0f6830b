// The application's own copies of packages: NestJS pins a nested socket.io, and a second copy would not be the one that runs.
//
// They are looked for from `resolveFrom`, from the program's main file and from the working directory, in that order: each
// time next to the socket.io found there, then directly. The first copy whose classes the live server is made of wins; without
// one, the first that was found, as nothing here depends on the identity of its classes.

import { createRequire } from "node:module";
import { join } from "node:path";

import type { AdapterModule } from "./adapter.js";
import type { ServerInternals } from "./internals.js";

type Load = (name: string) => unknown;

function loadersFrom(file: string): Load[] {
  const require = createRequire(file);
  try {
    return [createRequire(require.resolve("socket.io")), require];
  } catch {
    return [require];
  }
}

function starts(resolveFrom: string | undefined): string[] {
  const here = join(process.cwd(), "package.json");
  return [resolveFrom, process.argv[1], here].filter((start) => start !== undefined);
}

function isAdapterModule(module: unknown): module is AdapterModule {
  const { Adapter, ClusterAdapterWithHeartbeat } = module as Partial<AdapterModule>;
  return typeof Adapter === "function" && typeof ClusterAdapterWithHeartbeat === "function";
}

/** The socket.io-adapter that `io` uses. */
export function adapterModuleOf(io: ServerInternals, resolveFrom: string | undefined): AdapterModule {
  const found = loadAll(resolveFrom, "socket.io-adapter").filter(isAdapterModule);
  const live = io.of("/").adapter;
  const module = found.find(({ Adapter }) => live instanceof Adapter) ?? found[0];
  if (module === undefined) {
    throw new Error("no socket.io-adapter of 2.5.5 or later was found: say in `resolveFrom` which file of yours imports socket.io");
  }
  return module;
}

/** A package that socket.io itself depends on. */
export function dependencyOf(resolveFrom: string | undefined, name: string): unknown {
  return loadAll(resolveFrom, name)[0];
}

function loadAll(resolveFrom: string | undefined, name: string): unknown[] {
  return starts(resolveFrom).flatMap(loadersFrom).flatMap((load) => {
    try {
      return [load(name)];
    } catch {
      return [];
    }
  });
}
