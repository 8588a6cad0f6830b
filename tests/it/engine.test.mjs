// The bare Engine.IO echo with engine.io-client: text and binary come back on every transport; requests and upgrades land on any shard.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import http from "node:http";
import { Socket } from "engine.io-client";
import { ask, connect, modes, versions } from "./clients.mjs";
import { event, serveDev, until } from "./daemon.mjs";
import { total } from "./metrics.mjs";
import { TEXT, Wire, frame, frames, head, upgrade } from "./raw.mjs";

let daemon;
const open = [];
before(async () => {
  // A client that sends without end while it upgrades has more answers under way than a member may have messages.
  daemon = await serveDev("--shards", "4", "--set", "limits.queue_packets_max=100000");
});
after(async () => {
  open.forEach((socket) => socket.close());
  assert.equal(await daemon.stop(), 0, daemon.log());
});

const MESSAGES = ["text", "", "grüß dich ✓", "x".repeat(100_000), Buffer.from([0, 255, 7]), Buffer.alloc(100_000, 9), Buffer.alloc(0), "last"];
// The client gives an empty text as no data at all.
const plain = (data = "") => typeof data === "string" ? data : Buffer.from(data).toString("hex");

describe("engine.io-client", { timeout: 30_000 }, () => {
  for (const [mode, options] of Object.entries(modes)) {
    test(`${mode}: everything comes back, in order`, async () => {
      const socket = new Socket(daemon.url, { path: "/engine.io/", ...options });
      open.push(socket);
      socket.binaryType = "nodebuffer";
      const heard = [];
      socket.on("message", (data) => heard.push(plain(data)));
      const upgraded = mode.includes("upgrade") ? event(socket, "upgrade") : undefined;
      await event(socket, "open");
      for (const message of MESSAGES) socket.send(message);
      await until(() => heard.length >= MESSAGES.length);
      await upgraded;
      for (const message of MESSAGES) socket.send(message);
      await until(() => heard.length >= 2 * MESSAGES.length);
      assert.deepEqual(heard, [...MESSAGES, ...MESSAGES].map(plain));
    });
  }

  test("messages under way during the upgrade come back once", async () => {
    const socket = new Socket(daemon.url, { path: "/engine.io/", transports: ["polling", "websocket"] });
    open.push(socket);
    const heard = [];
    socket.on("message", (data) => heard.push(data));
    await event(socket, "open");
    let [sent, upgraded, closed] = [0, false];
    socket.once("upgrade", () => { upgraded = true; });
    socket.once("close", (reason) => { closed = reason; });
    while (!upgraded) {
      assert.equal(closed, undefined);
      socket.send(String(sent++));
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const end = sent + 20; sent < end;) socket.send(String(sent++));
    await until(() => heard.length >= sent);
    assert.deepEqual(heard, Array.from({ length: sent }, (_, i) => String(i)));
  });
});

const path = "/socket.io/?EIO=4&transport=polling";
/** One request on a TCP connection of its own: whichever shard takes it. */
const request = (to, method, at, body) => new Promise((resolve, reject) => {
  const sent = http.request(to.url + at, { method, agent: new http.Agent({ keepAlive: false }) }, (answer) => {
    let text = "";
    answer.on("data", (chunk) => { text += chunk; }).on("end", () => resolve({ status: answer.statusCode, text }));
  });
  sent.on("error", reject).end(body);
});
const alone = (method, at, body) => request(daemon, method, at, body);

