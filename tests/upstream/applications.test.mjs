// Namespaces of several applications on one connection of a client: each is served by workers of its own, and what becomes of one is nothing to the other.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Manager } from "socket.io-client";
import { attachRingway } from "../../packages/realtime-sdk/dist/esm/server.js";
import { createEmitter } from "../../packages/realtime-sdk/dist/esm/emitter/index.js";
import { Server } from "socket.io";
import { until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";
import { frame, Peer, says, TYPES } from "./liar.mjs";
import { on } from "./stage.mjs";

const shop = fileURLToPath(new URL("shop.mjs", import.meta.url));
const SET = ["--set", 'link.applications={shop=["/orders","/tenant-*"]}', "--set", "limits.connection_events_per_second=0", "--set", "limits.address_events_per_second=0", "--set", "limits.address_connections_per_second=0"];

const worker = (stage, app, namespace, environment) => stage.join([shop, stage.link, app, namespace], environment);

/** Sockets of several namespaces over one connection. */
function client(stage, ...namespaces) {
  const manager = new Manager(stage.daemon.url, { transports: ["websocket"], reconnectionDelay: 50 });
  manager.closes = [];
  manager.on("close", (reason) => manager.closes.push(reason));
  const sockets = namespaces.map((namespace) => {
    const socket = manager.socket(namespace);
    socket.told = [];
    socket.on("told", (...values) => socket.told.push(values));
    // `dismiss` ends them.
    stage.clients.push(socket);
    return socket;
  });
  return { manager, sockets };
}

const connected = (...sockets) => until(() => sockets.every((socket) => socket.connected));
const who = async (socket) => (await socket.timeout(5_000).emitWithAck("who")).split(" ")[0];

describe("several applications", () => {
  test("share a client's connection, and serve each its own namespaces", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    await worker(stage, "shop", "/orders");
    const { manager, sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    assert.deepEqual([await who(main), await who(orders)], ["default", "shop"]);
    const other = client(stage, "/orders").sockets[0];
    await connected(other);
    orders.emit("everybody", 7);
    await until(() => other.told.length === 1 && orders.told.length === 1);
    assert.deepEqual(other.told[0][1], 7);
    main.emit("everybody", 8);
    await until(() => main.told.length === 1);
    assert.equal(orders.told.length + other.told.length, 2);
    assert.deepEqual(manager.closes, []);
  }));

  test("a namespace that is reserved waits for its application; one that nobody has is the main one's to refuse", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    const { sockets: [main, tenant, nobody] } = client(stage, "/", "/tenant-7", "/nobody");
    const refusal = new Promise((resolve) => { nobody.once("connect_error", resolve); });
    await connected(main);
    assert.equal((await refusal).message, "Invalid namespace");
    assert.equal(tenant.connected, false);
    await worker(stage, "shop", "/tenant-7");
    await connected(tenant);
    assert.equal(await who(tenant), "shop");
  }));

  test("dynamic namespaces of an application that are reserved are its own", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "^/any-\\d+$");
    await worker(stage, "shop", "^/tenant-\\d+$");
    const { sockets: [any, tenant, another] } = client(stage, "/any-1", "/tenant-1", "/tenant-2");
    await connected(any, tenant, another);
    assert.deepEqual([await who(any), await who(tenant), await who(another)], ["default", "shop", "shop"]);
    tenant.emit("everybody", 1);
    await until(() => tenant.told.length === 1);
    assert.deepEqual([any.told, another.told], [[], []]);
    const refusal = new Promise((resolve) => { client(stage, "/tenant-x").sockets[0].once("connect_error", resolve); });
    assert.equal((await refusal).message, "Invalid namespace");
  }));

  test("a worker's death is its own application's affair", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    const first = await worker(stage, "shop", "/orders");
    const { manager, sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    const { id } = orders;
    await stage.kill(first);
    await until(async () => await total(stage.daemon, "ringway_upstream_clients_waiting") === 1);
    assert.equal(await who(main), "default");
    const answer = orders.timeout(10_000).emitWithAck("who");
    await worker(stage, "shop", "/orders");
    assert.equal((await answer).split(" ")[0], "shop");
    assert.equal(orders.id, id);
    assert.deepEqual(manager.closes, []);
  }));

  test("one that leaves hands its clients to its own", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    const first = await worker(stage, "shop", "/orders", { ON_CLOSE: "migrate" });
    const { manager, sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    const before = await orders.emitWithAck("who");
    await worker(stage, "shop", "/orders");
    first.child.kill("SIGTERM");
    await once(first.child, "exit");
    assert.notEqual(await orders.timeout(5_000).emitWithAck("who"), before);
    // Shards say their counts now and then.
    await until(async () => await total(stage.daemon, "ringway_upstream_clients_migrated_total") === 1);
    assert.equal(await who(main), "default");
    assert.deepEqual(manager.closes, []);
  }));

  test("packets of several parts do not come between each other", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    await worker(stage, "shop", "/orders");
    const { manager, sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    let parts = 0;
    for (const socket of [main, orders]) {
      socket.on("parts", (_, ...buffers) => { parts += Number(buffers.every((bytes, at) => bytes.length === 1000 && bytes[0] === at + 1)); });
      socket.emit("binary", 300);
    }
    await until(() => parts === 600);
    assert.deepEqual(manager.closes, []);
  }));

  test("servers of one application know each other, and not those of another one", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    const shops = [await worker(stage, "shop", "/orders"), await worker(stage, "shop", "/orders")];
    const { sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    // Each has the main namespace's server side, which no client of theirs reaches.
    await until(async () => (await orders.emitWithAck("ring")).length === 1);
    const [other] = await orders.emitWithAck("ring");
    assert.ok(shops.some(({ pid }) => other === `shop ${pid}`) && other !== await orders.emitWithAck("who"));
    assert.deepEqual(await main.emitWithAck("ring"), []);
  }));

  test("an emitter is of one of them", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    await worker(stage, "shop", "/orders");
    const { sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    const errors = [];
    const [one, two] = [undefined, "shop"].map((app) => createEmitter({ url: stage.link, onError: (error) => errors.push(error.code), ...(app === undefined ? {} : { app }) }));
    try {
      await Promise.all([one.ready, two.ready]);
      one.of("/orders").emit("told", "nobody");
      one.emit("told", "main");
      two.emit("told", "nobody");
      two.of("/orders").emit("told", "orders");
      await until(() => main.told.length > 0 && orders.told.length > 0);
      assert.deepEqual([main.told, orders.told], [[["main"]], [["orders"]]]);
      assert.deepEqual(errors, []);
    } finally {
      await Promise.all([one.close(), two.close()]);
    }
  }));

  test("a namespace that is another one's is not served, and its process is in its own", on({ args: SET }, async (stage) => {
    const main = await worker(stage, "default", "/orders");
    await worker(stage, "shop", "/orders");
    await until(async () => await total(stage.daemon, "ringway_upstream_namespaces_taken_total") > 0);
    const { manager, sockets: [root, orders] } = client(stage, "/", "/orders");
    await connected(root, orders);
    assert.equal(await who(orders), "shop");
    assert.deepEqual(manager.closes, []);
    assert.equal(await total(stage.daemon, "ringway_links_refused_total"), 0);
    assert.equal(main.child.exitCode, null);
    await until(() => /RW-2607.*\/orders/.test(stage.daemon.log()));
  }));

  test("a dynamic namespace that a client has made of another one's name goes to that one with its maker", on({ args: SET }, async (stage) => {
    const main = await worker(stage, "default", "^/any-\\d+$");
    const { manager, sockets: [any] } = client(stage, "/any-1");
    await connected(any);
    await worker(stage, "shop", "/any-1");
    await until(async () => await total(stage.daemon, "ringway_upstream_namespaces_taken_total") > 0);
    assert.equal(await who(any), "default");
    assert.equal(await total(stage.daemon, "ringway_links_refused_total"), 0);
    await stage.kill(main);
    await until(() => manager.closes.length === 1);
    await connected(any);
    assert.equal(await who(any), "shop");
  }));

  test("a peer that speaks for another application is refused, or its client comes again, and nobody else is touched", on({ args: [...SET, "--set", "link.grace_ms=100"] }, async (stage) => {
    const workers = [await worker(stage, "default", "/"), await worker(stage, "shop", "/orders")];
    const { manager, sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    const names = (peer) => peer.say(says.nsp(0, "/"), says.nsp(1, "/orders"));
    // In `/` of an application beside the main one there are no clients, and a packet is of the namespace that it says.
    const lies = {
      shop: {
        MEMBER: (conn) => says.member(conn, "own", 0),
        JOIN: (conn) => says.join(conn, "room", 0),
        LEAVE: (conn) => says.leave(conn, "room", 0),
        LEAVE_ALL: (conn) => says.leaveAll(conn, 0),
        SET_DATA: (conn) => says.setData(conn, 0),
        "a packet in SEND": (conn) => says.send(conn, '2["told","x"]'),
        "a packet in BCAST": () => says.broadcast('2["told","x"]', 1),
      },
      default: {
        "a packet in SEND": (conn) => says.send(conn, '2/orders,["told","x"]'),
        "a packet in BCAST": () => says.broadcast('2/orders,["told","x"]', 0),
      },
    };
    let liars = 0;
    for (const [app, all] of Object.entries(lies)) {
      for (const [what, said] of Object.entries(all)) {
        // Each of a name of its own: who fails again and again is kept from clients.
        const liar = await Peer.join(stage, { app, name: what, instance: what });
        liars += 1;
        if (app === "shop") names(liar);
        else liar.say(says.nsp(0, "/"));
        const own = await liar.letIn(`${app} ${what}`, app === "shop" ? { name: "/orders", nsp: 1 } : {});
        liar.say(said(own.conn));
        assert.deepEqual(await liar.ended(), ["not-allowed"], `${app}: ${what}`);
        assert.equal(await who(own.socket), app, "its client has a worker that does not lie");
        assert.deepEqual(own.socket.disconnects, []);
        own.socket.disconnect();
      }
    }
    const refused = () => total(stage.daemon, "ringway_links_refused_total");
    await until(async () => await refused() === liars);
    // A namespace that it says is its own and is not is no lie, as it cannot know; the client that it says it has there comes again.
    const mistaken = await Peer.join(stage, { name: "mistaken" });
    names(mistaken);
    const own = await mistaken.letIn("mistaken");
    mistaken.say(says.member(own.conn, "mistaken", 1));
    await until(() => own.socket.disconnects.length === 1);
    await until(() => /RW-2607.*\/orders/.test(stage.daemon.log()));
    mistaken.say(says.broadcast('2/orders,["told","nobody"]', 1), frame(TYPES.PING, Buffer.alloc(8)));
    await until(() => mistaken.hasHeard(TYPES.PONG));
    mistaken.socket.destroy();
    assert.deepEqual([await who(main), await who(orders), manager.closes], ["default", "shop", []]);
    assert.deepEqual([main.told, orders.told], [[], []]);
    await until(async () => await total(stage.daemon, "ringway_upstream_workers_lost_total") === liars + 1);
    // A link that a lie had cut would have come back, and the client with it.
    const counts = await Promise.all(["links_refused", "links_joined", "links_resumed", "upstream_workers_lost"].map((name) => total(stage.daemon, `ringway_${name}_total`)));
    assert.deepEqual(counts, [liars, liars + 3, 0, liars + 1]);
    for (const [at, { id }] of [main, orders].entries()) {
      const came = workers[at].lines.map((line) => JSON.parse(line)).filter(({ connection }) => connection === id);
      assert.deepEqual(came, [{ connection: id, recovered: false }]);
    }
  }));

  test("a question about requests is refused", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    const io = new Server({ allowRequest: (_, done) => done(null, true) });
    const ringway = attachRingway(io, { url: stage.link, app: "shop", resolveFrom: fileURLToPath(import.meta.url) });
    const [error] = await once(ringway, "error");
    assert.equal(error.code, "RINGWAY_UNSUPPORTED");
    await io.close();
    // What needs no question is served all the same.
    const quiet = new Server({ cors: { origin: (_, done) => done(null, true) } });
    quiet.of("/orders").on("connection", (socket) => socket.on("who", (answer) => answer("shop")));
    const joined = attachRingway(quiet, { url: stage.link, app: "shop", resolveFrom: fileURLToPath(import.meta.url) });
    await joined.ready;
    const { sockets: [orders] } = client(stage, "/orders");
    await connected(orders);
    assert.equal(await who(orders), "shop");
    await quiet.close();
  }));

  test("one that has refused a client parts from it alone", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    const held = await worker(stage, "shop", "/orders", { CONNECT_TIMEOUT: "400" });
    const { manager, sockets: [main, tenant] } = client(stage, "/", "/tenant-7");
    const refusal = new Promise((resolve) => { tenant.once("connect_error", resolve); });
    await connected(main);
    assert.equal((await refusal).message, "Invalid namespace");
    // The application's patience is over: it ends what it has with the client, which it hears of anew.
    await until(() => held.lines.some((line) => line.includes("closed")));
    assert.equal(await who(main), "default");
    const orders = manager.socket("/orders");
    stage.clients.push(orders);
    await connected(orders);
    assert.equal(await who(orders), "shop");
    assert.deepEqual(manager.closes, []);
  }));

  test("a client that leaves is gone for each of them", on({ args: SET }, async (stage) => {
    await worker(stage, "default", "/");
    await worker(stage, "shop", "/orders");
    const { manager, sockets: [main, orders] } = client(stage, "/", "/orders");
    await connected(main, orders);
    main.emit("close");
    // The server has closed its own, which stays so; the other one's application has said nothing, and its client comes back.
    await until(() => manager.closes.length === 1);
    assert.equal(await total(stage.daemon, "ringway_upstream_clients_lost_total"), 0);
    await connected(orders);
    assert.equal(main.connected, false);
    main.connect();
    await connected(main);
    assert.deepEqual([await who(main), await who(orders)], ["default", "shop"]);
  }));
});
