// The unmodified clients under test, and the transports each must work with.
import { io as io4 } from "socket.io-client";
import { io as io3 } from "socket.io-client-3";
import { event } from "./daemon.mjs";

export const versions = { "4.8": io4, "3.1": io3 };
export const modes = {
  "websocket only": { transports: ["websocket"] },
  "polling only": { transports: ["polling"] },
  "polling then upgrade": { transports: ["polling", "websocket"] },
};

/** A connected client; `open` collects it for closing. */
export async function connect(io, url, options, open = []) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  open.push(socket);
  await Promise.race([
    event(socket, "connect"),
    event(socket, "connect_error").then(([error]) => { throw error; }),
  ]);
  return socket;
}

/** Emits with an acknowledgement and gives its single argument. */
export const ask = (socket, ...args) => new Promise((resolve) => socket.emit(...args, resolve));
