import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import postgresJs from 'postgres';
import { decodeJwt } from 'jose';
import type { Server } from '../../test/support/logins.ts';

const LOOK_MS = 1;
const LOGIN_MS = 1_000;

export interface Findings {
  logins: number;
  failedLogins: number;
  /** Looks at the file that saw less than a whole token. */
  tornReads: number;
  /** In which the file held no token that a login would have been accepted with. */
  withoutMs: number;
}

export interface Observed {
  readonly directory: string;
  readonly user: string;
}

/** Reads one file as an application does, from the moment it has a token. */
export class Observer {
  readonly findings: Findings = { logins: 0, failedLogins: 0, tornReads: 0, withoutMs: 0 };
  readonly #file: string;
  readonly #user: string;
  #seen = '';
  #expiresAt = 0;

  constructor({ directory, user }: Observed) {
    this.#file = join(directory, 'token');
    this.#user = user;
  }

  get hasStarted(): boolean {
    this.#read();
    return this.#expiresAt > 0;
  }

  async run(server: Server, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#look(signal), this.#logIn(server, signal)]);
  }

  async #look(signal: AbortSignal): Promise<void> {
    for (let before = Date.now(); !signal.aborted; await delay(LOOK_MS)) {
      const now = Date.now();
      if (!this.#read()) this.findings.tornReads += 1;
      this.findings.withoutMs += Math.max(0, now - Math.max(before, this.#expiresAt));
      before = now;
    }
  }

  /** A new connection each second, with whatever the file holds then. */
  async #logIn({ connection, lakebase }: Server, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const sql = postgresJs({
        ...connection,
        user: this.#user,
        ssl: { ca: lakebase.caCertificate },
        password: () => readFileSync(this.#file, 'utf8'),
        max: 1,
        connect_timeout: 5,
      });
      try {
        await sql`SELECT 1`;
        this.findings.logins += 1;
      } catch {
        this.findings.failedLogins += 1;
      } finally {
        await sql.end();
      }
      await delay(LOGIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @returns whether the file holds a whole token */
  #read(): boolean {
    try {
      const text = readFileSync(this.#file, 'utf8');
      if (text === this.#seen) return true;
      this.#expiresAt = (decodeJwt(text).exp ?? 0) * 1_000;
      this.#seen = text;
      return true;
    } catch {
      return false;
    }
  }
}
