// The application's own words while it is counted: to each client and to all, numbered, some with an attachment, without being asked.

export class Counting {
  #chorus = 0;
  #timer;

  constructor(io, every_ms) {
    this.every_ms = every_ms;
    this.#timer = setInterval(() => io.to("lobby").emit("chorus", process.pid, ...numbered(this.#chorus++)), every_ms);
  }

  /** To one client, until it is gone or wants to know how many there were. */
  begin(socket) {
    let count = 0;
    const timer = setInterval(() => socket.emit("counted", process.pid, ...numbered(count++)), this.every_ms);
    socket.on("disconnect", () => clearInterval(timer));
    socket.on("rest", (answer) => {
      clearInterval(timer);
      clearInterval(this.#timer);
      answer({ pid: process.pid, counted: count, chorus: this.#chorus });
    });
  }
}

/** Every third is a packet of two parts, which a cut may come between. */
const numbered = (number) => (number % 3 === 0 ? [number, Buffer.from(`${number}`)] : [number]);
