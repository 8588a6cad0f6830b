import {
  ConnectedSocket, MessageBody, type OnGatewayConnection, SubscribeMessage, WebSocketGateway, WebSocketServer,
} from "@nestjs/websockets";
import type { Namespace, Socket } from "socket.io";

/** Headlines, in a namespace of their own on the same connection. */
@WebSocketGateway({ namespace: "news" })
export class NewsGateway implements OnGatewayConnection<Socket> {
  @WebSocketServer()
  readonly namespace!: Namespace;
  #latest = "nothing new";

  handleConnection(client: Socket): void {
    client.emit("headline", this.#latest);
  }

  @SubscribeMessage("publish")
  publish(@ConnectedSocket() client: Socket, @MessageBody() text: string): object {
    this.#latest = text;
    this.namespace.emit("headline", text);
    return { ok: true, namespace: client.nsp.name };
  }
}
