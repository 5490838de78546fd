interface MediaRange {
  readonly type: string;
  /** Of OpenMetrics, which has one in its type. */
  readonly version: string | undefined;
  readonly quality: number;
}

const OPENMETRICS_VERSIONS = new Set(['1.0.0', '0.0.1']);

/** Whether who asks would rather have a page than JSON: browsers name `text/html`, curl and programs do not. */
export function prefersHtml(accept: string | undefined): boolean {
  const ranges = parse(accept ?? '*/*');
  return quality('text/html', ranges) > quality('application/json', ranges);
}

/** Prometheus names both formats and weighs them; whoever does not name OpenMetrics gets the older text. */
export function prefersOpenMetrics(accept: string | undefined): boolean {
  const ranges = parse(accept ?? '');
  const best = (matching: readonly MediaRange[]): number => Math.max(0, ...matching.map(({ quality }) => quality));
  const openMetrics = best(ranges.filter(isOpenMetrics));
  return openMetrics > 0 && openMetrics >= best(ranges.filter(({ type }) => type === 'text/plain'));
}

function isOpenMetrics({ type, version = '1.0.0' }: MediaRange): boolean {
  return type === 'application/openmetrics-text' && OPENMETRICS_VERSIONS.has(version);
}

function parse(accept: string): MediaRange[] {
  return accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const valueOf = (name: string): string | undefined =>
      parameters.find((parameter) => parameter.startsWith(`${name}=`))?.slice(name.length + 1);
    return { type, version: valueOf('version'), quality: Number(valueOf('q') ?? 1) || 0 };
  });
}

/** That of the most specific range, as RFC 9110 has it. */
function quality(type: string, ranges: readonly MediaRange[]): number {
  const [kind] = type.split('/');
  for (const candidate of [type, `${kind}/*`, '*/*']) {
    const range = ranges.find((one) => one.type === candidate);
    if (range !== undefined) return range.quality;
  }
  return 0;
}
