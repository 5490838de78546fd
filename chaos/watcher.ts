import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from './asking.ts';
import { FILES, SECRET_PLACE } from './layout.ts';
import { metricLies } from './metric-lies.ts';
import {
  describe,
  FileReader,
  GRAIN_MS,
  isUsable,
  marginMs,
  type Lifespan,
  type Reading,
  type Snapshot,
} from './reading.ts';
import type { Order, Report, WatchOrder } from './reports.ts';
import { SecretReader } from './secret-reader.ts';
import { SecretWatcher } from './secret-watcher.ts';

// A process of its own, told once what to watch. It reads files and asks the sidecar for its health, and knows what the
// health must be from the files and the clock.

const READ_EVERY_MS = 15;
const READ_SECRET_EVERY_MS = 100;
const ASK_EVERY_MS = 150;
const TALK_EVERY_MS = 4_000;
const COUNT_EVERY_MS = 1_000;
/** A record from the future of the sidecar's clock is not believed by it. */
const FUTURE_MS = 4_000;

class Watcher {
  readonly #volume: string;
  readonly #reader: FileReader;
  readonly #last = new Map<string, string>();
  #offsetMs = 0;
  #reads = 0;
  #answers = 0;
  #lagMs = 0;
  /** Since when health differs from what it must be, and what the files were like then. */
  #lying: { readonly since: number; readonly files: string } | undefined;
  readonly #secret: SecretWatcher | undefined;

  constructor({ volume, reader, secret }: WatchOrder) {
    this.#volume = volume;
    this.#reader = new FileReader(reader);
    this.#secret = secret && new SecretWatcher(new SecretReader(secret, this.#reader), (what) => this.#report(what));
  }

  set offsetMs(ms: number) {
    this.#offsetMs = ms;
  }

  run(): void {
    void this.#every(READ_EVERY_MS, () => void this.#look());
    void this.#every(READ_SECRET_EVERY_MS, async () => await this.#lookAtSecret());
    void this.#every(ASK_EVERY_MS, async () => await this.#askReadiness());
    void this.#every(ASK_EVERY_MS, async () => await this.#askLiveness());
    void this.#every(TALK_EVERY_MS, async () => await this.#listen());
    void this.#every(COUNT_EVERY_MS, () => this.#count());
  }

