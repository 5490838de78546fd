import { hash } from 'node:crypto';

/** A bug that is put into the source, and the test that must fail then. */
export interface Mutant {
  /** Of docs/reliability.md; none for what goes beyond. */
  readonly bugClass?: number;
  readonly bug: string;
  readonly file: string;
  /** Stands there once. */
  readonly from: string;
  readonly to: string;
  /** The file without `test/` and `.test.ts`, and the title as it stands there, with `…` for what is filled in. */
  readonly test: readonly [file: string, title: string];
}

export function digestOf({ file, from, to, test }: Mutant): string {
  return hash('sha256', JSON.stringify([file, from, to, test])).slice(0, 12);
}

export function testFileOf({ test: [file] }: Mutant): string {
  return `test/${file}.test.ts`;
}

/** Those that run in a cluster with a kubelet; an API server alone can be started anywhere, and by a test itself. */
export function needsPods(mutant: Mutant): boolean {
  return /^test\/cluster\/[^/]*$/.test(testFileOf(mutant));
}
