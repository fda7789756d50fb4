// What a developer reads in Firefox's console when a request is refused. Firefox does not send
// these messages over WebDriver BiDi (log.entryAdded has console calls and script errors only), so
// they are read the way its developer tools do: over the remote debugging protocol. Called by
// scene.js.
import { once } from 'node:events';
import net from 'node:net';

const MESSAGES = 'JSON.stringify(Services.console.getMessageArray().map(String))';

/** All messages of the browser's console, oldest first. */
export async function readFirefoxConsole(port) {
  const socket = net.connect(port, '127.0.0.1');
  const packets = readPackets(socket);
  const send = (packet) => {
    const text = JSON.stringify(packet);
    socket.write(`${Buffer.byteLength(text)}:${text}`);
  };
  const until = async (fits) => {
    for (;;) {
      // Not `for await`: leaving that loop would end the stream.
      const { value: packet, done } = await packets.next();
      if (done) throw new Error("Firefox's debugger closed the connection");
      if (packet.error) throw new Error(`Firefox's debugger: ${packet.error}: ${packet.message}`);
      if (fits(packet)) return packet;
    }
  };
  try {
    await once(socket, 'connect');
    await until((packet) => packet.from === 'root');
    send({ to: 'root', type: 'getProcess', id: 0 });
    const { processDescriptor } = await until((packet) => packet.processDescriptor);
    send({ to: processDescriptor.actor, type: 'getTarget' });
    const { process } = await until((packet) => packet.process);
    send({ to: process.consoleActor, type: 'evaluateJSAsync', text: MESSAGES });
    const { result } = await until((packet) => packet.type === 'evaluationResult');
    if (typeof result === 'string') return JSON.parse(result);
    send({ to: result.actor, type: 'substring', start: 0, end: result.length });
    const { substring } = await until((packet) => packet.substring);
    return JSON.parse(substring);
  } finally {
    socket.destroy();
  }
}

/** `LENGTH:JSON` packets, the length in bytes. */
async function* readPackets(socket) {
  let buffer = Buffer.alloc(0);
  for await (const chunk of socket) {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const colon = buffer.indexOf(':');
      const end = colon + 1 + Number(buffer.subarray(0, Math.max(colon, 0)));
      if (colon < 0 || buffer.length < end) break;
      yield JSON.parse(buffer.subarray(colon + 1, end));
      buffer = buffer.subarray(end);
    }
  }
}
