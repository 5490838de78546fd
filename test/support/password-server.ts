import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { undoAfter, type Cleanup } from './sidecar-wait.ts';

/** What a client has sent to log in. */
export interface Login {
  readonly user: string;
  readonly database: string;
  readonly password: string;
}

export interface PasswordServer {
  readonly port: number;
  /** In the order of their arrival. */
  readonly logins: Login[];
}

const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;

/** Asks every Postgres client for its password in the clear, takes any, and then knows only how to end. */
export async function startPasswordServer(t: Cleanup): Promise<PasswordServer> {
  const logins: Login[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // a client that has what it wants hangs up as it likes
    void serve(socket, (login) => logins.push(login)).finally(() => sockets.delete(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  undoAfter(t, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, logins };
}

async function serve(socket: Socket, onLogin: (login: Login) => void): Promise<void> {
  let received = Buffer.alloc(0);
  let parameters: ReadonlyMap<string, string> | undefined;
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    for (;;) {
      const head = parameters === undefined ? 0 : 1; // the first message has no type
      if (received.length < head + 4) break;
      const length = head + received.readInt32BE(head);
      if (received.length < length) break;
      const type = head === 0 ? '' : String.fromCodePoint(received[0]!);
      const body = received.subarray(head + 4, length);
      received = received.subarray(length);
      if (type === 'X') return void socket.end();
      if (type === 'p') {
        const password = body.toString('utf8', 0, body.length - 1);
        onLogin({ user: parameters!.get('user') ?? '', database: parameters!.get('database') ?? '', password });
        socket.write(Buffer.concat([message('R', int32(0)), message('Z', Buffer.from('I'))]));
      } else if (type === '' && [SSL_REQUEST, GSS_REQUEST].includes(body.readInt32BE(0))) {
        socket.write('N');
      } else if (type === '') {
        const words = body.toString('utf8', 4).split('\0');
        parameters = new Map(words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] ?? ''] as const] : [])));
        socket.write(message('R', int32(3)));
      }
    }
  }
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
