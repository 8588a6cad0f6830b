// A client of the main namespace, on a connection that a scripted peer makes up.

import { once } from "node:events";

import type { Server, Socket } from "socket.io";

import type { PeerLink } from "./peer.js";

/** Connects it, and gives the socket that the server has of it. */
export async function connected(io: Server, link: PeerLink, conn: number): Promise<Socket> {
  link.open(conn);
  const heard = once(io, "connection") as Promise<[Socket]>;
  await link.connect(conn);
  const [socket] = await heard;
  return socket;
}
