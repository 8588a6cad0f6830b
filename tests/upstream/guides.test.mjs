// The fenced blocks of the guides are what a reader types: each one runs here as it stands, but for where its files and ports are.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import test, { before } from "node:test";
import { blocksOf } from "../it/blocks.mjs";
import { binary, freePort, root, until } from "../it/daemon.mjs";
import * as nest12 from "./nest12/tree.mjs";
import { on } from "./stage.mjs";
import { isMadeOf, NEST, RINGWAY, TELLS } from "./witnessed.mjs";

const packages = path.join(root, "packages");

before(() => nest12.build());

const GUIDES = ["docs/upstream.md", "docs/nestjs.md", "packages/examples/nest-chat/README.md"];
const blocks = GUIDES.flatMap(blocksOf);

// How each block begins. A new block of a guide fails here until something runs it.
const UNIX = "ringway serve --link unix:";
const SERVER = "import { Server }";
const TCP = "ringway serve --link tcp:";
const TCP_SERVER = "attachRingway(io, { url: \"tcp:";
const APPLICATIONS = "[link]\napplication = ";
const APPLICATION = "attachRingway(io, { url, app: ";
const EMITTER = "import { createEmitter }";
const MAIN = " import { NestFactory }";
const MODULE = "@Module({";
const HEALTH = "@Controller(\"health\")";
const CHAT = "npm run build\nnpm run start:plain";
const ANNOUNCE = "curl -s -X POST http://127.0.0.1:3000/rooms/lobby/announce";
const ALL = [UNIX, SERVER, TCP, TCP_SERVER, APPLICATIONS, APPLICATION, EMITTER, MAIN, MODULE, HEALTH, CHAT, ANNOUNCE];

/** A block as it stands, with other words for some of its places. */
const block = (begins, words = {}) => {
  let { text: code } = blocks.find(({ text }) => text.startsWith(begins));
  for (const [word, other] of Object.entries(words)) {
    assert.ok(code.includes(word), `${word} is not in\n${code}`);
    code = code.replaceAll(word, other);
  }
  return code;
};

test("every block is one that is run", () => {
  for (const { file, text } of blocks) assert.equal(ALL.filter((begins) => text.startsWith(begins)).length, 1, `nobody runs, in ${file}:\n${text}`);
  for (const begins of ALL) assert.ok(blocks.some(({ text }) => text.startsWith(begins)), `no guide has ${begins}`);
});

/** A folder of an application's: what npm would have installed, with this NestJS, is there. */
function workshop(stage, files, nest = 11, type = "module") {
  const folder = path.join(stage.folder, "shop");
  mkdirSync(folder, { recursive: true });
  symlinkSync(NEST[nest].modules, path.join(folder, "node_modules"));
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ type }));
  for (const [name, code] of Object.entries(files)) writeFileSync(path.join(folder, name), code);
  return folder;
}

/** What a shell makes of a block that starts the daemon. */
async function daemon(stage, commands) {
  const [port, admin] = [await freePort(), await freePort()];
  stage.url = `http://127.0.0.1:${port}`;
  const environment = {
    PATH: `${path.dirname(binary)}:${process.env.PATH}`,
    RINGWAY_LISTEN__ADDRESS: `127.0.0.1:${port}`,
    RINGWAY_ADMIN__ADDRESS: `127.0.0.1:${admin}`,
  };
  // `exec` makes the daemon the process that is stopped in the end.
  const started = stage.launch(["-euo", "pipefail", "-c", commands.replace(/^ringway serve/m, "exec ringway serve")], environment, "bash");
  await started.until(async () => (await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => null))?.status === 200);
  return started;
}

const LINK = "/run/ringway/link.sock";

/** What the guide leaves to the reader: an application. */
const SHOP = `
io.on("connection", (socket) => {
  socket.join("orders");
  socket.on("echo", (value, answer) => answer(value));
});
io.of("/admin").on("connection", (socket) => socket.join("floor-2"));
io.on("reload", (what) => console.log("reload", what));
`;

test("docs/upstream.md: a daemon, a worker over a Unix socket, and an emitter", on({ withDaemon: false }, async (stage) => {
  const place = { [LINK]: `${stage.folder}/link.sock` };
  const folder = workshop(stage, { "server.js": block(SERVER, place) + SHOP, "emitter.js": block(EMITTER, place) });
  await daemon(stage, block(UNIX, place));
  const server = stage.launch([path.join(folder, "server.js")]);
  const socket = await stage.connected();
  const admin = await stage.connected({}, "/admin");
  const shipped = [];
  socket.on("shipped", (value) => shipped.push(value));
  assert.equal(await socket.emitWithAck("echo", 3), 3);
  stage.launch([path.join(folder, "emitter.js")]);
  await until(() => shipped.length === 1 && admin.disconnects.length === 1 && server.lines.length === 1);
  assert.deepEqual([shipped, admin.disconnects, socket.disconnects, server.lines], [[17], ["io server disconnect"], [], ["reload prices"]]);
}));

