// Events are types first: what the clients of this chat say and hear.

import { IsString, Length } from "class-validator";
import type { Server, Socket } from "socket.io";

/** A line of a room. */
export interface Line {
  readonly room: string;
  readonly from: string;
  readonly text: string;
}

export interface ServerEvents {
  said: (line: Line) => void;
  typing: (who: { room: string; from: string }) => void;
  came: (name: string) => void;
  went: (name: string) => void;
  count: (number: number) => void;
  refused: (refusal: Refusal) => void;
  headline: (text: string) => void;
  told: (told: { team: string; text: string }) => void;
}

/** Why something was not done; it is the acknowledgement, too, where one was asked for. */
export interface Refusal {
  readonly ok: false;
  readonly event: string;
  readonly reason: string;
}

/** What a socket is known by: it outlives the process when that stops, not when it crashes. */
export interface ClientData {
  name: string;
}

type ClientEvents = Record<string, (...values: unknown[]) => void>;
export type ChatServer = Server<ClientEvents, ServerEvents, Record<string, never>, ClientData>;
export type ChatSocket = Socket<ClientEvents, ServerEvents, Record<string, never>, ClientData>;

/** A message for a room. */
export class Say {
  @IsString()
  @Length(1, 40)
  readonly room!: string;

  @IsString()
  @Length(1, 500)
  readonly text!: string;
}
