import { hash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { errors, jwtVerify, type JSONWebKeySet } from 'jose';
import { certificateFor, type Certificate } from './certificate.ts';
import {
  ASK_CLEARTEXT_PASSWORD,
  CANCEL_REQUEST,
  fatal,
  GSS_REQUEST,
  parseParameters,
  ProtocolError,
  readOpening,
  readPassword,
  SSL_REQUEST,
  type Opening,
} from './lakebase-protocol.ts';
import { keyResolver } from './tokens.ts';

export interface LakebaseOptions {
  /** Whose tokens are taken: `workspace.jwks`. */
  readonly jwks: JSONWebKeySet;
  /** Socket of the server behind, which has to trust whoever connects: `postgres.socketPath`. */
  readonly socketPath: string;
  readonly port?: number | undefined;
  /** The clock of the service: `() => workspace.now()`. */
  readonly now?: (() => number) | undefined;
}

export type LoginRefusal = 'not a token' | 'bad signature' | 'expired' | 'another identity' | 'not encrypted';

export interface Login {
  readonly user: string;
  readonly database: string;
  readonly applicationName: string | undefined;
  readonly at: number;
  readonly ok: boolean;
  readonly reason: LoginRefusal | undefined;
  /** SHA-256 of the password in hexadecimal; undefined where none was asked for. */
  readonly tokenFingerprint: string | undefined;
}

const LOGIN_TIMEOUT_MS = 10_000;

/** What a login with this token shows of it. */
export function fingerprintOf(token: string): string {
  return hash('sha256', token);
}

/**
 * Stands in for Lakebase: takes a token as the cleartext password over TLS, judges it at login and never again, and
 * then hands the session to a real PostgreSQL.
 */
export class Lakebase {
  readonly host = '127.0.0.1';
  readonly logins: Login[] = [];
  /** What clients verify the server with. */
  readonly caCertificate: string;
  readonly #options: LakebaseOptions;
  readonly #key: string;
  readonly #keys: ReturnType<typeof keyResolver>;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(options: LakebaseOptions, certificate: Certificate) {
    this.#options = options;
    this.#key = certificate.key;
    this.caCertificate = certificate.cert;
    this.#keys = keyResolver(options.jwks);
    this.#server = createServer({ allowHalfOpen: false }, (socket) => {
      this.#track(socket);
      this.#greet(socket).catch((error: unknown) => {
        socket.destroy();
        // Clients that vanish in the middle of a login are no news.
        if (!(error instanceof ProtocolError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#options.port ?? 0, this.host);
    await once(this.#server, 'listening');
  }

  /** Ends every session, as a restart of the service would. */
  disconnectAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.disconnectAll();
    await closed;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // Whoever reads or writes sees it too; without a listener it would end the process.
    socket.on('error', () => socket.destroy());
  }

  async #greet(socket: Socket): Promise<void> {
    socket.setTimeout(LOGIN_TIMEOUT_MS, () => socket.destroy());
    let opening = await readOpening(socket);
    while (opening.code === GSS_REQUEST) {
      socket.write('N');
      opening = await readOpening(socket);
    }
    if (opening.code === CANCEL_REQUEST) this.#forwardCancel(opening, socket);
    else if (opening.code === SSL_REQUEST) await this.#secure(socket);
    else {
      const parameters = parseParameters(opening);
      this.#record(parameters, 'not encrypted', undefined);
      socket.end(fatal('28000', 'connection is insecure (try using `sslmode=require`)'));
    }
  }

  async #secure(socket: Socket): Promise<void> {
    // Anything sent in clear behind the request would be taken for encrypted.
    if (socket.readableLength > 0) throw new ProtocolError('data in clear after the request for TLS');
    socket.write('S');
    const secure = new TLSSocket(socket, { isServer: true, key: this.#key, cert: this.caCertificate });
    this.#track(secure);
    const opening = await readOpening(secure);
    if (opening.code === CANCEL_REQUEST) return this.#forwardCancel(opening, secure);
    const parameters = parseParameters(opening);
    const user = parameters.get('user') ?? '';
    secure.write(ASK_CLEARTEXT_PASSWORD);
    const password = await readPassword(secure);
    const reason = await this.#judge(password, user);
    this.#record(parameters, reason, password);
    if (reason !== undefined) {
      secure.end(
        fatal('28P01', `password authentication failed for user '${user}'`, `The token is refused: ${reason}.`),
      );
      return;
    }
    socket.setTimeout(0);
    await this.#handOver(opening, secure);
  }

  async #judge(token: string, user: string): Promise<LoginRefusal | undefined> {
    const now = (this.#options.now ?? Date.now)();
    try {
      // Expiry is judged below, to the millisecond.
      const { payload } = await jwtVerify(token, this.#keys, { currentDate: new Date(0), audience: 'lakebase' });
      if ((payload.exp ?? 0) * 1000 <= now) return 'expired';
      return payload.sub === user ? undefined : 'another identity';
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
        return 'bad signature';
      }
      if (error instanceof errors.JOSEError) return 'not a token';
      throw error;
    }
  }

  #record(
    parameters: ReadonlyMap<string, string>,
    reason: LoginRefusal | undefined,
    password: string | undefined,
  ): void {
    const user = parameters.get('user') ?? '';
    this.logins.push({
      user,
      database: parameters.get('database') ?? user,
      applicationName: parameters.get('application_name'),
      at: Date.now(),
      ok: reason === undefined,
      reason,
      tokenFingerprint: password === undefined ? undefined : fingerprintOf(password),
    });
  }

  /** The server behind asks for no password, so its welcome goes to the client as it is. */
  async #handOver({ packet }: Opening, client: TLSSocket): Promise<void> {
    const backend = connect(this.#options.socketPath);
    this.#track(backend);
    try {
      await once(backend, 'connect');
    } catch {
      client.end(fatal('57P03', 'the database system is not available'));
      return;
    }
    backend.write(packet);
    const isOver = (): void => {
      // Either end may break off at any time.
    };
    pipeline(client, backend, isOver);
    pipeline(backend, client, isOver);
  }

  #forwardCancel({ packet }: Opening, client: Socket): void {
    const backend = connect(this.#options.socketPath);
    this.#track(backend);
    backend.end(packet);
    client.end();
  }
}

/** A certificate of another place than this machine goes with it where clients know it by another name. */
export async function startLakebase(options: LakebaseOptions, certificate?: Certificate): Promise<Lakebase> {
  const lakebase = new Lakebase(options, certificate ?? (await certificateFor(['localhost', '127.0.0.1'])));
  await lakebase.listen();
  return lakebase;
}
