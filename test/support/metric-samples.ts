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
    return this.all(name, labels)[0];
  }

  /** Of all that have these labels, among others. */
  all(name: string, labels: Readonly<Record<string, string>> = {}): number[] {
    const wanted = Object.entries(labels);
    const found = this.#samples.filter(
      (sample) => sample.name === `${PREFIX}${name}` && wanted.every(([key, value]) => sample.labels[key] === value),
    );
    return found.map(({ value }) => value);
  }

  /** Over all labels. */
  sum(name: string): number {
    return this.all(name).reduce((total, value) => total + value, 0);
  }
}

function parse(line: string): Sample | undefined {
  const [, name = '', labels = '', value] = SAMPLE.exec(line) ?? [];
  if (value === undefined) return undefined;
  const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', text = '']) => [key, text] as const);
  return { name, labels: Object.fromEntries(pairs), value: Number(value) };
}
