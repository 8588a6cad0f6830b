// `node --import` of this gives an application NestJS 12, whatever it finds beside itself: these packages come from here.
import { register } from "node:module";
import { isMainThread } from "node:worker_threads";
import { readFileSync } from "node:fs";

const here = new URL("package.json", import.meta.url);
const names = Object.keys(JSON.parse(readFileSync(here, "utf8")).dependencies);
const isOurs = (specifier) => names.some((name) => specifier === name || specifier.startsWith(`${name}/`));

export function resolve(specifier, context, next) {
  return next(specifier, isOurs(specifier) ? { ...context, parentURL: here.href } : context);
}

if (isMainThread) register(import.meta.url);
