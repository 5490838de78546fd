import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findLeaks } from '../test/support/scan.ts';
import { kindOf, type Lane } from './catalogue.ts';
import type { ClientOrder, ClientReport } from './clients.ts';
import { INFLICT } from './inflict.ts';
import { NotDone } from './inflicting.ts';
import { Judge, type Violation } from './judge.ts';
import { FORWARD } from './memory.ts';
import { SIDECAR_UID } from './layout.ts';
import { fingerprint } from './reading.ts';
import { Rest, REST_MS } from './rest.ts';
import { damagedBy, impairedBy, planRun, type PlannedFault, type Round } from './schedule.ts';
import { SupervisedSidecar } from './sidecar.ts';
import type { Stage } from './stage.ts';
import { tellStory } from './story.ts';
import { clockTime, Timeline } from './timeline.ts';
import type { Order, Report } from './reports.ts';

const TICK_MS = 250;
const STORY_MS = 15_000;
const READY_WITHIN_MS = 20_000;
const TOKEN_SHAPE = /eyJ[\w-]{8,}\.[\w-]{8,}/;

export interface Summary {
  readonly violations: readonly Violation[];
  readonly lines: readonly string[];
}

/** One run: a sidecar, its surroundings, what is done to them, and who watches. */
export class Run {
  readonly #stage: Stage;
  readonly #seed: number;
  readonly #say: (line: string) => void;
  readonly #timeline = new Timeline();
  readonly #sidecar: SupervisedSidecar;
  readonly #judge: Judge;
  readonly #helpers: ChildProcess[] = [];
  readonly #skipped = new Map<string, number>();
  readonly #rest: Rest;
  #said = '';
  #secretsSeen = 0;
  #faults = 0;
  #startedAt = 0;
  /** The clock of the sidecar against the true one, in seconds. */
  #offset = 0;

