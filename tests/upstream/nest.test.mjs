// packages/examples/nest-chat, once on its own sockets and once behind the daemon: what a client sees is the same.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import test, { before } from "node:test";
import { launch } from "../it/browser.mjs";
import { binary, event, freePort, root, serve, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import * as nest12 from "./nest12/tree.mjs";
import { on, telling } from "./stage.mjs";
import { example, isMadeOf, NEST, PLAIN, RINGWAY, TELLS } from "./witnessed.mjs";

const SHARDS = ["--shards", "2"];
const VERSIONS = Object.keys(NEST);

before(() => nest12.build());

/** Starts the chat; resolves when it listens, and when it has joined where there is a daemon. */
async function start(stage, { mode = "ringway", nest = 11 } = {}) {
  const port = await freePort();
  const args = [...TELLS, path.join(NEST[nest].chat, `dist/main.${mode}.js`)];
  const environment = { PORT: port, LINK_URL: stage.link, SOCKETS_URL: stage.daemon?.url ?? "", NO_COLOR: "1" };
  const app = mode === "plain" ? stage.launch(args, environment) : await stage.join(args, environment);
  app.http = `http://127.0.0.1:${port}`;
  app.says = (words) => app.lines.filter((line) => line.includes(words)).length;
  await app.until(() => app.says(`chat: ${app.http}`));
  await isMadeOf(app, nest, mode === "plain" ? PLAIN : RINGWAY);
  if (mode === "plain") stage.url = app.http;
  return app;
}

/** A client of the chat; `heard` has the events that came. */
async function guest(stage, name, options = {}, namespace = "") {
  const socket = stage.client({ auth: { name }, ...options }, namespace);
  socket.heard = [];
  socket.onAny((...values) => socket.heard.push(values));
  await Promise.race([event(socket, "connect"), event(socket, "connect_error").then(([error]) => { throw error; })]);
  return socket;
}

/** What of `heard` has this name. */
const heard = (socket, name) => socket.heard.filter(([what]) => what === name).map(([, value]) => value);

const get = async (app, where) => {
  const response = await fetch(`${app.http}/${where}`);
  return { status: response.status, body: await response.text() };
};

/** What holds in both modes. */
const SAME = {
  async "acknowledgements by value, Promise and Observable, with what the interceptor adds"(stage, app) {
    const ann = await guest(stage, "ann");
    assert.deepEqual(await ann.emitWithAck("join", "hall"), { ok: true, room: "hall", members: ["ann"], pid: app.pid });
    assert.deepEqual(await ann.emitWithAck("say", { room: "hall", text: "hi" }), { ok: true, pid: app.pid });
    const who = { ok: true, name: "ann", rooms: ["hall"], recovered: false, pid: app.pid };
    assert.deepEqual(await ann.emitWithAck("who"), who);
    assert.equal(await ann.emitWithAck("add", 1, 2, 3), 6);
    assert.equal(await ann.emitWithAck("ping me"), "here", "a second gateway on the same socket");
  },

  async "an event of a handler: one for each value of an Observable, and no acknowledgement"(stage) {
    const ann = await guest(stage, "ann");
    let answered = 0;
    ann.emit("count", 3, () => { answered += 1; });
    await until(() => heard(ann, "count").length === 3);
    await ann.emitWithAck("who");
    assert.deepEqual([heard(ann, "count"), answered], [[1, 2, 3], 0]);
  },

  async "undefined is not sent"(stage) {
    const ann = await guest(stage, "ann");
    await ann.emitWithAck("join", "hall");
    let answered = 0;
    ann.emit("typing", { room: "hall" }, () => { answered += 1; });
    await ann.emitWithAck("who");
    assert.equal(answered, 0);
  },

  async "@Ack: the handler answers, and what it returns is not sent"(stage) {
    const ann = await guest(stage, "ann");
    const answers = [];
    ann.emit("rename", "bea", (...values) => answers.push(values));
    assert.equal((await ann.emitWithAck("who")).name, "bea");
    assert.deepEqual(answers, [["ann", "bea"]]);
  },

  async "guard and filter: refused by the acknowledgement, or by an event"(stage) {
    const ann = await guest(stage, "ann");
    const refusal = { ok: false, event: "say", reason: "you are not in hall" };
    assert.deepEqual(await ann.emitWithAck("say", { room: "hall", text: "hi" }), refusal);
    ann.emit("say", { room: "hall", text: "hi" });
    await until(() => heard(ann, "refused").length === 1);
    assert.deepEqual(heard(ann, "refused"), [refusal]);
  },

  async "pipes: one of its own, and class-validator's"(stage) {
    const ann = await guest(stage, "ann");
    assert.equal((await ann.emitWithAck("join", "  HALL ")).room, "hall");
    const odd = await ann.emitWithAck("join", "no such name!");
    assert.deepEqual([odd.ok, odd.event], [false, "join"]);
    const empty = await ann.emitWithAck("say", { room: "hall", text: "" });
    assert.match(empty.reason, /text must be longer/);
    const nothing = await ann.emitWithAck("say");
    assert.match(nothing.reason, /room must be/);
  },

  async "filters: a WsException is told, any other exception is not"(stage, app) {
    const ann = await guest(stage, "ann");
    assert.equal((await ann.emitWithAck("fail", "kindly")).reason, "as you wished");
    ann.emit("fail", "badly");
    await until(() => heard(ann, "exception").length === 1);
    const [{ status, message, cause }] = heard(ann, "exception");
    assert.deepEqual([status, message, cause], ["error", "Internal server error", { pattern: "fail", data: "badly" }]);
    // The log has it.
    await app.until(() => /what is not a WsException/.test(app.errors));
    assert.equal(await ann.emitWithAck("ping me"), "here");
  },

  async "rooms: who is in hears it, also who says it; `typing` the others only"(stage) {
    const [ann, bob, eve] = [await guest(stage, "ann"), await guest(stage, "bob"), await guest(stage, "eve", { transports: ["polling"] })];
    await ann.emitWithAck("join", "hall");
    assert.deepEqual((await bob.emitWithAck("join", "hall")).members, ["ann", "bob"]);
    await ann.emitWithAck("say", { room: "hall", text: "one" });
    // It is volatile: whoever is being sent something just then does not hear it.
    await until(async () => {
      ann.emit("typing", { room: "hall" });
      await Promise.all([ann, bob].map((socket) => socket.emitWithAck("ping me")));
      return heard(bob, "typing").length > 0;
    });
    assert.deepEqual(await bob.emitWithAck("leave", "hall"), { ok: true, rooms: [], pid: (await bob.emitWithAck("who")).pid });
    await ann.emitWithAck("say", { room: "hall", text: "two" });
    await until(() => heard(ann, "said").length === 2);
    await Promise.all([bob, eve].map((socket) => socket.emitWithAck("ping me")));
    const line = (text) => ({ room: "hall", from: "ann", text });
    assert.deepEqual([ann, bob, eve].map((socket) => heard(socket, "said")), [[line("one"), line("two")], [line("one")], []]);
    assert.deepEqual([ann, bob, eve].map((socket) => heard(socket, "typing").length > 0), [false, true, false]);
  },

  async "lifecycle hooks: afterInit once, handleConnection and handleDisconnect for each client"(stage, app) {
    assert.equal(app.says("[PresenceGateway] ready"), 1);
    const lea = await guest(stage, "lea");
    const tom = await guest(stage, "tom");
    await until(() => heard(lea, "came").length === 1);
    tom.disconnect();
    await until(() => heard(lea, "went").length === 1);
    assert.deepEqual([heard(lea, "came"), heard(lea, "went")], [["tom"], ["tom"]]);
    assert.deepEqual(["lea came", "tom came", "tom went"].map(app.says), [1, 1, 1]);
  },

  async "a middleware of afterInit refuses"(stage) {
    await assert.rejects(guest(stage, ""), { message: "say your name in `auth`" });
  },

  async "a namespace of its own, on the same connection"(stage) {
    const ann = await guest(stage, "ann", { forceNew: false });
    const news = await guest(stage, "ann", { forceNew: false }, "/news");
    assert.equal(news.io, ann.io);
    await until(() => heard(news, "headline").length === 1);
    assert.deepEqual(await news.emitWithAck("publish", "sun"), { ok: true, namespace: "/news" });
    await until(() => heard(news, "headline").length === 2);
    assert.deepEqual([heard(news, "headline"), heard(ann, "headline")], [["nothing new", "sun"], []]);
  },

  async "namespaces by RegExp, each for itself; others are none"(stage) {
    const [red, other, blue] = [await guest(stage, "", {}, "/team-red"), await guest(stage, "", {}, "/team-red"), await guest(stage, "", {}, "/team-blue")];
    assert.deepEqual(await red.emitWithAck("tell", "go"), { ok: true, team: "/team-red" });
    await until(() => heard(other, "told").length === 1);
    await blue.emitWithAck("tell", "stay");
    await until(() => heard(blue, "told").length === 1);
    const told = (team, text) => [{ team, text }];
    assert.deepEqual([red, other, blue].map((socket) => heard(socket, "told")), [told("/team-red", "go"), told("/team-red", "go"), told("/team-blue", "stay")]);
    await assert.rejects(guest(stage, "", {}, "/team-7"), { message: "Invalid namespace" });
  },

  async "an HTTP controller speaks to a room"(stage, app) {
    const [ann, bob] = [await guest(stage, "ann"), await guest(stage, "bob")];
    await ann.emitWithAck("join", "hall");
    const body = JSON.stringify({ text: "closing time" });
    const response = await fetch(`${app.http}/rooms/hall/announce`, { method: "POST", headers: { "content-type": "application/json" }, body });
    assert.deepEqual([response.status, await response.json()], [201, { ok: true, room: "hall" }]);
    await until(() => heard(ann, "said").length === 1);
    await bob.emitWithAck("ping me");
    assert.deepEqual([heard(ann, "said"), heard(bob, "said")], [[{ room: "hall", from: "operator", text: "closing time" }], []]);
  },

  async "the first gateway's cors: a page of another origin may come"(stage, app) {
    const response = await fetch(`${stage.url ?? stage.daemon.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: app.http } });
    assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [200, "*"]);
    await response.arrayBuffer();
  },

  async "the page, the client's script, and health"(stage, app) {
    assert.match((await get(app, "")).body, /<title>Nest chat/);
    assert.match((await get(app, "client.js")).body, /Socket\.IO v4/);
    assert.deepEqual(JSON.parse((await get(app, "sockets")).body), { url: stage.daemon?.url ?? "" });
    const { status, body } = await get(app, "health");
    const { ringway } = JSON.parse(body).info;
    assert.deepEqual([status, ringway.status, ringway.state], [200, "up", stage.daemon ? "up" : "unused"]);
  },
};

const STAGES = VERSIONS.flatMap((nest) => [{ mode: "plain", nest }, { mode: "ringway", nest }]);

for (const { mode, nest } of STAGES) {
  test(`NestJS ${nest}, ${mode}`, async (t) => {
    await on({ args: SHARDS, withDaemon: mode === "ringway" }, async (stage) => {
      const app = await start(stage, { mode, nest });
      for (const [name, body] of Object.entries(SAME)) await t.test(name, () => telling(stage, () => alone(stage, app, body)));
    })();
  });
}

/** Runs a case; the next one finds the application without clients. */
async function alone(stage, app, body) {
  await body(stage, app);
  stage.dismiss();
  await app.until(() => app.says(" came") === app.says(" went"));
}

/** A test on a daemon of its own, of each NestJS. */
function onEach(name, body) {
  for (const nest of VERSIONS) test(`NestJS ${nest}: ${name}`, on({ args: SHARDS }, (stage) => body(stage, nest)));
}

test("the same code: main.ts differs in the adapter's line and its import", () => {
  const [plain, ringway] = ["plain", "ringway"].map((mode) => readFileSync(path.join(example, `src/main.${mode}.ts`), "utf8").split("\n"));
  const added = ringway.filter((line) => !plain.includes(line));
  assert.deepEqual(plain.filter((line) => !ringway.includes(line)), []);
  assert.equal(ringway.length, plain.length + 2);
  assert.match(added[0], /^import \{ RingwayAdapter \} from/);
  assert.match(added[1], /^app\.useWebSocketAdapter\(new RingwayAdapter\(app, .*\)\);$/);
});

test("what NestJS 12's own compiler makes of the package's source, against its own types, is what is shipped", () => {
  const read = (folder) => readdirSync(folder, { recursive: true }).filter((name) => /\.(js|d\.ts)$/.test(name)).sort().map((name) => [name, readFileSync(path.join(folder, name), "utf8")]);
  const [made, shipped] = [nest12.sdk, nest12.shipped].map((folder) => read(path.join(folder, "dist")));
  assert.ok(shipped.some(([name]) => name === "cjs/nest/index.js"));
  assert.deepEqual(made, shipped);
});

for (const mode of ["plain", "ringway"]) {
  // The page comes from the application, whose origin is not the daemon's: the gateway's `cors` lets it in.
  test(`two windows chat in Chromium, ${mode}`, on({ args: SHARDS, withDaemon: mode === "ringway" }, async (stage) => {
    const app = await start(stage, { mode });
    const browser = await launch();
    try {
      const [ann, bob] = [await browser.newPage(), await browser.newPage()];
      await ann.goto(`${app.http}/?name=ann`);
      await ann.getByText("lobby: ann").waitFor();
      await bob.goto(`${app.http}/?name=bob`);
      await bob.getByText("lobby: ann, bob").waitFor();
      await ann.getByText("bob came").waitFor();
      await ann.fill("#text", "hello bob");
      await ann.click("text=send");
      await bob.getByText("ann: hello bob").waitFor();
      await bob.fill("#text", "");
      await bob.click("text=send");
      await bob.getByText("text must be longer").waitFor();
    } finally {
      await browser.close();
    }
  }));
}

onEach("the process is killed: clients, ids and rooms stay, and the next one answers", async (stage, nest) => {
  let app = await start(stage, { nest });
  const [ann, bob] = [await guest(stage, "ann"), await guest(stage, "bob", { transports: ["polling"] })];
  await Promise.all([ann, bob].map((socket) => socket.emitWithAck("join", "hall")));
  const ids = [ann.id, bob.id];
  await stage.kill(app);
  await until(async () => (await total(stage.daemon, "ringway_upstream_workers")) === 0);
  const answer = ann.emitWithAck("who");
  app = await start(stage, { nest });
  assert.deepEqual(await answer, { ok: true, name: "ann", rooms: ["hall"], recovered: true, pid: app.pid });
  await bob.emitWithAck("say", { room: "hall", text: "still here?" });
  await until(() => heard(ann, "said").length === 1);
  assert.deepEqual([ann.id, bob.id], ids);
  assert.deepEqual([ann, bob].map((socket) => socket.disconnects), [[], []]);
  assert.deepEqual([heard(ann, "came"), heard(ann, "went")], [["bob"], []], "to the others nobody was away");
  assert.deepEqual(["ann is still here", "ann came"].map(app.says), [1, 0]);
});

onEach("a deployment: SIGTERM stops it cleanly, and the next one has what sockets knew", async (stage, nest) => {
  let app = await start(stage, { nest });
  const [ann, bob] = [await guest(stage, "ann"), await guest(stage, "bob")];
  await ann.emitWithAck("join", "hall");
  ann.emit("rename", "bea", () => {});
  assert.equal((await ann.emitWithAck("who")).name, "bea");
  app.child.kill("SIGTERM");
  const [code, signal] = await once(app.child, "exit");
  assert.deepEqual([code, signal], [null, "SIGTERM"]);
  await until(() => app.says("stopped by SIGTERM"));
  assert.equal(app.says("bea went"), 1, "handleDisconnect runs");
  const answer = ann.emitWithAck("who");
  app = await start(stage, { nest });
  // A crash would have left the name of connecting.
  assert.deepEqual(await answer, { ok: true, name: "bea", rooms: ["hall"], recovered: true, pid: app.pid });
  await bob.emitWithAck("ping me");
  assert.deepEqual([ann, bob].map((socket) => socket.disconnects), [[], []]);
  assert.deepEqual([heard(bob, "went"), heard(bob, "came")], [[], []]);
});

onEach("two processes are one chat; when one is killed its clients go on with the other", async (stage, nest) => {
  const apps = [await start(stage, { nest }), await start(stage, { nest })];
  const guests = await Promise.all(["ann", "bob", "eve", "tim"].map((name) => guest(stage, name)));
  const answers = await Promise.all(guests.map((socket) => socket.emitWithAck("join", "hall")));
  assert.deepEqual(answers.map(({ pid }) => pid).sort(), apps.flatMap(({ pid }) => [pid, pid]).sort(), "each has its share");
  assert.deepEqual((await guests[0].emitWithAck("join", "hall")).members, ["ann", "bob", "eve", "tim"]);
  await stage.kill(apps[0]);
  await until(async () => (await total(stage.daemon, "ringway_upstream_workers")) === 1);
  const who = await Promise.all(guests.map((socket) => socket.emitWithAck("who")));
  assert.deepEqual(who.map(({ pid, rooms }) => [pid, rooms]), guests.map(() => [apps[1].pid, ["hall"]]));
  await guests[0].emitWithAck("say", { room: "hall", text: "all of you" });
  await Promise.all(guests.map((socket) => until(() => heard(socket, "said").length === 1)));
  assert.deepEqual(guests.flatMap((socket) => socket.disconnects), []);
});

onEach("health says when the daemon is away, and when it is back", async (stage, nest) => {
  const app = await start(stage, { nest });
  const { port } = stage.daemon;
  await until(async () => (await get(app, "health")).status === 200);
  await stage.daemon.stop("SIGKILL");
  const down = await until(async () => { const answer = await get(app, "health"); return answer.status === 503 && answer; });
  const { ringway } = JSON.parse(down.body).error;
  assert.deepEqual([ringway.status, ringway.state, ringway.url], ["down", "down", stage.link]);
  assert.ok(ringway.reason, "it says why");
  stage.daemon = await serve(stage.args, {}, { port });
  await until(async () => (await get(app, "health")).status === 200);
});

test("scripts/run-nest, which make run-nest is: a killed application is started again, Ctrl-C stops all", async (t) => {
  await on({ withDaemon: false }, async (stage) => {
    const [port, listen, admin] = [await freePort(), await freePort(), await freePort()];
    stage.url = `http://127.0.0.1:${listen}`;
    const args = [path.join(root, "scripts/run-nest"), binary, "--listen", `127.0.0.1:${listen}`, "--admin", `127.0.0.1:${admin}`, "--set", "drain.deadline_ms=1000"];
    const run = stage.launch(args, { PORT: port, SOCKETS_URL: stage.url, NO_COLOR: "1" }, "bash");
    // Killed it would leave behind what it started.
    const stop = async (signal) => {
      if (run.child.exitCode === null && run.child.kill(signal)) await once(run.child, "close");
      return run.child.exitCode;
    };
    t.after(() => stop("SIGTERM"));
    const says = (words) => run.lines.filter((line) => line.includes(words)).length;
    await run.until(() => says(`chat: http://127.0.0.1:${port}`) === 1);
    assert.equal((await (await fetch(`http://127.0.0.1:${port}/sockets`)).json()).url, stage.url);
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}/?name=bob`);
    await page.getByText("lobby: bob").waitFor();
    const ann = await guest(stage, "ann");
    const { pid } = await ann.emitWithAck("join", "lobby");
    process.kill(pid, "SIGKILL");
    await run.until(() => says(`chat: http://127.0.0.1:${port}`) === 2);
    const who = await ann.emitWithAck("who");
    assert.deepEqual([who.rooms, who.recovered, who.pid !== pid, ann.disconnects], [["lobby"], true, true, []]);
    await ann.emitWithAck("say", { room: "lobby", text: "still here?" });
    await page.getByText("ann: still here?").waitFor();
    await browser.close();
    assert.equal(await stop("SIGINT"), 0);
    assert.throws(() => process.kill(who.pid, 0), { code: "ESRCH" });
    assert.match(run.errors, / drained/, "the daemon, too");
  })();
});
