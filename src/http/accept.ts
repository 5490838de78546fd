interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

/** Whether who asks would rather have a page than JSON: browsers name `text/html`, curl and programs do not. */
export function prefersHtml(accept: string | undefined): boolean {
  const ranges = parse(accept ?? '*/*');
  return quality('text/html', ranges) > quality('application/json', ranges);
}

function parse(accept: string): MediaRange[] {
  return accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, quality: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
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
