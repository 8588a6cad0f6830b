// Who hears of broadcasts: `onAnyOutgoing` of a socket, `packetCreate` of its connection. They are told member by member, which would be the whole
// cost of a broadcast; so it is known whether there is anybody.

import { VirtualConnection } from "./connection.js";
import type { SocketInternals } from "./internals.js";

/** The methods that add such a listener, of all sockets of a class. */
type Listening = Partial<Record<"onAnyOutgoing" | "prependAnyOutgoing", (this: SocketInternals, ...args: never[]) => unknown>>;

const hooked = new WeakSet<object>();

/** Makes sockets of this one's class say when they are listened to, from now on; and says it of this one. */
export function hookSocketClass(socket: SocketInternals): void {
  if (socket._anyOutgoingListeners?.length) tell(socket);
  const methods = Object.getPrototypeOf(socket) as Listening;
  if (hooked.has(methods)) return;
  hooked.add(methods);
  for (const name of ["onAnyOutgoing", "prependAnyOutgoing"] as const) {
    const add = methods[name];
    if (add === undefined) continue;
    methods[name] = function hear(this: SocketInternals, ...args: never[]): unknown {
      tell(this);
      return add.apply(this, args);
    };
  }
}

function tell(socket: SocketInternals): void {
  // Servers of their own sockets have the same class.
  if (socket.conn instanceof VirtualConnection) socket.conn.overhear();
}
