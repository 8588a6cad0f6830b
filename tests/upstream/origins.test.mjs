// Before an application has said its `cors`, and beside what the operator says of origins: what docs/upstream.md says of both.
import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { on } from "./stage.mjs";

const ORIGIN = "https://app.example";

/** What a page of that origin is answered; node:http, as fetch does not let one say an origin. */
const asked = (url, method, origin = ORIGIN) => new Promise((resolve, reject) => {
  const headers = { Origin: origin, "Access-Control-Request-Method": "GET" };
  request(`${url}/socket.io/?EIO=4&transport=polling`, { method, headers }, (response) => {
    response.resume().on("end", () => resolve([response.statusCode, response.headers["access-control-allow-origin"]]));
  }).on("error", reject).end();
});

test("where the operator lists origins, only these may come, whatever `cors` says", on({ args: ["--set", 'origins.allowed=["https://listed.example"]'] }, async (stage) => {
  const { url } = stage.daemon;
  const io = new Server({ cors: { origin: ["https://listed.example", ORIGIN] } });
  try {
    await attachRingway(io, { url: stage.link, resolveFrom: fileURLToPath(import.meta.url) }).ready;
    assert.deepEqual(await asked(url, "GET", "https://listed.example"), [200, "https://listed.example"]);
    assert.equal((await asked(url, "GET", ORIGIN))[0], 403);
  } finally {
    await io.close();
  }
}));

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
