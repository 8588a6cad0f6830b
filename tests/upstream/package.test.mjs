// What `npm pack` makes of the package, as applications install it: in an empty folder beside socket.io, by `import` and by `require`, and for their compilers.
//
// How its entry for NestJS runs, by both, is in nest.test.mjs and guides.test.mjs.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "../it/daemon.mjs";
import * as nest12 from "./nest12/tree.mjs";
import { NAME, pack, source, unpackInto } from "./packed.mjs";
import { on } from "./stage.mjs";
import { NEST } from "./witnessed.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const place = mkdtempSync(path.join(tmpdir(), "ringway-package-"));
/** An application's folder: socket.io is in it, and then the package. */
const shop = path.join(place, "shop");
/** One that has nothing but the package. */
const bare = path.join(place, "bare");
let packed;

const npm = (...args) => execFileSync("npm", [...args, "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: shop, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

const KINDS = ["mjs", "cjs"];

/** What an application is, but for how it comes to its packages. */
const SERVER = `
const io = new Server();
attachRingway(io, { url: process.argv[2] });
io.use((socket, next) => { socket.data.born ??= process.pid; next(); });
io.on("connection", (socket) => {
  if (!socket.recovered) socket.join("hall");
  socket.on("echo", (value, bytes, answer) => answer(value, bytes, { pid: process.pid, born: socket.data.born, rooms: [...socket.rooms].sort() }));
});
`;

const PROGRAMS = {
  "server.mjs": `import { Server } from "socket.io";\nimport { attachRingway } from "${NAME}/server";\n${SERVER}`,
  "server.cjs": `const { Server } = require("socket.io");\nconst { attachRingway } = require("${NAME}/server");\n${SERVER}`,
};

const SAYS = "\nconst emitter = createEmitter({ url: process.argv[2] });\nemitter.to(\"hall\").emit(\"said\", 17);\nemitter.close().then(() => console.log(\"said\"));\n";

const EMITTERS = {
  mjs: `import { createEmitter } from "${NAME}/emitter";${SAYS}`,
  cjs: `const { createEmitter } = require("${NAME}/emitter");${SAYS}`,
};

before(async () => {
  packed = pack(place);
  mkdirSync(shop);
  // The versions that all tests here run on.
  for (const name of ["package.json", "package-lock.json"]) cpSync(path.join(here, name), path.join(shop, name));
  npm("ci");
  npm("install", packed.file);
  for (const [name, code] of Object.entries(PROGRAMS)) writeFileSync(path.join(shop, name), code);
  mkdirSync(bare);
  unpackInto(path.join(bare, "node_modules"));
  for (const kind of KINDS) writeFileSync(path.join(bare, `emitter.${kind}`), EMITTERS[kind]);
  await nest12.build();
});

after(() => rmSync(place, { recursive: true, force: true }));

test("it has what its entries name, for both kinds and their types, and nothing else than what was built", () => {
  const { exports } = JSON.parse(readFileSync(path.join(source, "package.json"), "utf8"));
  const targets = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry).flatMap(Object.values)));
  assert.equal(targets.length, 13);
  for (const target of targets) assert.ok(packed.names.includes(target.replace("./", "")), target);
  const others = packed.names.filter((name) => !/^dist\/(esm|cjs)\/[a-z/]+\.(js|d\.ts)$/.test(name));
  assert.deepEqual(others.sort(), ["README.md", "dist/cjs/package.json", "package.json"]);
});

test("npm installs it beside socket.io, finds the peers that it wants, and brings nothing along", () => {
  // It fails for a peer that is missing or of another version.
  const tree = JSON.parse(npm("ls", "--all", "--json"));
  assert.ok(tree.dependencies[NAME]);
  const lock = (folder) => Object.keys(JSON.parse(readFileSync(path.join(folder, "package-lock.json"), "utf8")).packages);
  assert.deepEqual(lock(shop).filter((name) => !lock(here).includes(name)), [`node_modules/${NAME}`]);
});

for (const kind of KINDS) {
  test(`./server and ./emitter by ${kind === "mjs" ? "import" : "require"}: events, acknowledgements, and a worker that is killed`, on({ args: ["--shards", "2"] }, async (stage) => {
    const program = [path.join(shop, `server.${kind}`), stage.link];
    const first = await stage.join(program);
    const socket = await stage.connected();
    const { id } = socket;
    const echo = () => new Promise((resolve) => { socket.emit("echo", "hello", Buffer.from([1, 2, 3]), (...values) => resolve(values)); });
    const told = (pid) => ["hello", Buffer.from([1, 2, 3]), { pid, born: first.pid, rooms: [id, "hall"].sort() }];
    assert.deepEqual(await echo(), told(first.pid));
    await stage.kill(first);
    const answer = echo();
    const second = await stage.join(program);
    assert.deepEqual(await answer, told(second.pid));
    const heard = [];
    socket.on("said", (value) => heard.push(value));
    const emitter = stage.launch([path.join(bare, `emitter.${kind}`), stage.link]);
    await until(() => emitter.child.exitCode !== null);
    assert.deepEqual([emitter.child.exitCode, emitter.lines, emitter.errors], [0, ["said"], ""]);
    await until(() => heard.length > 0);
    assert.deepEqual([heard, socket.id, socket.disconnects, first.errors, second.errors], [[17], id, [], "", ""]);
  }));
}

