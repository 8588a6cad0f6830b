import { type BeforeApplicationShutdown, Logger, type OnApplicationShutdown } from "@nestjs/common";
import {
  type OnGatewayConnection, type OnGatewayDisconnect, type OnGatewayInit, SubscribeMessage, WebSocketGateway, WebSocketServer,
} from "@nestjs/websockets";
import type { ChatServer, ChatSocket } from "./events.js";

/** Who comes and goes: a second gateway on the same clients. */
@WebSocketGateway()
export class PresenceGateway
  implements OnGatewayInit, OnGatewayConnection, OnGatewayDisconnect, BeforeApplicationShutdown, OnApplicationShutdown {
  @WebSocketServer()
  readonly server!: ChatServer;
  readonly #logger = new Logger(PresenceGateway.name);
  #isStopping = false;

  afterInit(): void {
    this.#logger.log("ready");
  }

  handleConnection(client: ChatSocket): void {
    this.#logger.log(`${client.data.name} ${client.recovered ? "is still here" : "came"}`);
    // Behind Ringway a client outlives the process that served it: to the others it was never away.
    if (!client.recovered) client.broadcast.emit("came", client.data.name);
  }

  handleDisconnect(client: ChatSocket): void {
    this.#logger.log(`${client.data.name} went`);
    // The process goes, not the client.
    if (!this.#isStopping) this.server.emit("went", client.data.name);
  }

  beforeApplicationShutdown(): void {
    this.#isStopping = true;
  }

  onApplicationShutdown(signal?: string): void {
    this.#logger.log(`stopped by ${signal ?? "itself"}`);
  }

  @SubscribeMessage("ping me")
  ping(): string {
    return "here";
  }
}
