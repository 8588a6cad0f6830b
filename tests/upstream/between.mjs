// What stands between two ends of a connection, hears what the near one says, and cuts all that goes through it.
import net from "node:net";

/** Listens at `near`, a port of 127.0.0.1 (0: any) or a path, and connects each who comes to `far`, as `net.connect` takes it. */
export async function between(near, far) {
  const pairs = new Set();
  const overheard = [];
  const server = net.createServer((one) => {
    const other = net.connect(far);
    const pair = [one, other];
    pairs.add(pair);
    const end = () => { pairs.delete(pair); pair.forEach((socket) => socket.destroy()); };
    for (const socket of pair) socket.on("error", end).on("close", end);
    one.on("data", (chunk) => overheard.push(chunk));
    one.pipe(other).pipe(one);
  });
  await new Promise((resolve) => { server.listen(...(typeof near === "number" ? [near, "127.0.0.1"] : [near]), resolve); });
  /** As a network that breaks does, or a process that is killed. */
  const cut = ({ resets = false } = {}) => [...pairs].flat().forEach((socket) => (resets ? socket.resetAndDestroy() : socket.destroy()));
  return { address: server.address(), overheard, cut, close: () => { server.close(); cut(); } };
}
