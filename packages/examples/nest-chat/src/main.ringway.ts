import { NestFactory } from "@nestjs/core";
import { RingwayAdapter } from "@ecommerce-enterprise/realtime-sdk/nest";
import { AppModule } from "./app.module.js";

const app = await NestFactory.create(AppModule);
app.useWebSocketAdapter(new RingwayAdapter(app, { url: process.env["LINK_URL"] ?? "unix:/run/ringway/link.sock" }));
app.enableShutdownHooks();
await app.listen(Number(process.env["PORT"] ?? 3000), process.env["HOST"] ?? "127.0.0.1");
console.log(`chat: ${await app.getUrl()}`);
