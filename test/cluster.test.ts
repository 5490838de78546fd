import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { whyNoPods } from './cluster/cluster.ts';

const suites = globSync('**/*.test.ts', { cwd: join(import.meta.dirname, 'cluster') }).map((file) =>
  basename(file, '.test.ts'),
);
const why = (await whyNoPods()) ?? 'they take minutes';

test(`in a real Kubernetes: ${suites.toSorted((a, b) => a.localeCompare(b)).join(', ')}`, {
  skip: `npm run test:cluster (not now: ${why})`,
});
