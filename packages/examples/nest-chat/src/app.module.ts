import { RingwayModule } from "@ecommerce-enterprise/realtime-sdk/nest";
import { Module } from "@nestjs/common";
import { TerminusModule } from "@nestjs/terminus";
import { ChatController } from "./chat.controller.js";
import { ChatGateway } from "./chat.gateway.js";
import { HealthController } from "./health.controller.js";
import { NewsGateway } from "./news.gateway.js";
import { PresenceGateway } from "./presence.gateway.js";
import { TeamGateway } from "./team.gateway.js";

@Module({
  // For /health; on sockets of its own the application's link is "unused".
  imports: [RingwayModule.forRoot(), TerminusModule.forRoot({ logger: false })],
  controllers: [ChatController, HealthController],
  providers: [ChatGateway, PresenceGateway, NewsGateway, TeamGateway],
})
export class AppModule {}
