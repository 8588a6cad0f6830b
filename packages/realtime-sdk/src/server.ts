// The entry `@ecommerce-enterprise/realtime-sdk/server`: a plain Socket.IO server behind a Ringway daemon.

export { attachRingway, type RingwayBounds, type RingwayOptions, type SocketIoServer } from "./attach.js";
export type { Rpc } from "./binding.js";
export {
  VirtualConnection, VirtualTransport, type CloseReason, type PacketData, type PacketOptions,
} from "./connection.js";
export { RingwayEngine, type ConnectionError, type EngineMiddleware, type EngineOptions } from "./engine.js";
export { LinkError, type LinkErrorCode } from "./link/errors.js";
export { UnsupportedError, type Capability } from "./needs.js";
export { VirtualRequest, type VirtualSocket } from "./request.js";
export { Ringway, type Drained, type OnClose, type RingwayEvents } from "./worker.js";
