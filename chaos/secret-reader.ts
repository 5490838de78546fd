import { once } from 'node:events';
import { Agent, get, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import type { SecretView } from './kubernetes.ts';
import { SECRET } from './layout.ts';
import type { FileReader, Reading } from './reading.ts';

const ANSWER_WITHIN_MS = 2_000;

/** What a reader of the Secret gets, asked of the API server itself. */
export class SecretReader {
  readonly #url: string;
  readonly #options: RequestOptions;
  readonly #reader: FileReader;

  constructor({ url, ...identity }: SecretView, reader: FileReader) {
    this.#url = url;
    this.#options = { ...identity, agent: new Agent({ keepAlive: true }) };
    this.#reader = reader;
  }

  /** Undefined where nobody answers. */
  async read(): Promise<Reading | undefined> {
    try {
      const request = get(this.#url, { ...this.#options, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const body = await text(response);
      if (response.statusCode === 404) return { state: 'missing' };
      return response.statusCode === 200 ? this.#judge(JSON.parse(body) as Answer) : undefined;
    } catch {
      return undefined;
    }
  }

  /** All keys hold the same token, as one write puts it there. */
  #judge({ data = {} }: Answer): Reading {
    const readings = Object.entries(SECRET.data).map(([key, format]) =>
      this.#reader.judge(Buffer.from(data[key] ?? '', 'base64').toString(), format),
    );
    const [first] = readings;
    const bad = readings.find(({ state }) => state !== 'whole');
    return bad ?? (readings.every(({ token }) => token?.id === first?.token?.id) ? first! : { state: 'torn' });
  }
}

interface Answer {
  readonly data?: Readonly<Record<string, string>>;
}
