// The smallest parser there can be: a packet is one text, its JSON. Binary does not come through.
import { EventEmitter } from "node:events";

export class Encoder {
  encode(packet) {
    return [JSON.stringify(packet)];
  }
}

export class Decoder extends EventEmitter {
  add(text) {
    const packet = JSON.parse(text);
    if (!Number.isInteger(packet.type) || typeof packet.nsp !== "string") throw new Error("no packet");
    this.emit("decoded", packet);
  }

  destroy() {}
}
