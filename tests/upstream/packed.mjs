// The package as npm packs it: what applications install, without npm's way to get there.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { root } from "../it/daemon.mjs";

export const NAME = "@ecommerce-enterprise/realtime-sdk";
export const source = path.join(root, "packages/realtime-sdk");

/** The file that `npm pack` makes of what was built, in `folder`; and the names of what is in it. */
export function pack(folder) {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  const [{ filename, files }] = Object.values(JSON.parse(execFileSync("npm", args, { cwd: source, encoding: "utf8" })));
  return { file: path.join(folder, filename), names: files.map(({ path: name }) => name) };
}

/** Puts the package into `modules`, a folder `node_modules`, as installing it does: it depends on nothing but what the application has. */
export function unpackInto(modules) {
  const folder = mkdtempSync(path.join(tmpdir(), "ringway-packed-"));
  const target = path.join(modules, NAME);
  try {
    const { file } = pack(folder);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    execFileSync("tar", ["-xzf", file, "--strip-components=1", "-C", target]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return target;
}
