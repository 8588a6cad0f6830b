// The client's files: pages load /socket.io/socket.io.js from where their sockets go to.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { createRequire } from "node:module";
import { test } from "node:test";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { alike, outcome, withDaemon } from "./both.mjs";

const ORIGIN = "https://app.example";
const FILES = ["js", "min.js", "esm.min.js", "msgpack.min.js"].flatMap((end) => [`socket.io.${end}`, `socket.io.${end}.map`]);
const require = createRequire(import.meta.url);
const fileOf = (name) => readFileSync(require.resolve("socket.io/package.json").replace("package.json", `client-dist/${name}`), "utf8");

/** A request with the headers that it is given, and no others: fetch adds its own. */
const ask = (io, path, headers = {}, method = "GET") => new Promise((resolve, reject) => {
  const asking = request(`${io.url}${path}`, { headers, method }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (chunk) => { body += chunk; }).on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
  });
  asking.on("error", reject).end();
});

/** What a browser looks at, and what it keeps the file by. */
const said = ({ status, headers, body }) => {
  const names = Object.keys(headers).filter((name) => /^(access-control-|content-type|content-encoding|etag|cache-control|vary)/.test(name)).sort();
  return [status, names.map((name) => [name, headers[name]]), body.length, createHash("sha256").update(body).digest("base64")];
};

alike("the client's files", { serves: false }, {
  async "each of them"(side) {
    const io = await side.serve();
    const answers = [];
    for (const file of FILES) {
      const answer = await ask(io, `/socket.io/${file}`);
      answers.push([file, said(answer), answer.body === fileOf(file)]);
    }
    return answers;
  },

  async "a browser that has one asks whether it is still the same"(side) {
    const io = await side.serve();
    const { headers: { etag } } = await ask(io, "/socket.io/socket.io.js");
    const answers = [];
    for (const tag of [etag, `W/${etag}`, '"0.0.0"', "*", `${etag}, "other"`]) {
      const answer = await ask(io, "/socket.io/socket.io.js", { "If-None-Match": tag });
      answers.push([said(answer), answer.status === 304 && "content-length" in answer.headers]);
    }
    return answers;
  },

  async "HEAD says what GET would"(side) {
    const io = await side.serve();
    const [head, get] = [await ask(io, "/socket.io/socket.io.js", {}, "HEAD"), await ask(io, "/socket.io/socket.io.js")];
    return [said(head), said(get)];
  },

  async "where they are, and where not"(side) {
    const io = await side.serve();
    const answers = [];
    for (const path of [
      "socket.io.js?v=3", "socket.io.js?EIO=4&transport=polling", "socket.io.js.map?x", "a/b/socket.io.js", "socket.io.js/", "socket.io.mjs", "socket.io.slim.js", "Socket.io.js", "socket.io.js.map.map", "",
    ]) {
      const { status, headers, body } = await ask(io, `/socket.io/${path}`);
      // A session's name is another one each time.
      answers.push([path, status, headers["content-type"], body.startsWith("0{") ? "a session" : body.length]);
    }
    return answers;
  },

  async "a path of the application's own"(side) {
    const io = await side.serve({ path: "/chat/" });
    return [said(await ask(io, "/chat/socket.io.min.js")), (await ask(io, "/chat/other.js")).status];
  },

  async "serveClient: false"(side) {
    const io = await side.serve({ serveClient: false });
    const { status, body } = await ask(io, "/socket.io/socket.io.js");
    return [status, body, io.serveClient()];
  },

  async "neither allowRequest nor middlewares of the engine are asked"(side) {
    const seen = [];
    const allowRequest = (req, decide) => { seen.push(req.url); decide("no", false); };
    const io = await side.serve({ allowRequest }, { prepare: ({ engine }) => engine.use((req, res, next) => { seen.push(req.url); next(); }) });
    return [said(await ask(io, "/socket.io/socket.io.js")), (await ask(io, "/socket.io/?EIO=4&transport=polling")).status, seen.length];
  },

  async "pages of other origins, by a list and by a function"(side) {
    const origin = (name, decide) => decide(null, name === ORIGIN);
    const answers = [];
    for (const cors of [{ origin: [ORIGIN], credentials: true }, { origin, exposedHeaders: ["X-A"] }]) {
      const io = await side.serve({ cors });
      for (const Origin of [ORIGIN, "https://elsewhere.example"]) {
        const [status, headers] = said(await ask(io, "/socket.io/socket.io.esm.min.js", { Origin }));
        // Which of them vary by origin is each server's affair.
        answers.push([status, headers.filter(([name]) => name !== "vary")]);
      }
      await io.close();
    }
    return answers;
  },

  async "many at once, over connections that are kept"(side) {
    const io = await side.serve();
    const answers = await Promise.all([...Array(40).keys()].map((number) => ask(io, `/socket.io/${FILES[number % FILES.length]}`, { Connection: "keep-alive" })));
    const again = await fetch(`${io.url}/socket.io/socket.io.js`);
    return [answers.map(said), (await again.text()) === fileOf("socket.io.js")];
  },
});

const at = withDaemon();
const behind = (name, body) => test(name, () => outcome(at, { serves: false }, body));

behind("while there is no worker a page waits for the next one", async (side) => {
  const first = await side.serve();
  await first.close();
  const waiting = ask(side.at, "/socket.io/socket.io.js");
  await until(async () => await total(at.daemon, "ringway_upstream_questions_open") === 1);
  await side.serve();
  const { status, body } = await waiting;
  assert.deepEqual([status, body === fileOf("socket.io.js")], [200, true]);
});

const narrow = withDaemon(["--set", "limits.shard_queue_bytes_max=1048576"]);

test("those who ask for files and read nothing hold what one shard's queues may have, and no more", () => outcome(narrow, { serves: false }, async (side) => {
  const io = await side.serve();
  const { client, socket } = await side.meet();
  socket.on("echo", (value, answer) => answer(value));
  const { hostname, port } = new URL(io.url);
  const asked = "GET /socket.io/socket.io.js.map HTTP/1.1\r\nHost: a\r\n\r\n";
  const deaf = [...Array(32).keys()].map(() => connect({ host: hostname, port }).pause().on("error", () => {}));
  // What the kernel takes is not the daemon's: they ask until it takes no more.
  for (const socket of deaf) socket.write(asked.repeat(64));
  const fetched = () => ask(io, "/socket.io/socket.io.js.map");
  const refused = await until(async () => { const answer = await fetched(); return answer.status !== 200 && answer; });
  assert.deepEqual([refused.status, JSON.parse(refused.body).code], [503, "RW-2206"]);
  // Who is there is served as ever.
  assert.equal(await client.emitWithAck("echo", 1), 1);
  deaf.forEach((socket) => socket.destroy());
  await until(async () => (await fetched()).status === 200);
}));
