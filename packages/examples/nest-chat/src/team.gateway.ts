import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import type { Socket } from "socket.io";

/** A namespace for each team, made when its first client comes. */
@WebSocketGateway({ namespace: /^\/team-[a-z]+$/ })
export class TeamGateway {
  @SubscribeMessage("tell")
  tell(@ConnectedSocket() client: Socket, @MessageBody() text: string): object {
    client.nsp.emit("told", { team: client.nsp.name, text });
    return { ok: true, team: client.nsp.name };
  }
}
