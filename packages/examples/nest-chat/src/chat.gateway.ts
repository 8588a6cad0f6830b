import { UseFilters, UseGuards, UseInterceptors } from "@nestjs/common";
import {
  Ack, ConnectedSocket, MessageBody, type OnGatewayInit, SubscribeMessage, WebSocketGateway, WebSocketServer,
  WsException, type WsResponse,
} from "@nestjs/websockets";
import { delay, map, type Observable, of, range } from "rxjs";
import { type ChatServer, type ChatSocket, type Line, Say } from "./events.js";
import { RefusalFilter } from "./filters.js";
import { MemberGuard } from "./guards.js";
import { StampInterceptor } from "./interceptors.js";
import { RoomPipe, validation } from "./pipes.js";

/** Rooms and what is said in them. */
@WebSocketGateway({ cors: { origin: "*" }, transports: ["polling", "websocket"] })
@UseFilters(RefusalFilter)
@UseInterceptors(StampInterceptor)
export class ChatGateway implements OnGatewayInit<ChatServer> {
  @WebSocketServer()
  readonly server!: ChatServer;

  /** Nobody comes in without a name. */
  afterInit(server: ChatServer): void {
    server.use((socket, next) => {
      const { name } = socket.handshake.auth as { name?: unknown };
      if (typeof name !== "string" || name === "") return next(new Error("say your name in `auth`"));
      // A client that comes from the process before this one has what that one knew of it.
      socket.data.name ??= name;
      next();
    });
  }

  @SubscribeMessage("join")
  async join(@ConnectedSocket() client: ChatSocket, @MessageBody(RoomPipe) room: string): Promise<object> {
    await client.join(room);
    const members = await this.server.in(room).fetchSockets();
    return { ok: true, room, members: members.map(({ data }) => data.name).sort() };
  }

  @SubscribeMessage("leave")
  async leave(@ConnectedSocket() client: ChatSocket, @MessageBody(RoomPipe) room: string): Promise<object> {
    await client.leave(room);
    return { ok: true, rooms: [...client.rooms].filter((name) => name !== client.id) };
  }

  @SubscribeMessage("say")
  @UseGuards(MemberGuard)
  say(@ConnectedSocket() client: ChatSocket, @MessageBody(validation) { room, text }: Say): object {
    const line: Line = { room, from: client.data.name, text };
    this.server.to(room).emit("said", line);
    return { ok: true };
  }

  /** Nothing is answered: it would be old when it came. */
  @SubscribeMessage("typing")
  @UseGuards(MemberGuard)
  typing(@ConnectedSocket() client: ChatSocket, @MessageBody("room", RoomPipe) room: string): void {
    client.to(room).volatile.emit("typing", { room, from: client.data.name });
  }

  /** The acknowledgement of an Observable: a moment later, as a slow store would. */
  @SubscribeMessage("who")
  who(@ConnectedSocket() client: ChatSocket): Observable<object> {
    const rooms = [...client.rooms].filter((name) => name !== client.id).sort();
    return of({ ok: true, name: client.data.name, rooms, recovered: client.recovered }).pipe(delay(5));
  }

  /** A handler that answers by events, one for each value. */
  @SubscribeMessage("count")
  count(@MessageBody() upTo: number): Observable<WsResponse<number>> {
    return range(1, upTo).pipe(map((data) => ({ event: "count", data })));
  }

  /** The acknowledgement in the handler's own hands. */
  @SubscribeMessage("rename")
  rename(@ConnectedSocket() client: ChatSocket, @MessageBody() name: string, @Ack() ack: (was: string, is: string) => void): string {
    const was = client.data.name;
    client.data.name = name;
    ack(was, name);
    return "is not sent, as @Ack() answered";
  }

  /** Several arguments are a list. */
  @SubscribeMessage("add")
  add(@MessageBody() numbers: number[]): number {
    return numbers.reduce((sum, number) => sum + number, 0);
  }

  @SubscribeMessage("fail")
  fail(@MessageBody() how: string): Promise<never> {
    if (how === "kindly") throw new WsException("as you wished");
    return Promise.reject(new Error("what is not a WsException is not told to clients"));
  }

  /** For operators: see ChatController. */
  announce(room: string, text: string): void {
    this.server.to(room).emit("said", { room, from: "operator", text });
  }
}
