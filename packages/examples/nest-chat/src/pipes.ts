import { Injectable, ValidationPipe, type PipeTransform } from "@nestjs/common";
import { WsException } from "@nestjs/websockets";

/** A room's name: lower case, as people type it differently. */
@Injectable()
export class RoomPipe implements PipeTransform<unknown, string> {
  transform(value: unknown): string {
    const name = typeof value === "string" ? value.trim().toLowerCase() : "";
    if (!/^[a-z0-9-]{1,40}$/.test(name)) throw new WsException("a room's name has letters, digits and dashes");
    return name;
  }
}

/** class-validator's findings in words. */
export const validation = new ValidationPipe({
  transform: true,
  whitelist: true,
  exceptionFactory: (errors) => new WsException(errors.flatMap(({ constraints }) => Object.values(constraints ?? {})).join("; ")),
});
