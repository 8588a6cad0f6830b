// A daemon with a link, workers behind it, and clients in front.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { serve, until } from "../it/daemon.mjs";
import { total } from "../it/metrics.mjs";

const application = fileURLToPath(new URL("application.mjs", import.meta.url));

// A test that fails halfway leaves no worker behind: it ends with its standard input, too.
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Stage {
  clients = [];
  workers = [];
  /** Where clients connect, if not to the daemon. */
  url;

  static async open({ args = [], link = "unix", secretFile, withDaemon = true } = {}) {
    const stage = new Stage();
    stage.folder = mkdtempSync(path.join(tmpdir(), "ringway-upstream-"));
    stage.link = link === "unix" ? `unix:${stage.folder}/link.sock` : link;
    stage.secretFile = secretFile;
    stage.args = ["--link", stage.link, ...args];
    if (withDaemon) stage.daemon = await serve(stage.args);
    return stage;
  }

  /** A process, of Node's if nothing else is said; what it prints is kept by lines. */
  launch(args, environment = {}, command = process.execPath) {
    const child = spawn(command, args, { env: { ...process.env, ...environment }, stdio: ["pipe", "pipe", "pipe"] });
    running.add(child);
    child.once("exit", () => running.delete(child));
    const worker = { child, pid: child.pid, lines: [], errors: "" };
    createInterface({ input: child.stdout }).on("line", (line) => worker.lines.push(line));
    child.stderr.on("data", (chunk) => { worker.errors += chunk; });
    /** As `until`, but not when the process ended. */
    worker.until = (condition) => until(() => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the worker ended: ${worker.errors}`);
      return condition();
    });
    this.workers.push(worker);
    return worker;
  }

  /** The same, of an application that joins the daemon; resolves when it has. */
  async join(args, environment) {
    const joined = () => total(this.daemon, "ringway_links_joined_total");
    const before = await joined();
    const worker = this.launch(args, environment);
    await worker.until(async () => (await joined()) > before);
    return worker;
  }

  /** A worker process of application.mjs. */
  async worker(arguments_ = [this.secretFile].filter(Boolean), environment = {}) {
    const worker = await this.join([application, this.link, ...arguments_], { ...this.environment, ...environment });
    const events = [];
    const parsed = () => {
      while (events.length < worker.lines.length) events.push(JSON.parse(worker.lines[events.length]));
      return events;
    };
    return Object.defineProperty(worker, "events", { get: parsed });
  }

  /** Kills a worker as a crash does; resolves when it is gone. */
  async kill(worker) {
    worker.child.kill("SIGKILL");
    if (worker.child.exitCode === null && worker.child.signalCode === null) await once(worker.child, "exit");
  }

  /** A client; it counts what must not happen. */
  client(options = {}, namespace = "") {
    const socket = io(`${this.url ?? this.daemon.url}${namespace}`, { transports: ["websocket"], forceNew: true, ...options });
    socket.disconnects = [];
    socket.told = [];
    socket.on("disconnect", (reason) => socket.disconnects.push(reason));
    socket.on("told", (...values) => socket.told.push(values));
    this.clients.push(socket);
    return socket;
  }

  async connected(options, namespace) {
    const socket = this.client(options, namespace);
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    });
    return socket;
  }

  /** All clients go. */
  dismiss() {
    // Its manager too: others of its namespaces would go on looking for a daemon that is gone.
    for (const socket of this.clients) {
      socket.disconnect();
      socket.io._close();
    }
    this.clients = [];
  }

  async close() {
    this.dismiss();
    for (const worker of this.workers) await this.kill(worker);
    await this.daemon?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs a body; when it fails it says what the processes said. */
export async function telling(stage, body, t) {
  try {
    await body(stage, t);
  } catch (error) {
    const errors = stage.workers.map((worker) => worker.errors).join("\n");
    const said = `\n--- daemon\n${stage.daemon?.log()}\n--- workers\n${errors}`;
    error.message += said;
    // It is what reporters print of an assertion.
    error.stack += said;
    throw error;
  }
}

/** Runs a body on a stage of its own. */
export const on = (options, body) => async (t) => {
  const stage = await Stage.open(options);
  try {
    await telling(stage, body, t);
  } finally {
    await stage.close();
  }
};
