// One behaviour on two sides: stock socket.io on a port of its own, and the same application behind the daemon. What it comes to must be equal.
//
// The application runs in the test's own process, so that a behaviour sees both ends of each connection.
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";
import { ClusterAdapterWithHeartbeat } from "socket.io-adapter";
import { io as connect } from "socket.io-client";
import { serve, until } from "../it/daemon.mjs";

/** A daemon's defaults are for strangers: here all clients have one address, and rates are another test. */
const UNLIMITED = ["connection_events", "address_events", "address_connections"].flatMap((what) => ["--set", `limits.${what}_per_second=0`]);

/** socket.io's documented cluster: an adapter that publishes on a bus, which here is this process. */
function clusterAdapter() {
  const members = new Set();
  return class extends ClusterAdapterWithHeartbeat {
    constructor(nsp) {
      super(nsp, {});
      members.add(this);
    }

    doPublish(message) {
      const others = [...members].filter((other) => other !== this && other.nsp.name === this.nsp.name);
      setImmediate(() => others.forEach((other) => other.onMessage(message)));
      return Promise.resolve("");
    }

    doPublishResponse(requester, response) {
      const other = [...members].find(({ uid }) => uid === requester);
      setImmediate(() => other?.onResponse(response));
      return Promise.resolve();
    }

    close() {
      super.close();
      members.delete(this);
    }
  };
}

/** Servers and clients of one behaviour. */
export class Side {
  servers = [];
  clients = [];
  marks = 0;

  /** With UPSTREAM_PARSER=msgpack all of it is done by that parser. `at` says where the daemon is; without it the servers listen themselves. */
  constructor(at, options = {}) {
    this.at = at;
    this.options = { ...(process.env.UPSTREAM_PARSER === "msgpack" ? { parser: msgpack } : {}), ...options };
  }

  get isStock() {
    return this.at === undefined;
  }

  /** The first server. */
  get io() {
    return this.servers[0];
  }

  /** One more server; `ringway` has what attachRingway gave. `prepare` sees it before it serves; `adapter` is for stock, the rest for attachRingway. */
  async serve(options = {}, { adapter, prepare = () => {}, ...attach } = {}) {
    const io = new Server({ ...this.options, ...options });
    this.servers.push(io);
    if (this.isStock) {
      if (adapter) io.adapter(adapter);
      const http = createServer();
      io.attach(http);
      prepare(io);
      await new Promise((resolve) => { http.listen(0, "127.0.0.1", resolve); });
      io.url = `http://127.0.0.1:${http.address().port}`;
    } else {
      io.ringway = attachRingway(io, { url: this.at.link, onClose: "close", resolveFrom: fileURLToPath(import.meta.url), ...attach });
      // It is thrown where nobody listens; here `ready` says it.
      io.ringway.on("error", () => {});
      prepare(io);
      io.url = this.at.url;
      await io.ringway.ready;
    }
    return io;
  }

  /** Servers that know each other, and a client of each: `[{ io, client, socket }, …]`. */
  async peers(count, options = {}) {
    const adapter = clusterAdapter();
    const servers = [];
    while (servers.length < count) servers.push(await this.serve({}, { adapter }));
    await this.acquaint();
    const meetings = [];
    // The daemon gives a client to the server that has fewest; which of them has the first one is its affair.
    for (const io of servers) meetings.push(await this.meet({ io, ...options }));
    meetings.sort((one, other) => servers.indexOf(one.io) - servers.indexOf(other.io));
    assert.deepEqual(meetings.map(({ io }) => servers.indexOf(io)), [...servers.keys()], "each server has one client");
    return meetings;
  }

  pair(options) {
    return this.peers(2, options);
  }

  /** Resolves when each server knows all the others that have the namespace. */
  async acquaint(namespace = "/") {
    for (const io of this.servers) await until(async () => await io.of(namespace).adapter.serverCount() === this.servers.length);
  }

