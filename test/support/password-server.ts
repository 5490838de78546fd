import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import {
  ASK_CLEARTEXT_PASSWORD,
  GSS_REQUEST,
  LOGGED_IN,
  parseParameters,
  readOpening,
  readPassword,
  SSL_REQUEST,
} from './lakebase-protocol.ts';
import { undoAfter, type Cleanup } from './cleanup.ts';

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
  let opening = await readOpening(socket);
  while (opening.code === SSL_REQUEST || opening.code === GSS_REQUEST) {
    socket.write('N');
    opening = await readOpening(socket);
  }
  const parameters = parseParameters(opening);
  socket.write(ASK_CLEARTEXT_PASSWORD);
  const password = await readPassword(socket);
  onLogin({ user: parameters.get('user') ?? '', database: parameters.get('database') ?? '', password });
  socket.write(LOGGED_IN);
  await once(socket, 'data'); // its good-bye
  socket.end();
}
