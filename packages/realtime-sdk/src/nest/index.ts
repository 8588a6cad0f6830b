// The entry `@ecommerce-enterprise/realtime-sdk/nest`: NestJS gateways behind a Ringway daemon.

export { RingwayAdapter } from "./adapter.js";
export { RingwayHealthIndicator, type RingwayHealth } from "./health.js";
export { RingwayModule, type RingwayModuleAsyncOptions, type RingwayModuleOptions } from "./module.js";
export { RingwayStatus, type LinkState, type LinkStatus } from "./status.js";
export type { RingwayBounds, RingwayOptions } from "../attach.js";
