// Starts the real daemon on ports of its own and stops exactly that process.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const binary = process.env.RINGWAY_TEST_BINARY ?? path.join(root, "target/release/ringway");

// Below the ports that the kernel chooses by itself: whoever asks whether the daemon is there may get such a port for its own end, and connect to itself.
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = net.createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(() => true, () => false);
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

// Resolves once `ready` has answered 200; rejects with the log when the process ends first.
async function untilReady(daemon) {
  for (;;) {
    if (daemon.process.exitCode !== null) throw new Error(`the daemon ended: ${daemon.log()}`);
    const answer = await fetch(`${daemon.admin}/ready`).catch(() => null);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// A test that fails halfway leaves no daemon behind.
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Starts `ringway serve` with `args`; gives url, admin, pid, log(), stop() and again(). */
export async function serve(args = [], environment = {}, ports = {}) {
  const { port = await freePort(), adminPort = await freePort(), command = [binary] } = ports;
  // Clients that a test dropped without a goodbye need not be waited for.
  const defaults = ["--listen", `127.0.0.1:${port}`, "--admin", `127.0.0.1:${adminPort}`, "--set", "drain.deadline_ms=1000"];
  const child = spawn(command[0], [...command.slice(1), "serve", ...defaults, ...args], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  let text = "";
  child.stdout.on("data", (chunk) => { text += chunk; });
  child.stderr.on("data", (chunk) => { text += chunk; });
  const daemon = {
    process: child,
    port,
    url: `http://127.0.0.1:${port}`,
    admin: `http://127.0.0.1:${adminPort}`,
    log: () => text,
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await once(child, "exit");
      }
      return child.exitCode;
    },
    /** Stops all its threads where they are; resolves when the last one stands. */
    async freeze() {
      child.kill("SIGSTOP");
      const tasks = `/proc/${child.pid}/task`;
      await until(() => readdirSync(tasks).every((task) => /\) T /.test(readFileSync(`${tasks}/${task}/stat`, "utf8"))));
    },
    thaw: () => child.kill("SIGCONT"),
    /** The same daemon once more, on the same ports. */
    again: () => serve(args, environment, { port, adminPort, command }),
  };
  await untilReady(daemon);
  return daemon;
}

/** Starts the daemon with --dev and stops it when the test file's `after` runs. */
export const serveDev = (...args) => serve(["--dev", ...args]);

/** One event of an emitter as a promise of its arguments. */
export const event = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

/** Polls a condition between turns of the event loop, and fails when it does not come true: a loop would outlive the test runner's timeout. */
export async function until(condition, withinMs = 45_000) {
  const start = performance.now();
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() - start > withinMs) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
