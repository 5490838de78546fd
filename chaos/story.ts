/** What can be told of a broken promise. */
export interface Story {
  readonly title: string;
  readonly faults: readonly string[];
  readonly observed: readonly string[];
  /** Lines of the sidecar's log. */
  readonly said: readonly string[];
}

const SAID_LINES = 30;

export function tellStory({ title, faults, observed, said }: Story): string[] {
  const section = (name: string, lines: readonly string[]): string[] => [
    `  ${name}`,
    ...lines.map((line) => `    ${line}`),
  ];
  return [
    title,
    ...section('faults, lingering ones too:', faults),
    ...section('observed before it:', observed),
    ...section('the sidecar said, by its own clock:', said.slice(-SAID_LINES).map(shorten)),
  ];
}

/** As far as a story needs it. */
interface LogLine {
  readonly time: string;
  readonly msg: string;
  readonly credential?: string;
  readonly sink?: string;
  readonly err?: { readonly message: string };
  readonly retryAt?: string;
  readonly nextRefreshAt?: string;
}

function shorten(text: string): string {
  try {
    const { time, credential = '', sink, msg, err, ...rest } = JSON.parse(text) as LogLine;
    const next = rest.retryAt ?? rest.nextRefreshAt;
    const words = [time.slice(11, 23), credential, sink?.split('/').at(-1), msg, err && `(${err.message})`];
    return [...words, next && `next at ${next.slice(11, 23)}`].filter(Boolean).join(' ');
  } catch {
    return text.slice(0, 200);
  }
}
