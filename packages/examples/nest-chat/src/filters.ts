import { Catch, type ArgumentsHost } from "@nestjs/common";
import { BaseWsExceptionFilter, WsException } from "@nestjs/websockets";
import type { ChatSocket, Refusal } from "./events.js";

/** Says why: by the acknowledgement where the client waits for one, by an event where it does not. */
@Catch(WsException)
export class RefusalFilter extends BaseWsExceptionFilter<WsException> {
  override catch(exception: WsException, host: ArgumentsHost): void {
    const ws = host.switchToWs();
    const reason = exception.getError();
    const refusal: Refusal = { ok: false, event: ws.getPattern(), reason: typeof reason === "string" ? reason : "refused" };
    const ack = host.getArgs<unknown[]>().find((argument) => typeof argument === "function");
    if (ack) (ack as (refusal: Refusal) => void)(refusal);
    else ws.getClient<ChatSocket>().emit("refused", refusal);
  }
}
