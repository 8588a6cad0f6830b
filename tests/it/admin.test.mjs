// The operator's port: who may ask, publishing with right and wrong bodies, the metrics page, and log lines for machines.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serve, serveDev, until } from "./daemon.mjs";
import { keyring } from "./keyring.mjs";
import { scrape, total } from "./metrics.mjs";

const SHARDS = 4;
let daemon, member;
const open = [];
before(async () => {
  daemon = await serveDev("--shards", String(SHARDS));
  member = await connect(versions["4.8"], daemon.url, modes["websocket only"], open);
  assert.equal((await ask(member, "join", "news")).ok, true);
});
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const send = (to, body, headers = {}) => fetch(`${to.admin}/api/v1/publish`, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });

describe("publish", { timeout: 30_000 }, () => {
  for (const [name, data] of [["text", '"hot"'], ["null", "null"], ["a number beyond doubles", "1e999"], ["deep nesting", "[".repeat(1000) + "]".repeat(1000)], ["what it likes", '{"a":[1,{"b":"✓"}]}']]) {
    test(`an operator sends ${name}`, async () => {
      const heard = event(member, "message");
      const answer = await send(daemon, `{"room":"news","data":${data}}`);
      assert.equal(answer.status, 200);
      const { ok, epoch, offset } = await answer.json();
      const [room, got, meta] = await heard;
      assert.deepEqual([ok, room, meta.epoch, meta.offset, meta.from], [true, "news", epoch, offset, "server"]);
      assert.equal(JSON.stringify(got), JSON.stringify(JSON.parse(data)));
    });
  }

  for (const [name, body, status] of [
    ["nothing", "", 400],
    ["no JSON", "{", 400],
    ["no object", "[1]", 400],
    ["no room", '{"data":1}', 400],
    ["no data", '{"room":"news"}', 400],
    ["a room that is a number", '{"room":7,"data":1}', 400],
    ["an unknown key", '{"room":"news","data":1,"x":1}', 400],
    ["a key twice", '{"room":"news","room":"other","data":1}', 400],
    ["a room without a name", '{"room":"","data":1}', 400],
    ["a room with control characters", '{"room":"a\\u0000b","data":1}', 400],
    ["a room with a long name", `{"room":"${"x".repeat(257)}","data":1}`, 400],
    ["a lone surrogate as a room", '{"room":"\\ud800","data":1}', 400],
    ["a namespace without a slash", '{"namespace":"orders","room":"news","data":1}', 400],
    ["a namespace that is too long", `{"namespace":"/${"x".repeat(200)}","room":"news","data":1}`, 400],
    ["bytes that are not UTF-8", Buffer.from([0x22, 0xff]), 400],
    ["too many bytes", `{"room":"news","data":"${"x".repeat(1_000_000)}"}`, 413],
  ]) {
    test(`${name} is refused`, async () => {
      const answer = await send(daemon, body);
      assert.equal(answer.status, status, await answer.clone().text());
      if (status === 400) assert.equal((await answer.json()).code, "RW-2503");
    });
  }

  test("only POST publishes, and only what exists is found", async () => {
    assert.equal((await fetch(`${daemon.admin}/api/v1/publish`)).status, 405);
    for (const [path, status] of [["/", 404], ["/api/v1/nothing", 404], ["/api/v1/rooms/nobody", 404], ["/api/v1/rooms?limit=x", 400]]) {
      assert.equal((await fetch(daemon.admin + path)).status, status, path);
    }
    assert.equal((await (await fetch(`${daemon.admin}/api/v1/rooms/nobody`)).json()).code, "RW-2502");
    assert.deepEqual(await (await fetch(`${daemon.admin}/api/v1/connections?limit=1&after=9-9`)).json(), { connections: [], next: null });
    for (const path of ["connections?after=x", "rooms?after=x"]) {
      assert.equal((await (await fetch(`${daemon.admin}/api/v1/${path}`)).json()).code, "RW-2505", path);
    }
  });

  test("connections and rooms come in pages that miss nobody", async (t) => {
    const paged = await serveDev("--shards", "4");
    t.after(() => paged.stop());
    const members = await Promise.all(Array.from({ length: 12 }, () => connect(versions["4.8"], paged.url, modes["websocket only"], open)));
    for (const [at, member] of members.entries()) {
      await ask(member, "join", `room ${at % 7}`);
      await ask(member, "join", "all");
    }
    const pages = async (what) => {
      const rows = [];
      for (let after = ""; after !== null;) {
        const answer = await (await fetch(`${paged.admin}/api/v1/${what}?limit=3${after && `&after=${encodeURIComponent(after)}`}`)).json();
        assert.ok(answer[what].length <= 3);
        rows.push(...answer[what]);
        after = answer.next;
      }
      return rows;
    };
    assert.equal(new Set((await pages("connections")).map(({ id }) => id)).size, members.length);
    const rooms = await pages("rooms");
    assert.deepEqual(rooms.map(({ room }) => room), ["all", ...Array.from({ length: 7 }, (_, at) => `room ${at}`)]);
    assert.deepEqual(rooms.map(({ members }) => members), [12, 2, 2, 2, 2, 2, 1, 1]);
  });

  test("a page in the operator's browser does not publish", async () => {
    const body = JSON.stringify({ room: "r", data: 1 });
    assert.equal((await send(daemon, body, { "content-type": "text/plain" })).status, 415);
    const rebound = await new Promise((resolve) => {
      const options = { headers: { host: "evil.example", "content-type": "application/json" }, method: "POST" };
      http.request(`${daemon.admin}/api/v1/publish`, options, resolve).end(body);
    });
    assert.equal(rebound.statusCode, 401);
  });
});

