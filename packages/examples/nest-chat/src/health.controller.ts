import { RingwayHealthIndicator } from "@ecommerce-enterprise/realtime-sdk/nest";
import { Controller, Get } from "@nestjs/common";
import { HealthCheck, type HealthCheckResult, HealthCheckService } from "@nestjs/terminus";

/** 200 while the daemon is reached, 503 while it is not. */
@Controller("health")
export class HealthController {
  readonly #health: HealthCheckService;
  readonly #ringway: RingwayHealthIndicator;

  constructor(health: HealthCheckService, ringway: RingwayHealthIndicator) {
    this.#health = health;
    this.#ringway = ringway;
  }

  @Get()
  @HealthCheck()
  check(): Promise<HealthCheckResult> {
    return this.#health.check([() => this.#ringway.isHealthy()]);
  }
}