describe("requests on other shards", { timeout: 30_000 }, () => {
  test("a session whose every request is a new connection works, and connections move", async () => {
    const earlier = await total(daemon, "ringway_connections_migrated_total");
    const { sid } = JSON.parse((await alone("GET", path)).text.slice(1));
    const at = `${path}&sid=${sid}`;
    assert.equal((await alone("POST", at, "40")).text, "ok");
    assert.match((await alone("GET", at)).text, /^40\{"sid"/);
    for (let i = 0; i < 40; i++) {
      assert.equal((await alone("POST", at, `42${i}["echo",${i}]`)).text, "ok");
      assert.equal((await alone("GET", at)).text, `43${i}[{"ok":true,"data":${i}}]`);
    }
    // 82 connections, of which a quarter would have come to the right shard by chance.
    await until(async () => await total(daemon, "ringway_connections_migrated_total") > earlier + 20);
    assert.equal(await total(daemon, "ringway_connections_migration_failures_total"), 0);
  });

  test("an upgrade on another shard moves there", async () => {
    const earlier = await total(daemon, "ringway_upgrades_total");
    for (let round = 0; round < 12; round++) {
      const { sid } = JSON.parse((await alone("GET", path)).text.slice(1));
      await alone("POST", `${path}&sid=${sid}`, "40");
      // What came before the upgrade is waiting, and goes out on the WebSocket.
      const wire = (await Wire.open(daemon.port)).send(upgrade(`${path.replace("polling", "websocket")}&sid=${sid}`), frame(TEXT, "2probe"));
      await wire.reads(/3probe/);
      wire.send(frame(TEXT, "5"), frame(TEXT, '420["info"]'));
      await wire.reads(/430\[\{"ok":true,"shard":\d/);
      assert.match(frames(wire.bytes)[1].payload.toString(), /^40\{"sid"/);
      wire.close();
    }
    await until(async () => await total(daemon, "ringway_upgrades_total") === earlier + 12);
  });

  test("a request that moves brings along what stood behind its head", async () => {
    const { sid } = JSON.parse((await alone("GET", path)).text.slice(1));
    const at = `${path}&sid=${sid}`;
    await alone("POST", at, "40");
    await alone("GET", at);
    for (let round = 0; round < 8; round++) {
      const wire = await Wire.open(daemon.port);
      wire.send(head(`POST ${at} HTTP/1.1`, "Content-Length: 12") + '420["echo",1]'.slice(0, 12));
      await wire.reads(/ok$/);
      wire.close();
      // The body above lacks its bracket: an event with wrong arguments, answered as such.
      assert.match((await alone("GET", at)).text, /^430\[\{"ok":false,"code":"RW-2016"/);
      // Two requests in one segment: the answers come in their order.
      const both = (await Wire.open(daemon.port)).send(head(`POST ${at} HTTP/1.1`, "Content-Length: 13") + '421["echo",1]' + head(`GET ${at} HTTP/1.1`));
      assert.match(await both.reads(/431\[/), /ok[^]*431\[\{"ok":true,"data":1\}\]/);
      both.close();
    }
  });

  test("a client that aborts its poll keeps its session, and what comes meanwhile", async (t) => {
    const own = await serveDev("--shards", "2");
    t.after(() => own.stop());
    const alone = (method, at, body) => request(own, method, at, body);
    const { sid } = JSON.parse((await alone("GET", path)).text.slice(1));
    const at = `${path}&sid=${sid}`;
    await alone("POST", at, '40\x1e420["join","aborted"]');
    let text = "";
    while (!text.includes("430[")) text += (await alone("GET", at)).text;
    const publisher = await connect(versions["4.8"], own.url, modes["websocket only"], open);
    const connections = async (count) => until(async () => await total(own, "ringway_connections") === count);
    for (let round = 0; round < 5; round++) {
      await connections(1);
      const wire = (await Wire.open(own.port)).send(head(`GET ${at} HTTP/1.1`));
      await connections(2);
      wire.close();
      await connections(1);
      assert.equal(wire.text(), "");
      for (const half of ["a", "b"]) assert.equal((await ask(publisher, "publish", "aborted", `${round}${half}`)).ok, true);
      const answer = await alone("GET", at);
      assert.match(answer.text, new RegExp(`^42\\["message","aborted","${round}a",[^\x1e]*\x1e42\\["message","aborted","${round}b"`));
    }
    publisher.close();
  });
});
