// The module: the adapter's options by injection, and the state of the link for whoever asks.

import { Module, type DynamicModule, type FactoryProvider, type ModuleMetadata } from "@nestjs/common";
import { HttpAdapterHost } from "@nestjs/core";

import type { RingwayOptions } from "../attach.js";
import { RingwayHealthIndicator } from "./health.js";
import { RingwayStatus, statusOf } from "./status.js";

/** The options of `RingwayAdapter`, which may then be made without; what it is given wins. */
export type RingwayModuleOptions = RingwayOptions;

/** The same, made of what other modules know. */
export interface RingwayModuleAsyncOptions extends Pick<ModuleMetadata, "imports"> {
  inject?: FactoryProvider["inject"];
  useFactory: FactoryProvider<RingwayModuleOptions>["useFactory"];
}

const OPTIONS = Symbol("ringway options");

/** Global: a health controller of any module may ask for `RingwayHealthIndicator`. */
@Module({})
export class RingwayModule {
  /** Without options only the state of the link is provided. */
  static forRoot(options?: RingwayModuleOptions): DynamicModule {
    return moduleWith({ provide: OPTIONS, useFactory: () => options });
  }

  static forRootAsync({ imports, inject, useFactory }: RingwayModuleAsyncOptions): DynamicModule {
    const options = { provide: OPTIONS, useFactory, ...(inject === undefined ? {} : { inject }) };
    return moduleWith(options, imports);
  }
}

function moduleWith(options: FactoryProvider<RingwayModuleOptions | undefined>, imports: ModuleMetadata["imports"] = []): DynamicModule {
  return {
    module: RingwayModule,
    global: true,
    imports,
    providers: [options, statusProvider, RingwayHealthIndicator],
    exports: [RingwayStatus, RingwayHealthIndicator],
  };
}

const statusProvider: FactoryProvider<RingwayStatus> = {
  provide: RingwayStatus,
  inject: [HttpAdapterHost, { token: OPTIONS, optional: true }],
  useFactory: ({ httpAdapter }: HttpAdapterHost, options?: RingwayModuleOptions): RingwayStatus => {
    // An application without HTTP has no gateways either.
    const status = httpAdapter ? statusOf(httpAdapter) : new RingwayStatus();
    status.options = options;
    return status;
  },
};