  /** A client that may connect or not; `heard` has the events that come, without marks. */
  client({ io = this.io, namespace = "", ...options } = {}) {
    // Both ends have one.
    const parser = this.options.parser === undefined ? {} : { parser: this.options.parser };
    const client = connect(`${io.url}${namespace}`, { transports: ["websocket"], forceNew: true, reconnection: false, ...parser, ...options });
    return this.watch(client);
  }

  watch(client) {
    client.heard = [];
    client.disconnects = [];
    client.onAny((...values) => { if (values[0] !== "mark") client.heard.push(values); });
    client.on("disconnect", (reason) => { if (!this.isOver) client.disconnects.push(reason); });
    this.clients.push(client);
    return client;
  }

  /** A client that connects, and the socket that its server has of it. */
  async meet(options = {}) {
    return this.met(this.client(options), options.namespace);
  }

  /** The other end of `client`, once it has one. */
  async met(client, namespace = "/") {
    await new Promise((resolve, reject) => {
      client.once("connect", resolve);
      client.once("connect_error", reject);
    });
    const name = namespace.split("?")[0];
    const io = this.servers.find((server) => server._nsps.get(name)?.sockets.has(client.id));
    return { client, io, socket: io._nsps.get(name).sockets.get(client.id) };
  }

  /** Resolves when each connected client has all that `from` said before. */
  async mark(from = this.io, clients = this.clients.filter(({ connected, nsp }) => connected && nsp === "/")) {
    const number = (this.marks += 1);
    const marked = (client) => new Promise((resolve) => {
      client.on("mark", function hear(heard) { if (heard === number) { client.off("mark", hear); resolve(); } });
    });
    const marks = clients.map(marked);
    from.emit("mark", number);
    await Promise.all(marks);
  }

  async close() {
    this.isOver = true;
    for (const client of this.clients) {
      client.disconnect();
      client.io._close();
    }
    for (const io of this.servers) await io.close();
  }
}

/**
 * A table of behaviours: `name: async (side) => outcome`. Each runs with stock servers and behind the daemon; the outcomes must be equal, and say something.
 * `options` are the servers', `daemon` the daemon's arguments for the same; `serves` whether there is a server when a behaviour begins.
 */
export function alike(title, { options = {}, daemon = [], serves = true }, behaviours) {
  describe(title, () => {
    const at = withDaemon(daemon);
    for (const [name, behaviour] of Object.entries(behaviours)) {
      test(name, { timeout: 30_000 }, async () => {
        const stock = await outcome(undefined, { options, serves }, behaviour);
        assert.notEqual(stock, undefined, "a behaviour comes to something");
        if (process.env.UPSTREAM_TELL) console.error(name, "=>", stock);
        assert.deepEqual(await outcome(at, { options, serves }, behaviour), stock);
      });
    }
  });
}

/** A daemon while the tests of a `describe` run: its url and link, once they run. */
export function withDaemon(args = []) {
  const at = {};
  before(async () => {
    at.folder = mkdtempSync(path.join(tmpdir(), "ringway-both-"));
    at.link = `unix:${at.folder}/link.sock`;
    at.daemon = await serve(["--shards", "2", "--link", at.link, ...UNLIMITED, ...args]);
    at.url = at.daemon.url;
  });
  after(async () => {
    await at.daemon?.stop();
    rmSync(at.folder, { recursive: true, force: true });
  });
  return at;
}

/** What a behaviour comes to on one side. */
export async function outcome(at, { options = {}, serves = true }, behaviour) {
  const side = new Side(at, options);
  try {
    if (serves) await side.serve();
    return await behaviour(side);
  } catch (error) {
    error.message += ` (${side.isStock ? "stock" : `behind the daemon:\n${at.daemon.log()}`})`;
    throw error;
  } finally {
    await side.close();
  }
}

/** What a call throws, as far as an application would look at it. */
export function thrown(call) {
  try {
    call();
  } catch (error) {
    return [error.name, error.message];
  }
  return "nothing";
}

/** The same of a promise. */
export const rejected = (promise) => promise.then(() => "nothing", (error) => [error.name, error.message]);
