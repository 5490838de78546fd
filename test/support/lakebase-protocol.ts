import type { Duplex } from 'node:stream';

export const SSL_REQUEST = 80877103;
export const GSS_REQUEST = 80877104;
export const CANCEL_REQUEST = 80877102;
const PASSWORD_MESSAGE = 0x70;
const MAX_MESSAGE_BYTES = 64 * 1024;

/** The peer went away, or speaks something else. */
export class ProtocolError extends Error {}

async function untilReadable(stream: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const events = ['readable', 'end', 'error', 'close'];
  for (const event of events) stream.once(event, resolve);
  await promise;
  for (const event of events) stream.off(event, resolve);
}

/** Exactly so many bytes; what follows them goes back into the stream, for whoever reads or pipes it next. */
async function read(stream: Duplex, bytes: number): Promise<Buffer> {
  let taken = Buffer.alloc(0);
  while (taken.length < bytes) {
    const chunk = stream.read() as Buffer | null;
    if (chunk !== null) taken = Buffer.concat([taken, chunk]);
    else if (stream.readableEnded || stream.destroyed) throw new ProtocolError('the client went away');
    else await untilReadable(stream);
  }
  if (taken.length > bytes) stream.unshift(taken.subarray(bytes));
  return taken.subarray(0, bytes);
}

async function readSized(stream: Duplex): Promise<Buffer> {
  const head = await read(stream, 4);
  const bytes = head.readInt32BE();
  if (bytes < 5 || bytes > MAX_MESSAGE_BYTES) throw new ProtocolError(`a message of ${bytes} bytes`);
  return Buffer.concat([head, await read(stream, bytes - 4)]);
}

/** What comes before messages have types: requests for encryption, cancellation, or a session. */
export interface Opening {
  readonly code: number;
  readonly packet: Buffer;
}

export async function readOpening(stream: Duplex): Promise<Opening> {
  const packet = await readSized(stream);
  if (packet.length < 8) throw new ProtocolError('a short opening');
  return { code: packet.readInt32BE(4), packet };
}

export function parseParameters({ packet }: Opening): Map<string, string> {
  const words = packet.toString('utf8', 8).split('\0');
  const parameters = new Map<string, string>();
  for (let at = 0; words[at]; at += 2) parameters.set(words[at]!, words[at + 1] ?? '');
  return parameters;
}

export async function readPassword(stream: Duplex): Promise<string> {
  const [type] = await read(stream, 1);
  const packet = await readSized(stream);
  if (type !== PASSWORD_MESSAGE) throw new ProtocolError(`message type ${type} instead of a password`);
  return packet.toString('utf8', 4, packet.length - 1);
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

export const ASK_CLEARTEXT_PASSWORD = message('R', Buffer.from([0, 0, 0, 3]));
/** The password is good, and queries may come. */
export const LOGGED_IN = Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))]);

/** A refusal that ends the session. */
export function fatal(sqlState: string, text: string, detail?: string): Buffer {
  const fields = [`SFATAL`, `VFATAL`, `C${sqlState}`, `M${text}`, ...(detail === undefined ? [] : [`D${detail}`])];
  return message('E', Buffer.from(`${fields.join('\0')}\0\0`));
}