test("docs/upstream.md: the same over TCP, with a secret", on({ withDaemon: false }, async (stage) => {
  const address = `127.0.0.1:${await freePort()}`;
  const secretFile = path.join(stage.folder, "link.secret");
  writeFileSync(secretFile, "a secret of more than sixteen bytes", { mode: 0o600 });
  const unix = block(SERVER);
  const attach = "attachRingway(io, {";
  const code = unix.slice(0, unix.indexOf(attach)) + block(TCP_SERVER, { "127.0.0.1:7310": address }) + SHOP;
  const folder = workshop(stage, { "server.js": code });
  await daemon(stage, block(TCP, { "127.0.0.1:7310": address, "/etc/ringway/link.secret": secretFile }));
  stage.launch([path.join(folder, "server.js")], { LINK_SECRET: readFileSync(secretFile, "utf8") });
  const socket = await stage.connected();
  assert.equal(await socket.emitWithAck("echo", 3), 3);
}));

test("docs/upstream.md: several applications", on({ withDaemon: false }, async (stage) => {
  const link = `unix:${stage.folder}/link.sock`;
  const unix = block(SERVER);
  const head = `${unix.slice(0, unix.indexOf("attachRingway(io, {"))}const url = ${JSON.stringify(link)};\n`;
  const orders = "io.of(\"/orders\").on(\"connection\", (socket) => socket.on(\"who\", (answer) => answer(\"shop\")));\n";
  const files = {
    "config.toml": block(APPLICATIONS),
    "web.js": `${head}${block(APPLICATION, { shop: "web" })}${SHOP}`,
    "shop.js": head + block(APPLICATION) + orders,
  };
  const folder = workshop(stage, files);
  await daemon(stage, `ringway serve --config ${path.join(folder, "config.toml")} --link ${link}`);
  stage.launch([path.join(folder, "web.js")]);
  stage.launch([path.join(folder, "shop.js")]);
  const [web, shop] = [await stage.connected(), await stage.connected({}, "/orders")];
  assert.deepEqual([await web.emitWithAck("echo", 3), await shop.emitWithAck("who")], [3, "shop"]);
}));

