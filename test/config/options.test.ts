import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOG_LEVELS } from '../../src/config/options.ts';
import { configSchema } from '../../src/config/schema.ts';
import { credential } from './loading.ts';
import { ABSURD_DURATIONS, testOptions } from './options.ts';

const settings = (changes: object) => ({ credentials: [credential()], ...changes });

testOptions([
  {
    option: 'minter.cli.command',
    file: (command) => settings({ minter: { cli: { command } } }),
    accepts: ['databricks', 'databricks-1.13', '/usr/local/bin/databricks', undefined],
    rejects: ['', './databricks', 'bin/databricks', 'databricks postgres', '-x', '/', '/bin/', 'a\n', 1, null],
  },
  {
    option: 'minter.cli.timeout',
    file: (timeout) => settings({ minter: { cli: { timeout } } }),
    accepts: ['1s', '30s', '5m', undefined],
    rejects: [...ABSURD_DURATIONS, '0s', '301s', '1h'],
  },
  {
    option: 'minter.cli.concurrency',
    file: (concurrency) => settings({ minter: { cli: { concurrency } } }),
    accepts: [1, 4, 64, undefined],
    rejects: [0, 65, 1.5, '4', null],
  },
  {
    option: 'minter',
    file: (minter) => settings({ minter }),
    accepts: [{}, { cli: {} }, undefined],
    rejects: [null, 'cli', { cli: null }, { sdk: {} }],
  },
  {
    option: 'refresh',
    file: (refresh) => settings({ refresh }),
    accepts: [{ at: 0.01, jitter: 0 }, { at: 0.95, jitter: 0.94, floor: '57m' }, undefined],
    rejects: [{ at: 0.009, jitter: 0 }, { at: 0.95, jitter: 0.941 }, { at: 0.95, floor: '58m' }, null, []],
  },
  {
    option: 'refresh.at',
    file: (at) => settings({ refresh: { at } }),
    accepts: [0.11, 0.5, 0.95, undefined],
    rejects: [0, -0.5, 0.96, 1, 30, '0.5', null],
  },
  {
    option: 'refresh.jitter',
    file: (jitter) => settings({ refresh: { jitter } }),
    accepts: [0, 0.1, 0.6, undefined],
    rejects: [-0.1, 0.667, 0.7, 1, '0.1', null],
  },
  {
    option: 'refresh.floor',
    file: (floor) => settings({ refresh: { floor } }),
    accepts: ['0s', '10s', '40m', undefined],
    rejects: [...ABSURD_DURATIONS.filter((text) => text !== ' 5m'), '41m', '1h'],
  },
  {
    option: 'backoff.initial',
    file: (initial) => settings({ backoff: { initial } }),
    accepts: ['1s', '60s', undefined],
    rejects: [...ABSURD_DURATIONS, '0s', '61s', '2h'],
  },
  {
    option: 'backoff.max',
    file: (max) => settings({ backoff: { max, initial: '2s' } }),
    accepts: ['2s', '1m', '1h', undefined],
    rejects: [...ABSURD_DURATIONS, '1s', '2h'],
  },
  {
    option: 'http.host',
    file: (host) => settings({ http: { host } }),
    accepts: ['::', '0.0.0.0', '127.0.0.1', '::1', 'localhost', undefined],
    rejects: ['', '*', '[::]', 'http://localhost', '127.0.0.1:9467', 'a b', 1, null],
  },
  {
    option: 'http.port',
    file: (port) => settings({ http: { port } }),
    accepts: [0, 1, 65_535, undefined],
    rejects: [-1, 65_536, 0.5, '9467', null],
  },
  {
    option: 'log.level',
    file: (level) => settings({ log: { level } }),
    accepts: [...LOG_LEVELS, undefined],
    rejects: ['silent', 'INFO', '', 30, null],
  },
]);

test('defaults fill every option that may be left out', () => {
  assert.deepEqual(configSchema.parse({ credentials: [credential()] }), {
    credentials: [
      credential({
        connection: { sslmode: 'require' },
        sinks: [{ file: { path: '/run/lakebase/token', format: 'token', mode: 0o600 } }],
      }),
    ],
    minter: { cli: { command: 'databricks', timeout: 30_000, concurrency: 4 } },
    refresh: { at: 0.667, jitter: 0.1, floor: 10_000 },
    backoff: { initial: 1_000, max: 60_000 },
    http: { host: '::', port: 9467 },
    log: { level: 'info' },
  });
});
