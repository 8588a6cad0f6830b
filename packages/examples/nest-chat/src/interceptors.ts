import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from "@nestjs/common";
import { map, type Observable } from "rxjs";

/** Adds to each acknowledgement that is an object which process gave it. */
@Injectable()
export class StampInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler<unknown>): Observable<unknown> {
    return next.handle().pipe(map((answer) => (isAnswer(answer) ? { ...answer, pid: process.pid } : answer)));
  }
}

function isAnswer(value: unknown): value is object {
  return typeof value === "object" && value !== null && "ok" in value;
}
