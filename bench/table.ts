/** What a part of the bench is asked for. */
export interface Extent {
  /** As long as in production, where the usual run is scaled down. */
  readonly isFull: boolean;
  readonly repetitions: number;
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))];
  if (value === undefined) throw new Error('nothing was measured');
  return value;
}

export function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

export function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A ratio and, where there is one, whether the aim is met. */
export function ratio(value: number, aim?: number): string {
  const text = `${value.toFixed(2)} ×`;
  return aim === undefined ? text : `${text} (aim ${aim}: ${value <= aim ? 'met' : 'missed'})`;
}