describe("the admin token", { timeout: 30_000 }, () => {
  let guarded;
  before(async () => {
    const ring = keyring();
    ring.secret("admin", "only for operators\n");
    guarded = await serve(["--config", ring.config, "--set", `admin.token_file=${ring.folder}/admin`]);
  });
  after(() => guarded.stop());

  for (const [name, authorization, status] of [
    ["none", undefined, 401],
    ["a wrong one", "Bearer only for operatorz", 401],
    ["a shorter one", "Bearer only for", 401],
    ["an empty one", "Bearer ", 401],
    ["another scheme", "Basic only for operators", 401],
    ["the right one", "Bearer only for operators", 200],
  ]) {
    test(`${name}: ${status}`, async () => {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await send(guarded, '{"room":"a","data":1}', headers);
      assert.equal(answer.status, status);
      if (status === 401) assert.equal((await answer.json()).code, "RW-2501");
      for (const path of ["connections", "rooms"]) assert.equal((await fetch(`${guarded.admin}/api/v1/${path}`, { headers })).status, status, path);
      // Probes and scrapers need no secret.
      for (const path of ["live", "ready", "metrics"]) assert.equal((await fetch(`${guarded.admin}/${path}`, { headers })).status, 200, path);
    });
  }
});

describe("metrics", { timeout: 30_000 }, () => {
  test("every sample has HELP, TYPE and its shard; histograms are whole", async () => {
    await ask(member, "publish", "news", 1);
    await until(async () => await total(daemon, "ringway_delivery_latency_seconds_count") > 0);
    const { families, samples } = await scrape(daemon);
    for (const { name, labels } of samples) {
      const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""));
      assert.ok(family?.help?.length > 10, `${name} has no HELP`);
      assert.match(family.type, /^(counter|gauge|histogram)$/, name);
      if (family.type === "counter") assert.match(name, /_total$/);
      assert.ok(Number(labels.shard) < SHARDS, `${name} says no shard`);
    }
    for (const name of families.keys()) {
      const shards = new Set(samples.filter((sample) => sample.name.startsWith(name)).map(({ labels }) => labels.shard));
      // A histogram appears once something was measured.
      if (families.get(name).type !== "histogram") assert.equal(shards.size, SHARDS, name);
    }
    for (const name of ["ringway_delivery_latency_seconds", "ringway_lap_seconds"]) {
      const of = (suffix, shard) => samples.filter((sample) => sample.name === `${name}_${suffix}` && sample.labels.shard === shard);
      for (const { labels: { shard }, value } of samples.filter((sample) => sample.name === `${name}_count`)) {
        const buckets = of("bucket", shard).map((bucket) => bucket.value);
        assert.deepEqual(buckets, [...buckets].sort((a, b) => a - b), "buckets accumulate");
        assert.equal(of("bucket", shard).find(({ labels }) => labels.le === "+Inf").value, value);
      }
    }
  });

  test("gauges go down again, also on a shard that idles", async () => {
    const socket = await connect(versions["4.8"], daemon.url, modes["polling then upgrade"], open);
    await until(async () => await total(daemon, "ringway_sessions") === 2);
    socket.close();
    await until(async () => await total(daemon, "ringway_sessions") === 1 && await total(daemon, "ringway_connections") === 1);
    assert.equal(await total(daemon, "ringway_sessions_websocket"), 1);
  });
});

test("log lines are JSON if they shall be, every one of them", { timeout: 30_000 }, async () => {
  const ring = keyring();
  const noisy = await serve(["--config", ring.config, "--dev", "--set", "log.format=json", "--set", "log.level=debug"]);
  ring.configure("[[[");
  noisy.process.kill("SIGHUP");
  await until(() => noisy.log().includes("nothing was reloaded"));
  await fetch(`${noisy.admin}/api/v1/rooms`);
  assert.equal(await noisy.stop(), 0);
  const lines = noisy.log().trimEnd().split("\n").map((line) => JSON.parse(line));
  for (const { timestamp, level, message } of lines) {
    assert.ok(!Number.isNaN(Date.parse(timestamp)));
    assert.match(level, /^(ERROR|WARN|INFO|DEBUG)$/);
    assert.ok(message.length > 0);
  }
  const said = (text) => lines.find(({ message }) => message.includes(text));
  assert.equal(said("--dev").level, "WARN");
  assert.equal(said("nothing was reloaded").level, "ERROR");
  for (const text of ["serving", "draining", "drained"]) assert.equal(said(text).level, "INFO", text);
});
