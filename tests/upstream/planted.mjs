// What a link that doubles would do, on purpose: with DOUBLES of the application set to one of these, each event or message is there twice. The tests that say
// "once" must fail then. numbered.test.mjs does so with small runs of its own; for the whole of another one by hand:
//
//     DOUBLES=heard node --test cluster.test.mjs
import { Socket } from "socket.io";

/** What may be doubled. */
export const DOUBLES = ["heard", "said", "broadcast"];

const EVENTS = new Set([2, 5]);

export function plant(io, what) {
  if (what === "heard") {
    const receive = Socket.prototype._onpacket;
    Socket.prototype._onpacket = function twice(packet) {
      // Its handler takes what it was given apart.
      const again = { ...packet, data: Array.isArray(packet.data) ? [...packet.data] : packet.data };
      receive.call(this, packet);
      if (EVENTS.has(packet.type)) receive.call(this, again);
    };
  } else if (what === "said") {
    const say = Socket.prototype.packet;
    Socket.prototype.packet = function twice(packet, options) {
      say.call(this, { ...packet }, options);
      say.call(this, packet, options);
    };
  } else if (what === "broadcast") {
    const { adapter } = io.of("/");
    const broadcast = adapter.broadcast.bind(adapter);
    adapter.broadcast = (packet, options) => { broadcast({ ...packet }, options); broadcast(packet, options); };
  } else {
    throw new Error(`DOUBLES is one of ${DOUBLES}, and not ${what}`);
  }
}
