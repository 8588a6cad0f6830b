import { Injectable, type CanActivate, type ExecutionContext } from "@nestjs/common";
import { WsException } from "@nestjs/websockets";
import type { ChatSocket } from "./events.js";

/** Who speaks in a room must be in it. */
@Injectable()
export class MemberGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const ws = context.switchToWs();
    const room = ws.getData<{ room?: unknown } | undefined>()?.room;
    if (typeof room !== "string" || ws.getClient<ChatSocket>().rooms.has(room)) return true;
    throw new WsException(`you are not in ${room}`);
  }
}