  constructor(stage: Stage, seed: number, say: (line: string) => void) {
    this.#stage = stage;
    this.#seed = seed;
    this.#say = say;
    this.#judge = new Judge({
      timeline: this.#timeline,
      onViolation: (violation) => this.#tell(violation),
      startedAt: () => this.#sidecar.startedAt,
    });
    this.#sidecar = new SupervisedSidecar({
      ...stage.sidecar,
      timeline: this.#timeline,
      // One that is changed in place is empty for a moment.
      mayEnd: { 69: /CLI is upgraded/, 73: /disk|directory|file/, 78: /configuration is (?:broken|changed)/ },
      onSurprise: (what) => this.#judge.violate(what),
    });
    this.#rest = new Rest(stage, this.#sidecar, (what) => this.#judge.violate(what));
  }

  async perform(minutes: number, signal: AbortSignal): Promise<Summary> {
    const rounds = planRun(this.#seed, minutes);
    let tickedAt = performance.now();
    const ticking = setInterval(() => {
      const now = performance.now();
      this.#judge.lags.note(now - tickedAt - TICK_MS);
      tickedAt = now;
      this.#judge.tick();
    }, TICK_MS);
    const watcher = this.#watch();
    try {
      this.#sidecar.start();
      await this.#firstReady(signal);
      this.#startedAt = performance.now();
      for (const [index, round] of rounds.entries()) {
        await this.#perform(round, watcher, signal);
        signal.throwIfAborted();
        this.#say(this.#describe(round, index, rounds.length));
      }
    } finally {
      clearInterval(ticking);
      for (const helper of this.#helpers) helper.kill();
      this.#sidecar.signal('SIGCONT');
      await this.#sidecar.close();
    }
    this.#findLeaks();
    return this.#summarise();
  }

  get #now(): number {
    return performance.now() - this.#startedAt;
  }

  #watch(): ChildProcess {
    const stage = this.#stage;
    const { workspace, connection, lakebase, strayToken, kubernetes } = stage;
    const pgpassPrefix = `${connection.host}:${connection.port}:*:${workspace.clientId}:`;
    const watcher = this.#fork('watcher.ts');
    watcher.on('message', (report: Report) => {
      if (report.kind === 'said') this.#said += report.text;
      this.#judge.hear(report);
    });
    const reader = {
      user: workspace.clientId,
      uid: SIDECAR_UID,
      pgpassPrefix,
      jwk: workspace.jwks.keys[0]!,
      foreignId: fingerprint(strayToken),
    };
    watcher.send({ kind: 'watch', volume: stage.path('volume'), reader, secret: kubernetes?.view } satisfies Order);
    const clients = this.#fork('clients.ts');
    clients.on('message', (report: ClientReport) => this.#judge.hear(report));
    const caFile = stage.path('settings', 'ca.pem');
    const order = { volume: stage.path('volume'), user: workspace.clientId, port: connection.port, caFile };
    clients.send({ ...order, caCertificate: lakebase.caCertificate } satisfies ClientOrder);
    return watcher;
  }

  #fork(name: string): ChildProcess {
    // What node-postgres says of a file that it does not like is told by the login that fails.
    const child = fork(join(import.meta.dirname, name), { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] });
    child.on('exit', (code) => {
      if (!child.killed) this.#judge.violate(`nothing was observed any more: ${name} ended with ${String(code)}`);
    });
    this.#helpers.push(child);
    return child;
  }

  async #firstReady(signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    while (this.#judge.logins === 0) {
      if (performance.now() > deadline) throw new Error(`nobody could log in: ${this.#sidecar.lines.join('\n')}`);
      await delay(TICK_MS, undefined, { signal });
    }
  }

  async #perform(round: Round, watcher: ChildProcess, signal: AbortSignal): Promise<void> {
    const lanes = Map.groupBy(round.faults, ({ name }) => kindOf(name).lane);
    const setOffset = (seconds: number): void => {
      if (seconds > this.#offset) this.#timeline.begin(FORWARD)();
      this.#offset = seconds;
      this.#stage.clock = seconds;
      watcher.send({ kind: 'clock', offsetMs: seconds * 1_000 } satisfies Order);
    };
    await Promise.all(
      [...lanes].map(async ([lane, faults]) => {
        for (const fault of faults) {
          await this.#waitUntil(fault.atMs, signal);
          await this.#inflict(fault, lane, setOffset, signal);
        }
      }),
    );
    await this.#waitUntil(round.endsMs - REST_MS, signal);
    this.#said += await this.#rest.check(signal);
    this.#said += (await this.#stage.kubernetes?.events()) ?? '';
    this.#findLeaks();
  }

  async #waitUntil(ms: number, signal: AbortSignal): Promise<void> {
    await delay(Math.max(0, ms - this.#now), undefined, { signal });
  }

  async #inflict(fault: PlannedFault, lane: Lane, setOffset: (seconds: number) => void, signal: AbortSignal) {
    const { name, lastsMs } = fault;
    const reason = this.#stage.whyNot(lane);
    if (reason !== undefined) {
      this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
      return;
    }
    const { lingersMs = 0 } = kindOf(name);
    const end = this.#timeline.begin(name, { impairs: impairedBy(fault), paths: damagedBy(fault) });
    try {
      const hear = (text: string): void => void (this.#said += text);
      const undo = await INFLICT[name]({ stage: this.#stage, sidecar: this.#sidecar, setOffset, hear }, fault);
      this.#faults += 1;
      await delay(lastsMs, undefined, { signal }).catch(() => undefined);
      await undo();
    } catch (error) {
      // Another fault was faster: the directory is gone, or the disk full or read-only.
      if (!(error instanceof NotDone) && (error as NodeJS.ErrnoException).errno === undefined) throw error;
      this.#judge.note(`not done: ${name}: ${(error as Error).message}`);
    }
    end(lingersMs);
    signal.throwIfAborted();
  }

  #findLeaks(): void {
    const { workspace, strayToken, clientSecrets } = this.#stage;
    const text = this.#said + this.#sidecar.takeOutput();
    this.#said = '';
    const tokens = workspace.minted.slice(Math.max(0, this.#secretsSeen - 6)).map(({ token }) => token);
    this.#secretsSeen = workspace.minted.length;
    const secrets = [strayToken, ...tokens, ...clientSecrets].map((secret, i) => [`secret ${i}`, secret]);
    const leaks = findLeaks(Object.fromEntries(secrets) as Record<string, string>, { 'what it said': text });
    if (TOKEN_SHAPE.test(text)) leaks.push('something of the shape of a token');
    if (leaks.length > 0) this.#judge.violate(`promise 4: ${leaks.join(', ')}`);
  }

  #tell({ at, what, observed }: Violation): void {
    const seconds = this.#startedAt === 0 ? 0 : this.#now / 1_000;
    const title = `VIOLATION, seed ${this.#seed}, ${seconds.toFixed(1)} s after the start, ${clockTime(at)}: ${what}`;
    const faults = this.#timeline.tell(at - STORY_MS, at);
    for (const line of tellStory({ title, faults, observed, said: this.#sidecar.lines })) this.#say(line);
  }

  #describe({ faults }: Round, index: number, count: number): string {
    const { logins, explained, rotations, violations } = this.#judge;
    const failed = explained.database + explained.damage + explained.expiry;
    return (
      `${clockTime(Date.now()).slice(0, 8)} round ${index + 1}/${count}: ${faults.length} faults; so far ` +
      `${rotations} rotations of files, ${logins} logins, ${failed} more that failed for a known reason, ` +
      `${violations.length} violations`
    );
  }

  #summarise(): Summary {
    const { logins, explained, reads, answers, rotations, violations, lags } = this.#judge;
    const lines = [
      `${this.#faults} faults; ${this.#sidecar.starts} starts of the sidecar; ${this.#stage.workspace.minted.length} mints; ${rotations} rotations of files`,
      `${reads} reads of files, ${answers} answers about health, ${logins} logins`,
      `logins that failed: ${explained.database} while PostgreSQL restarted, ${explained.damage} after somebody damaged the file, ${explained.expiry} when no valid token could be had`,
      `the observers were delayed by ${Math.round(lags.worstMs)} ms at most`,
      ...[...this.#skipped].map(([reason, count]) => `${count} faults were not made: ${reason}`),
      `${violations.length} violations`,
    ];
    return { violations, lines };
  }
}
