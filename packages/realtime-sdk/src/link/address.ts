// Where the daemon listens for workers: `unix:PATH` or `tcp://host:port`.

import type { NetConnectOpts } from "node:net";

/** An address that was understood. */
export interface LinkAddress {
  readonly connect: NetConnectOpts;
  /** Whether both sides prove that they know the secret: over a Unix socket the file's mode and the peer's user do. */
  readonly needsProof: boolean;
}

/** The address that `url` is; throws a `TypeError` that says what it should look like. */
export function parseAddress(url: string): LinkAddress {
  if (url.startsWith("unix:")) {
    const path = url.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (path !== "") return { connect: { path }, needsProof: false };
  } else if (url.startsWith("tcp://") && URL.canParse(url)) {
    const { hostname, port } = new URL(url);
    // An IPv6 address stands in brackets in a URL, and without them in a socket address.
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    if (host !== "" && port !== "") return { connect: { host, port: Number(port), noDelay: true }, needsProof: true };
  }
  throw new TypeError(`the link's url is unix:PATH or tcp://host:port, not ${JSON.stringify(url)}`);
}