/** By the compiler of the application's own tree. */
function compile(code, nest, module = "ESNext") {
  const ts = createRequire(NEST[nest].modules)("typescript");
  const compilerOptions = { module: ts.ModuleKind[module], target: ts.ScriptTarget.ES2022, experimentalDecorators: true, emitDecoratorMetadata: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

/** What the guide leaves to the reader: imports, a gateway, and that there is a ConfigModule. */
const APP_MODULE = `
import "reflect-metadata";
import { Controller, Get, Module } from "@nestjs/common";
import { ConfigModule, ConfigService } from "@nestjs/config";
import { HealthCheck, HealthCheckService, TerminusModule } from "@nestjs/terminus";
import { SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import { RingwayHealthIndicator, RingwayModule } from "@ecommerce-enterprise/realtime-sdk/nest";

${block(HEALTH)}
${block(MODULE, { "export class AppModule": "class LinkModule" })}
@WebSocketGateway()
class EchoGateway {
  @SubscribeMessage("echo")
  echo(_client: unknown, value: unknown) {
    return value;
  }
}

@Module({
  imports: [ConfigModule.forRoot({ isGlobal: true }), LinkModule, TerminusModule],
  controllers: [HealthController],
  providers: [EchoGateway],
})
export class AppModule {}
`;

/** A diff's two sides. */
const plainOf = (diff) => diff.replace(/^\+.*\n/gm, "").replace(/^ /gm, "");
const after = (diff) => diff.replace(/^[+ ]/gm, "");

const CHANGES = [
  ["with the options in the line", (code) => code],
  ["with the module's options", (code) => code.replace(/(new RingwayAdapter\(app), \{.*?\}/, "$1")],
];

for (const [what, change, nest] of Object.keys(NEST).flatMap((nest) => CHANGES.map((named) => [...named, nest]))) {
  test(`docs/nestjs.md: the one line, the module and health, ${what}, on NestJS ${nest}`, on({ withDaemon: false }, async (stage) => {
    const link = `${stage.folder}/link.sock`;
    const port = await freePort();
    const diff = block(MAIN, { "3000": `${port}` });
    assert.match(change(after(diff)), what === "with the options in the line" ? /RingwayAdapter\(app, \{/ : /RingwayAdapter\(app\)/);
    const folder = workshop(stage, {
      "main.js": compile(change(after(diff)).replaceAll(LINK, link), nest),
      "plain.js": compile(plainOf(diff), nest),
      "app.module.js": compile(APP_MODULE, nest),
    }, nest);
    const environment = { LINK_URL: `unix:${link}`, NO_COLOR: "1" };
    const plain = stage.launch([path.join(folder, "plain.js")], environment);
    const health = async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => null))?.json();
    await plain.until(async () => (await health())?.info?.ringway?.state === "unused");
    await stage.kill(plain);
    await daemon(stage, block(UNIX, { [LINK]: link }));
    const app = stage.launch([...TELLS, path.join(folder, "main.js")], environment);
    await app.until(async () => (await health())?.info?.ringway?.state === "up");
    await isMadeOf(app, nest, RINGWAY);
    const socket = await stage.connected();
    assert.equal(await socket.emitWithAck("echo", "hello"), "hello");
  }));
}

/** What stands behind the imports, in a function: CommonJS waits for nothing at its top. */
const inFunction = (code) => `${code.replace(/^const app/m, "async function bootstrap() {\n$&")}\n}\nvoid bootstrap();\n`;

for (const nest of Object.keys(NEST)) {
  test(`docs/nestjs.md: the same by CommonJS, on NestJS ${nest}`, on({ withDaemon: false }, async (stage) => {
    const link = `${stage.folder}/link.sock`;
    const main = inFunction(after(block(MAIN, { "3000": "0" })).replaceAll(LINK, link));
    const files = { "main.js": compile(main, nest, "CommonJS"), "app.module.js": compile(APP_MODULE, nest, "CommonJS") };
    assert.match(files["main.js"], /require\("@ecommerce-enterprise\/realtime-sdk\/nest"\)/);
    const folder = workshop(stage, files, nest, "commonjs");
    await daemon(stage, block(UNIX, { [LINK]: link }));
    const app = stage.launch([...TELLS, path.join(folder, "main.js")], { LINK_URL: `unix:${link}`, NO_COLOR: "1" });
    await isMadeOf(app, nest, RINGWAY);
    const socket = await stage.connected();
    assert.equal(await socket.emitWithAck("echo", "hello"), "hello");
  }));
}

test("nest-chat's README: both ways to start it, and the operator", on({ withDaemon: false }, async (stage) => {
  const link = `${stage.folder}/link.sock`;
  const commands = block(CHAT).split("\n").filter(Boolean);
  // The first one is what has built the chat before these tests.
  assert.deepEqual(commands.map((command) => command.replace(/\s*#.*/, "")), ["npm run build", "npm run start:plain", "npm run start:ringway"]);
  const [, beside] = commands[2].match(/: (ringway serve .*)$/);
  const port = await freePort();
  await daemon(stage, beside.replace(LINK, link));
  const sockets = stage.url;
  for (const [command, url] of [[commands[1], `http://127.0.0.1:${port}`], [commands[2], sockets]]) {
    stage.url = url;
    const environment = { PORT: `${port}`, LINK_URL: `unix:${link}`, SOCKETS_URL: sockets, NO_COLOR: "1" };
    const chat = stage.launch(["-c", `cd '${packages}/examples/nest-chat' && ${command}`], environment, "bash");
    await chat.until(() => chat.lines.some((line) => line.includes(`chat: http://127.0.0.1:${port}`)));
    // As the page does: to the daemon that is another origin, which the gateway's `cors` allows.
    const socket = stage.client({ auth: { name: "ann" }, extraHeaders: { origin: `http://127.0.0.1:${port}` } });
    const { pid } = await socket.emitWithAck("join", "lobby");
    const heard = [];
    socket.onAny((...values) => heard.push(JSON.stringify(values)));
    const curl = stage.launch(["-c", block(ANNOUNCE, { "127.0.0.1:3000": `127.0.0.1:${port}` })], {}, "bash");
    await until(() => heard.some((line) => line.includes("hello")));
    assert.equal(curl.errors, "");
    process.kill(pid, "SIGKILL");
    await until(() => chat.child.exitCode !== null || chat.child.signalCode !== null);
    socket.disconnect();
  }
}));
