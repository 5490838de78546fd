import { FILES, PLACES, REFRESH_AT, SECRET_PLACE } from './layout.ts';
import type { ClientReport } from './clients.ts';
import type { Impairment } from './catalogue.ts';
import { Lags } from './lags.ts';
import { isExcused, type Lie } from './lies.ts';
import { couldNotKnow, isGivenUp } from './memory.ts';
import type { Reading } from './reading.ts';
import { clockTime, type Timeline } from './timeline.ts';
import { BLIND_MS, CLOCK_MS, RECOVERY_MS, SIGHT_MS } from './tolerances.ts';
import type { Report } from './reports.ts';

export interface Violation {
  readonly at: number;
  readonly what: string;
  readonly observed: readonly string[];
}

export interface JudgeOptions {
  readonly timeline: Timeline;
  readonly onViolation: (violation: Violation) => void;
  /** When the process that runs now was started. */
  readonly startedAt: () => number;
  readonly now?: () => number;
}

type FailedLogin = Extract<ClientReport, { kind: 'failed' }>;

interface FileHistory {
  readonly readings: { readonly at: number; readonly reading: Reading }[];
  /** The best that readers have had. */
  best: { readonly at: number; readonly expiresAt: number } | undefined;
  badSince: number | undefined;
  isTold: boolean;
}

const ALIKE_MS = 10_000;
const KEPT_MS = 60_000;
const STORY_MS = 20_000;

/** What is needed to write there. */
function waysTo(path: string): readonly Impairment[] {
  const file = FILES.find((one) => one.path === path);
  return file === undefined ? ['api'] : ['write', `write to ${file.directory}`];
}

/** Decides whether what was observed is explained by what was done. */
export class Judge {
  readonly violations: Violation[] = [];
  logins = 0;
  /** Logins that failed, by what explains it. */
  readonly explained = { database: 0, damage: 0, expiry: 0 };
  reads = 0;
  answers = 0;
  rotations = 0;
  readonly lags: Lags;
  readonly #options: JudgeOptions;
  readonly #files = new Map<string, FileHistory>();
  readonly #observed: { readonly at: number; readonly text: string }[] = [];
  readonly #told = new Map<string, number>();
  readonly #lastSaid = new Map<string, { readonly at: number; readonly text: string }>();
  readonly #failedLogins: FailedLogin[] = [];

  constructor(options: JudgeOptions) {
    this.#options = options;
    this.lags = new Lags(options.now);
    for (const path of PLACES) {
      this.#files.set(path, { readings: [], best: undefined, badSince: undefined, isTold: false });
    }
  }

  hear(report: Report | ClientReport): void {
    switch (report.kind) {
      case 'read':
        return this.#read(report);
      case 'lie':
        return this.#lie(report);
      case 'unwell':
        return this.#unwell(report);
      case 'failed':
        this.#noteOnce(report.client, `does not get in: ${report.error}`, report.to);
        this.#failedLogins.push(report);
        return;
      case 'logins':
        this.logins += report.count;
        return this.lags.note(report.lagMs);
      case 'count':
        this.reads += report.reads;
        this.answers += report.answers;
        return this.lags.note(report.lagMs);
      case 'said':
        return;
      default:
        return report satisfies never;
    }
  }

  /** Looks at what goes on being bad. */
  tick(now = Date.now()): void {
    // What was seen of the file comes from another process, and may come later.
    while (this.#failedLogins[0] !== undefined && this.#failedLogins[0].to < now - SIGHT_MS) {
      this.#judgeLogin(this.#failedLogins.shift()!);
    }
    for (const [path, history] of this.#files) {
      const last = history.readings.at(-1)?.reading;
      if (last === undefined) continue;
      const { state, token } = last;
      if (state === 'whole' && token !== undefined && token.expiresAt > now) {
        history.isTold = false;
        continue;
      }
      const { from, kinds } = this.#expectation(path, last, now);
      if (history.isTold || !this.#shouldHaveRecovered(from, now, kinds)) continue;
      history.isTold = true;
      const what = state === 'whole' ? `has been expired for ${now - token!.expiresAt} ms` : `is still ${state}`;
      this.violate(
        `promise 2, ${path}: it ${what}, though nothing was in the way for ${RECOVERY_MS} ms since ${clockTime(from)}`,
        now,
      );
    }
  }

  violate(what: string, at = Date.now()): void {
    const subject = what.replaceAll(/[\d.]+/g, '#');
    const lastAt = this.#told.get(subject) ?? -Infinity;
    this.#told.set(subject, at);
    if (at - lastAt < ALIKE_MS) return;
    const observed = this.#observed.filter((one) => one.at > at - STORY_MS).slice(-15);
    const violation = { at, what, observed: observed.map((one) => `${clockTime(one.at)} ${one.text}`) };
    this.violations.push(violation);
    this.#options.onViolation(violation);
  }

  note(text: string, at = Date.now()): void {
    if (this.#observed.push({ at, text }) > 400) this.#observed.splice(0, 200);
  }

  /** What goes on in the same way is one line. */
  #noteOnce(who: string, text: string, at: number): void {
    const last = this.#lastSaid.get(who);
    this.#lastSaid.set(who, { at, text });
    if (last?.text !== text || at - last.at > SIGHT_MS) this.note(`${who} ${text}`, at);
  }

  /** What should have happened, from when on, and what could have been in its way. */
  #expectation(path: string, { state, token }: Reading, now: number) {
    const writing: readonly Impairment[] = [...waysTo(path), 'process'];
    if (state === 'whole' && token !== undefined) {
      const from = token.issuedAt + REFRESH_AT * (token.expiresAt - token.issuedAt);
      return { from, kinds: ['mint', ...writing] as const };
    }
    const history = this.#files.get(path)!;
    const { timeline, startedAt } = this.#options;
    const from = history.badSince ?? now;
    // What is in memory is written again; after a restart, or when it has expired, that needs a mint.
    const { best } = history;
    const isInMemory =
      best !== undefined &&
      best.expiresAt > now &&
      startedAt() < from &&
      !isGivenUp(path, { since: best.at, lostAt: from }, timeline, startedAt());
    return { from, kinds: isInMemory ? writing : (['mint', ...writing] as const) };
  }

