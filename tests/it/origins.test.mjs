// Foreign pages: refused on the upgrade and on polling, in the way that browsers understand (CORS).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { serve, until } from "./daemon.mjs";
import { keyring } from "./keyring.mjs";
import { refusals } from "./metrics.mjs";
import { Wire, head, upgrade } from "./raw.mjs";

const ring = keyring();
let [daemon, open] = [undefined, undefined];
before(async () => {
  daemon = await serve(["--config", ring.config, "--shards", "1", "--set", 'origins.allowed=["https://app.example.com","https://*.example.org"]']);
  open = await serve(["--config", ring.config, "--shards", "1", "--set", 'origins.allowed=["*"]']);
});
after(async () => { for (const each of [daemon, open]) assert.equal(await each.stop(), 0, each.log()); });

// Origin, and whether a page of it may come.
const ORIGINS = [
  [undefined, true],
  ["https://app.example.com", true],
  ["https://a.example.org", true],
  ["https://a.b.example.org", true],
  ["http://it", true],
  ["http://app.example.com", false],
  ["https://app.example.com:444", false],
  ["https://app.example.com.evil.net", false],
  ["https://evilexample.org", false],
  ["https://example.org", false],
  ["http://a.example.org", false],
  ["https://it.evil.net", false],
  ["null", false],
  ["*", false],
  ["", false],
  ["file://", false],
  ["https://app.example.com https://evil.net", false],
];
const polling = "/socket.io/?EIO=4&transport=polling";
const websocket = "/socket.io/?EIO=4&transport=websocket";

async function answer(to, bytes) {
  const wire = (await Wire.open(to.port)).send(bytes);
  const text = await wire.reads(/\r\n\r\n/);
  wire.close();
  return { status: Number(text.split(" ")[1]), header: (name) => new RegExp(`^${name}: (.*)\r$`, "im").exec(text)?.[1], text };
}

describe("origins", { timeout: 30_000 }, () => {
  for (const [origin, allowed] of ORIGINS) {
    const line = origin === undefined ? [] : [`Origin: ${origin}`];
    const echoed = allowed ? origin : undefined;

    test(`${origin}: upgrade`, async () => {
      const { status, text } = await answer(daemon, upgrade(websocket, ...line));
      assert.equal(status, allowed ? 101 : 403, text);
    });

    test(`${origin}: polling`, async () => {
      const { status, header, text } = await answer(daemon, head(`GET ${polling} HTTP/1.1`, ...line));
      assert.equal(status, allowed ? 200 : 403, text);
      assert.equal(header("access-control-allow-origin"), echoed);
      assert.equal(header("access-control-allow-credentials"), echoed && "true");
      if (echoed) assert.equal(header("vary"), "Origin");
    });

    test(`${origin}: preflight`, async () => {
      const { status, header } = await answer(daemon, head(`OPTIONS ${polling} HTTP/1.1`, ...line, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"));
      assert.equal(status, 204);
      assert.equal(header("access-control-allow-origin"), echoed);
      if (echoed) {
        assert.match(header("access-control-allow-methods"), /POST/);
        assert.match(header("access-control-allow-headers"), /content-type/i);
      }
    });
  }

  test("an error is readable for pages that may come, and for those only", async () => {
    const unknown = `${polling}&sid=nobody`;
    const mine = await answer(daemon, head(`GET ${unknown} HTTP/1.1`, "Origin: https://app.example.com"));
    assert.deepEqual([mine.status, mine.header("access-control-allow-origin")], [400, "https://app.example.com"]);
    const foreign = await answer(daemon, head(`GET ${unknown} HTTP/1.1`, "Origin: https://evil.net"));
    assert.deepEqual([foreign.status, foreign.header("access-control-allow-origin")], [403, undefined]);
  });

  test("where every origin is welcome, each is named, and never a star with credentials", async () => {
    for (const origin of ["https://anywhere.net", "null"]) {
      const { status, header } = await answer(open, head(`GET ${polling} HTTP/1.1`, `Origin: ${origin}`));
      assert.deepEqual([status, header("access-control-allow-origin")], [200, origin]);
    }
  });

  test("foreign pages are counted", async () => {
    await until(async () => (await refusals(daemon))["RW-2110"] >= ORIGINS.filter(([, allowed]) => !allowed).length * 2);
  });
});
