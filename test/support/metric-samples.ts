const PREFIX = 'lakebase_credential_';
const SAMPLE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One scrape. */
export class MetricSamples {
  readonly text: string;
  readonly #samples: readonly Sample[];

  constructor(text: string) {
    this.text = text;
    this.#samples = text.split('\n').flatMap((line) => parse(line) ?? []);
  }

  /** The first that has these labels, among others; undefined if there is none. */
  get(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const wanted = Object.entries(labels);
    return this.#samples.find(
      (sample) => sample.name === `${PREFIX}${name}` && wanted.every(([key, value]) => sample.labels[key] === value),
    )?.value;
  }

  /** Over all labels. */
  sum(name: string): number {
    const values = this.#samples.filter((sample) => sample.name === `${PREFIX}${name}`).map(({ value }) => value);
    return values.reduce((total, value) => total + value, 0);
  }
}

function parse(line: string): Sample | undefined {
  const [, name = '', labels = '', value] = SAMPLE.exec(line) ?? [];
  if (value === undefined) return undefined;
  const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', text = '']) => [key, text] as const);
  return { name, labels: Object.fromEntries(pairs), value: Number(value) };
}
