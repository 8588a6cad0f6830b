// Before an application has said its `cors`: what docs/upstream.md says of a daemon that was just started.
import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { on } from "./stage.mjs";

const ORIGIN = "https://app.example";

/** What a page of that origin is answered; node:http, as fetch does not let one say an origin. */
const asked = (url, method) => new Promise((resolve, reject) => {
  const headers = { Origin: ORIGIN, "Access-Control-Request-Method": "GET" };
  request(`${url}/socket.io/?EIO=4&transport=polling`, { method, headers }, (response) => {
    response.resume().on("end", () => resolve([response.statusCode, response.headers["access-control-allow-origin"]]));
  }).on("error", reject).end();
});

test("pages of other origins are refused until the first worker has joined, and let in from then on", on({}, async (stage) => {
  const { url } = stage.daemon;
  const both = async () => [await asked(url, "OPTIONS"), await asked(url, "GET")];
  assert.deepEqual(await both(), [[204, undefined], [403, undefined]]);
  const io = new Server({ cors: { origin: ORIGIN } });
  try {
    await attachRingway(io, { url: stage.link, resolveFrom: fileURLToPath(import.meta.url) }).ready;
    assert.deepEqual(await both(), [[204, ORIGIN], [200, ORIGIN]]);
  } finally {
    await io.close();
  }
}));
