import type { styleText } from 'node:util';
import type { Reader } from './reader.ts';
import { inSeconds, type Scene, type Tone } from './scene.ts';

type Format = Parameters<typeof styleText>[0];
/** Text and how it looks; a line is cut by its text, so its look cannot be cut in the middle. */
export type Span = readonly [text: string, format?: Format];
export type Line = readonly Span[];

const LABEL_WIDTH = 13;
const NAME_WIDTH = 19;
const LONGEST_BAR = 40;
/** What stands behind the bar. */
const BAR_NOTE_WIDTH = 33;
const FORMATS: Readonly<Record<Tone, Format>> = { plain: 'reset', good: 'green', warn: 'yellow', bad: 'red' };
const SIGNS = { pending: '…', fresh: '✓', retrying: '↻', expiring: '!', expired: '✗' } as const;

/** All that can be seen, in so many columns and at most so many rows. */
export function drawFrame(scene: Scene, columns: number, rows: number): Line[] {
  const body = [
    labelled('workspace', workspaceNote(scene)),
    labelled('sidecar', sidecarNote(scene)),
    labelled('token', lifeNote(scene, columns)),
    labelled('rotations', rotationNote(scene)),
    [],
    ...scene.readers.map((reader) => readerLine(reader)),
  ];
  const top = scene.isOver ? body : [...heading(scene), ...body];
  return [...top, ...happenings(scene, rows - top.length - 1)].slice(0, rows).map((line) => cut(line, columns));
}

export function widthOf(line: Line): number {
  return line.reduce((width, [text]) => width + text.length, 0);
}

function heading({ cliTitle, elapsedMs, tokenLifetimeMs }: Scene): Line[] {
  const life = tokenLifetimeMs === 0 ? 'seconds' : inSeconds(tokenLifetimeMs);
  return [
    [],
    [
      ['lakebase-credential-sidecar', 'bold'],
      [`  ${Math.floor(elapsedMs / 1_000)} s`, 'dim'],
    ],
    [],
    [[`A database password expires after ${life} (on Lakebase: an hour). Two applications`]],
    [['log in all the time, each time on a new connection.']],
    [
      [
        cliTitle === '' ? 'Starting PostgreSQL and a stand-in workspace …' : `The sidecar mints with ${cliTitle}.`,
        'dim',
      ],
    ],
    [],
  ];
}

function labelled(label: string, note: Line): Line {
  return [[label.padEnd(LABEL_WIDTH), 'dim'], ...note];
}

function workspaceNote({ isWorkspaceUp, workspaceUrl }: Scene): Line {
  if (workspaceUrl === '') return [['…', 'dim']];
  return [isWorkspaceUp ? ['✓ up', 'green'] : ['✗ down', 'red'], [`  a stand-in, ${workspaceUrl}`, 'dim']];
}

function sidecarNote({ credential, sidecarUrl }: Scene): Line {
  if (credential === undefined) return [['…', 'dim']];
  const { state, consecutiveFailures: failures } = credential;
  const note = failures === 0 ? '' : ` after ${failures} failed ${failures === 1 ? 'attempt' : 'attempts'}`;
  const format = state === 'fresh' ? 'green' : state === 'expired' ? 'red' : 'yellow';
  return [
    [`${SIGNS[state]} ${state}${note}`, format],
    [`  ${sidecarUrl}/status`, 'underline'],
  ];
}

/** Shrinks to the left as time passes; a refresh is due when it reaches the mark. */
function lifeNote({ credential, remainingMs }: Scene, columns: number): Line {
  if (credential?.issuedAt == null || credential.expiresAt === null || remainingMs === undefined) return [['…', 'dim']];
  const width = Math.min(LONGEST_BAR, Math.max(5, columns - LABEL_WIDTH - BAR_NOTE_WIDTH));
  const expiresAt = Date.parse(credential.expiresAt);
  const lifetimeMs = expiresAt - Date.parse(credential.issuedAt);
  const cells = (ms: number): number => Math.max(0, Math.min(width, Math.round((ms / lifetimeMs) * width)));
  const full = cells(remainingMs);
  const mark = cells(expiresAt - Date.parse(credential.nextRefreshAt));
  const rest = '░'.repeat(width - full);
  const format = mark < full ? 'green' : remainingMs > 0 ? 'yellow' : 'red';
  const bar: Line =
    mark < full && mark > 0
      ? [
          ['█'.repeat(mark - 1), format],
          ['┃', 'dim'],
          ['█'.repeat(full - mark), format],
        ]
      : [['█'.repeat(full), format]];
  const left = `${(Math.max(0, remainingMs) / 1_000).toFixed(1)} s left`;
  return [...bar, [rest, 'dim'], [`  ${left}`], [`  ${credential.fingerprint}`, 'dim']];
}

function rotationNote({ rotations, wantedRotations }: Scene): Line {
  const done = Math.min(rotations, wantedRotations);
  const count = rotations > wantedRotations ? `${rotations}` : `${rotations} of ${wantedRotations}`;
  return [['●'.repeat(done), 'green'], ['○'.repeat(wantedRotations - done), 'dim'], [`  ${count}`]];
}

function readerLine({ habit, lastLoginWasOk, logins, name, refusals }: Reader): Line {
  const format = lastLoginWasOk ? 'green' : 'red';
  return [
    [lastLoginWasOk ? '✓ ' : '✗ ', format],
    [`${name} reader`.padEnd(NAME_WIDTH), 'bold'],
    [`${String(logins).padStart(3)} logins `, logins > 0 ? 'green' : 'dim'],
    [`${String(refusals).padStart(3)} failed  `, refusals > 0 ? 'red' : 'dim'],
    [habit, 'dim'],
  ];
}

function happenings({ happenings, isOver }: Scene, room: number): Line[] {
  if (isOver || room < 1) return [];
  const recent = happenings.slice(-room);
  return [
    [],
    ...recent.map(({ atMs, text, tone }): Line => [
      [stamp(atMs), 'dim'],
      [text, FORMATS[tone]],
    ]),
  ];
}

/** Seconds since the beginning, right-aligned. */
export function stamp(atMs: number): string {
  return `${(atMs / 1_000).toFixed(1).padStart(5)} s  `;
}

function cut(line: Line, columns: number): Line {
  const fitting: Span[] = [];
  let room = columns;
  for (const [text, format] of line) {
    const isCut = text.length > room;
    const shown = isCut ? `${text.slice(0, Math.max(0, room - 1))}…` : text;
    if (room > 0) fitting.push(format === undefined ? [shown] : [shown, format]);
    room -= shown.length;
  }
  return fitting;
}
