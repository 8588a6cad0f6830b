// The fenced blocks of a document.
import { readFileSync } from "node:fs";
import path from "node:path";
import { root } from "./daemon.mjs";

/** Each with its file, its kind and its text. */
export function blocksOf(file) {
  const document = readFileSync(path.join(root, file), "utf8");
  return [...document.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, kind, text]) => ({ file, kind, text }));
}
