// The entry `@ecommerce-enterprise/realtime-sdk/emitter`: a process that speaks to clients and serves none. It needs no socket.io.

export { LinkError, type LinkErrorCode } from "../link/errors.js";
export type { RingwayBounds } from "../attach.js";
export {
  BroadcastOperator, createEmitter, Emitter, type AnyEvents, type EmitterOptions, type EventArguments, type Rooms,
} from "./emitter.js";
export type { EmitterEncoder, EventPacket } from "./packet.js";