/** What applications in TypeScript say; each line that is meant to be wrong is one that their compiler must refuse. */
const CONSUMERS = {
  server: `
import { Server } from "socket.io";
import { attachRingway, LinkError, UnsupportedError, type Ringway, type RingwayOptions } from "${NAME}/server";
const options: RingwayOptions = { url: "unix:/link.sock", onClose: "migrate", bounds: { drain_ms: 1 } };
const io = new Server<{ say: (text: string) => void }>();
export const ringway: Ringway = attachRingway(io, options);
ringway.on("fault", (error: LinkError) => { const code: string = error.code; return code; });
ringway.on("error", (error: UnsupportedError) => error.message);
ringway.on("retry", (cause, delay_ms) => cause.message + delay_ms.toFixed());
ringway.ready.then(() => ringway.engine.clientsCount.toFixed());
// @ts-expect-error there is no such end
attachRingway(io, { url: "unix:/link.sock", onClose: "nothing" });
// @ts-expect-error it is told an Error
ringway.on("retry", (cause: number) => cause);
`,
  emitter: `
import { createEmitter, type EmitterOptions } from "${NAME}/emitter";
interface Events { said: (number: number) => void }
const options: EmitterOptions = { url: "unix:/link.sock", onError: (error) => error.code };
export const emitter = createEmitter<Events>(options);
emitter.of("/admin").to(["one", "two"]).except("three").emit("said", 17);
// @ts-expect-error it is a number
emitter.emit("said", "17");
`,
  nest: `
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { RingwayAdapter, RingwayHealthIndicator, RingwayModule, RingwayStatus, type LinkState } from "${NAME}/nest";
@Module({ imports: [RingwayModule.forRootAsync({ useFactory: () => ({ url: "unix:/link.sock" }) })] })
class AppModule {}
class OwnAdapter extends RingwayAdapter {}
export async function main(): Promise<LinkState> {
  const app = await NestFactory.create(AppModule);
  app.useWebSocketAdapter(new RingwayAdapter(app, { url: "unix:/link.sock" }));
  app.useWebSocketAdapter(new OwnAdapter(app));
  const { ringway } = app.get(RingwayHealthIndicator).isHealthy();
  return ringway.status === "up" ? ringway.state : app.get(RingwayStatus).now.state;
}
// @ts-expect-error no options are these
RingwayModule.forRoot({ link: "unix:/link.sock" });
`,
};

// Not the compiler's own library, which is the half of it and nobody's package.
const STRICT = {
  target: "ES2022", module: "nodenext", strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, skipDefaultLibCheck: true,
  experimentalDecorators: true, emitDecoratorMetadata: true, noEmit: true, types: ["node"],
};

// As many applications of NestJS are set up: by `moduleResolution: node10` the compiler knows nothing of `exports`.
const COMMONJS = { ...STRICT, module: "commonjs", moduleResolution: "node10", esModuleInterop: true };

/** Strictly compiles applications of these entries. The compiler looks at the declarations of all packages, too. */
async function compile(folder, entries, kinds, compilerOptions) {
  const files = entries.flatMap((entry) => kinds.map((kind) => `${entry}.${kind}`));
  for (const file of files) writeFileSync(path.join(folder, file), CONSUMERS[path.parse(file).name]);
  writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  await nest12.compile(folder);
}

/** Of both kinds, and of those that do not say of which they are. */
async function check(folder, entries) {
  await compile(folder, entries, ["mts", "cts"], STRICT);
  await compile(folder, entries, ["ts"], COMMONJS);
}

test("types of ./server and ./emitter, where no NestJS is installed", () => check(shop, ["server", "emitter"]));

for (const nest of Object.keys(NEST)) {
  test(`types of all entries, with NestJS ${nest}`, () => {
    const folder = path.join(place, `nest${nest}`);
    mkdirSync(folder);
    symlinkSync(NEST[nest].modules, path.join(folder, "node_modules"));
    return check(folder, Object.keys(CONSUMERS));
  });
}
