import { Body, Controller, Get, Header, Param, Post } from "@nestjs/common";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { ChatGateway } from "./chat.gateway.js";

const page = readFileSync(new URL("../public/index.html", import.meta.url), "utf8");
const socketIo = createRequire(import.meta.url).resolve("socket.io/package.json");
const client = readFileSync(new URL("client-dist/socket.io.js", pathToFileURL(socketIo)), "utf8");

/** The page, and what other systems of the house say to a room. */
@Controller()
export class ChatController {
  readonly #chat: ChatGateway;

  constructor(chat: ChatGateway) {
    this.#chat = chat;
  }

  @Get()
  @Header("content-type", "text/html; charset=utf-8")
  page(): string {
    return page;
  }

  /** Socket.IO's client for browsers, of the same version as the server. */
  @Get("client.js")
  @Header("content-type", "text/javascript; charset=utf-8")
  script(): string {
    return client;
  }

  /** Where clients connect: the daemon when there is one, else here. */
  @Get("sockets")
  sockets(): { url: string } {
    return { url: process.env["SOCKETS_URL"] ?? "" };
  }

  @Post("rooms/:room/announce")
  announce(@Param("room") room: string, @Body("text") text: string): { ok: true; room: string } {
    this.#chat.announce(room, text);
    return { ok: true, room };
  }
}