  async #every(ms: number, act: () => void | Promise<void>): Promise<never> {
    for (;;) {
      const asleepAt = performance.now();
      await delay(ms);
      this.#lagMs = Math.max(this.#lagMs, performance.now() - asleepAt - ms);
      await act();
    }
  }

  #look(): Snapshot {
    return FILES.map((file) => {
      const path = join(this.#volume, file.path);
      const reading = this.#reader.read(path, file);
      this.#reads += 1;
      this.#tellOf(file.path, reading);
      return { path: file.path, reading };
    });
  }

  async #lookAtSecret(): Promise<void> {
    const reading = await this.#secret?.look();
    if (reading === undefined) return;
    this.#reads += 1;
    this.#tellOf(SECRET_PLACE, reading);
  }

  #tellOf(path: string, reading: Reading): void {
    const summary = reading.state + (reading.token?.id ?? '');
    if (this.#last.get(path) === summary) return;
    this.#last.set(path, summary);
    this.#report({ kind: 'read', at: Date.now(), path, reading });
  }

  async #askReadiness(): Promise<void> {
    const before = this.#look();
    const askedAt = Date.now();
    const answer = await ask('/readyz?verbose');
    const answeredAt = Date.now();
    const after = this.#look();
    if (answer === undefined) return;
    this.#answers += 1;
    this.#secret?.judge(answer.body, answeredAt);
    const isSame = summarise(before) === summarise(after);
    if (answer.status === 200) {
      this.#lying = undefined;
      // Whatever is bad before and after was bad when the sidecar looked.
      const bad = isSame ? before.filter(({ reading }) => !isUsable(reading, askedAt - GRAIN_MS)) : [];
      if (bad.length === 0) return;
      const what = `/readyz says 200 while ${bad.map(describe).join(', ')}`;
      this.#report({ kind: 'lie', of: 'files', at: answeredAt, what, forMs: 0, isReadyLie: true });
      return;
    }
    // A file that only one of the configurations has is not among those that are watched.
    const isFile = (line: string): boolean => !line.includes('/extra ') && !line.includes(SECRET_PLACE);
    const isJudged = answer.body.split('\n').some((line) => line.startsWith('[-]') && isFile(line));
    const isWell = isJudged && isSame && after.every((one) => this.#mustBeReady(one, answeredAt + GRAIN_MS));
    if (!isWell) {
      this.#lying = undefined;
      return;
    }
    const files = summarise(after);
    if (this.#lying?.files !== files) this.#lying = { since: answeredAt, files };
    const what = `/readyz says ${answer.status} while every file is good: ${answer.body.trim().replaceAll('\n', '; ')}`;
    const forMs = answeredAt - this.#lying.since;
    this.#report({ kind: 'lie', of: 'files', at: answeredAt, what, forMs, isReadyLie: false });
  }

  /** By the token, and by what the sidecar recorded of it, read with the sidecar's clock. */
  #mustBeReady({ path, reading }: Snapshot[number], at: number): boolean {
    if (!isUsable(reading, at)) return false;
    const record = this.#recordOf(path, reading.token!.id);
    if (record === undefined) return false;
    const now = at + this.#offsetMs;
    return record.issuedAt <= now + FUTURE_MS && record.expiresAt - now >= marginMs(record) + GRAIN_MS;
  }

  #recordOf(path: string, id: string): Lifespan | undefined {
    const directory = dirname(path);
    try {
      const text = readFileSync(join(this.#volume, directory, `.${directory}.state.json`), 'utf8');
      const { tokens } = JSON.parse(text) as {
        tokens: { sha256: string; local: Lifespan }[];
      };
      return tokens.find(({ sha256 }) => sha256 === id)?.local;
    } catch {
      return undefined; // somebody has damaged it
    }
  }

  async #askLiveness(): Promise<void> {
    const askedAt = Date.now();
    const answer = await ask('/healthz?verbose');
    this.#answers += 1;
    if (answer?.status === 200) return;
    const said =
      answer === undefined ? 'does not answer' : `says ${answer.status}: ${answer.body.trim().replaceAll('\n', '; ')}`;
    this.#report({ kind: 'unwell', at: askedAt, what: `/healthz ${said}` });
  }

  /** Everything that it says about itself, for whoever looks for secrets in it. */
  async #listen(): Promise<void> {
    for (const path of ['/metrics', '/status', '/readyz?verbose', '/healthz?verbose']) {
      const answer = await ask(path);
      if (answer !== undefined) report({ kind: 'said', place: path, text: answer.body });
    }
    const before = summarise(this.#look());
    const metrics = (await ask('/metrics'))?.body;
    const after = this.#look();
    if (metrics === undefined || before !== summarise(after)) return;
    for (const what of metricLies(metrics, { files: after, volume: this.#volume })) {
      this.#report({ kind: 'lie', of: 'files', at: Date.now(), what, forMs: 0, isReadyLie: true });
    }
  }

  /** Behind the delays with which it was seen: whoever judges it must know them. */
  #report(what: Report): void {
    this.#count();
    report(what);
  }

  #count(): void {
    report({ kind: 'count', reads: this.#reads, answers: this.#answers, lagMs: this.#lagMs });
    this.#reads = 0;
    this.#answers = 0;
    this.#lagMs = 0;
  }
}

function summarise(files: Snapshot): string {
  return files.map(({ reading }) => reading.state + (reading.token?.id ?? '')).join(' ');
}

function report(what: Report): void {
  process.send?.(what);
}

let watcher: Watcher | undefined;
process.on('message', (order: Order) => {
  if (order.kind === 'clock') {
    if (watcher !== undefined) watcher.offsetMs = order.offsetMs;
    return;
  }
  watcher = new Watcher(order);
  watcher.run();
});
// A terminal sends it to everybody, and whoever gave the order decides.
process.on('SIGINT', () => undefined);
// oxlint-disable-next-line unicorn/no-process-exit -- whoever gave the order is gone
process.on('disconnect', () => process.exit());
