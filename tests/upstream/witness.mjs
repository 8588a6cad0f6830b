// `node --import` of this: a NestJS application says in one line of what it is made. It is looked for as the application's main file finds it, and
// what is said is of the very objects that run: who made the application, and whose classes its adapter, its server and its rooms are of.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const main = createRequire(process.argv[1]);
const load = (file) => import(pathToFileURL(file).href);
const platform = main.resolve("@nestjs/platform-socket.io");
const ofPlatform = createRequire(platform);
const ofSocketIo = createRequire(ofPlatform.resolve("socket.io"));

const { NestFactory } = await load(main.resolve("@nestjs/core"));
const { IoAdapter } = await load(platform);
const { Server } = ofPlatform("socket.io");
const { Adapter } = ofSocketIo("socket.io-adapter");

let isCoreOurs = false;
const create = NestFactory.create;
NestFactory.create = function witnessed(...values) {
  isCoreOurs = true;
  return create.apply(this, values);
};

const createIOServer = IoAdapter.prototype.createIOServer;
IoAdapter.prototype.createIOServer = function witnessed(...values) {
  const io = createIOServer.apply(this, values);
  // What extends IoAdapter goes on with the server.
  setImmediate(() => tell(this, io));
  return io;
};

function tell(adapter, io) {
  const rooms = io.of("/").adapter;
  const witness = {
    core: isCoreOurs && main("@nestjs/core/package.json").version,
    platform,
    adapter: adapter.constructor.name,
    isIoAdapter: adapter instanceof IoAdapter,
    isServer: io instanceof Server,
    rooms: rooms.constructor.name,
    isRooms: rooms instanceof Adapter,
  };
  console.log(JSON.stringify({ witness }));
}