  #shouldHaveRecovered(from: number, now: number, kinds: readonly Impairment[]): boolean {
    const patience = RECOVERY_MS + 2 * this.lags.since(from);
    return this.#options.timeline.hasHealthyGap(from, now, kinds, patience);
  }

  #read({ at, path, reading }: Extract<Report, { kind: 'read' }>): void {
    const history = this.#files.get(path)!;
    const { state, token } = reading;
    this.note(
      `${path}: ${state}${token === undefined ? '' : ` ${token.id.slice(0, 8)}, good for ${token.expiresAt - at} ms`}`,
      at,
    );
    history.readings.push({ at, reading });
    while (history.readings.length > 2 && history.readings[1]!.at < at - KEPT_MS) history.readings.shift();
    const { timeline } = this.#options;
    // Who was held up looks late.
    const wasDamaged = timeline.wasDamaged(path, at - SIGHT_MS - this.lags.since(at - SIGHT_MS), at);
    if (state === 'whole') {
      history.badSince = undefined;
      this.#compare(history, path, token!, at);
    } else {
      history.badSince ??= at;
      const isNew = history.best === undefined;
      if (state === 'somebody else’s') this.violate(`promise 2, ${path}: the token is for another identity`, at);
      else if (!isNew && !wasDamaged) this.violate(`promise 1, ${path}: it is ${state}, and nobody has touched it`, at);
    }
  }

  #compare(history: FileHistory, path: string, token: NonNullable<Reading['token']>, at: number): void {
    const { best } = history;
    if (best === undefined || token.expiresAt > best.expiresAt) {
      if (best !== undefined) this.rotations += 1;
      history.best = { at, expiresAt: token.expiresAt };
      return;
    }
    if (token.expiresAt === best.expiresAt || best.expiresAt <= at) return;
    const { timeline, startedAt } = this.#options;
    if (couldNotKnow(path, best.at, at, timeline, startedAt())) return;
    this.violate(
      `promise 2, ${path}: a token good for ${best.expiresAt - at} ms was replaced by one good for ${token.expiresAt - at} ms`,
      at,
    );
  }

  #lie(lie: Lie): void {
    const { at, what, forMs } = lie;
    this.note(what, at);
    const isBlind = this.lags.since(at - SIGHT_MS) > BLIND_MS;
    const secretSeenAt = this.#files.get(SECRET_PLACE)!.readings.at(-1)?.at ?? at;
    if (isBlind || isExcused(lie, this.#options.timeline, secretSeenAt)) return;
    this.violate(`promise 3: ${what}${forMs > 0 ? `, for ${forMs} ms` : ''}`, at);
  }

  #unwell({ at, what }: Extract<Report, { kind: 'unwell' }>): void {
    const { timeline } = this.#options;
    if (timeline.isImpaired('process', at - SIGHT_MS, Date.now())) return;
    this.note(what, at);
    if (timeline.had(/clock is set/, at - CLOCK_MS) || this.lags.since(at - SIGHT_MS) > BLIND_MS) return;
    this.violate(`promise 3: ${what}`, at);
  }

  #judgeLogin({ client, path, from, to, error }: FailedLogin): void {
    const { timeline } = this.#options;
    const since = from - SIGHT_MS;
    if (timeline.isImpaired('login', since, to)) this.explained.database += 1;
    // A repair can be faster than the look at the file.
    else if (timeline.wasDamaged(path, since, to)) this.explained.damage += 1;
    else if (this.#wasBad(path, since, to)) this.explained.expiry += 1;
    else this.violate(`a login of ${client} failed with a good file: ${error}`, to);
  }

  /** Whether what a client may have had from the file was of no use, or of none any more at the end; why is judged elsewhere. */
  #wasBad(path: string, from: number, to: number): boolean {
    const { readings } = this.#files.get(path)!;
    return readings.some(({ at, reading }, index) => {
      const until = readings[index + 1]?.at ?? Infinity;
      if (at > to + SIGHT_MS || until < from) return false; // what the client has read may be seen by the watcher later
      return reading.state !== 'whole' || reading.token!.expiresAt <= to;
    });
  }
}
