// The order of gateways. NestJS 12 lets the first one that it comes to wait for the adapter, and no other: where the application has said an adapter, which is there at
// once, the first gateway is connected behind all others, whose options are the server's then. Where it has said none all of them wait, and are in order.

/** What NestJS connects gateways with. */
interface SocketModule {
  isAdapterInitialized?: unknown;
  adapterInitPromise?: unknown;
}

/** Lets all gateways wait, as the first one does. To be called while NestJS prepares the adapter for that one; before NestJS 12, where none waits, it does nothing. */
export function keepOrder(app: unknown): void {
  const { socketModule } = (app ?? {}) as { socketModule?: SocketModule | null };
  // It is NestJS's own: of another shape it is left alone, and the order is as NestJS has it.
  if (!socketModule || !("adapterInitPromise" in socketModule) || socketModule.isAdapterInitialized) return;
  Object.defineProperty(socketModule, "isAdapterInitialized", { configurable: true, enumerable: true, get: () => false, set: () => {} });
}
