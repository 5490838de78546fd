import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Check, CredentialStatus } from '../../src/credential/status.ts';
import { createServer, type ServerOptions } from '../../src/http/server.ts';
import { credentialWith, frozenClock, holding, lacking, statusWith } from '../support/statuses.ts';

const SCHEDULER: Check = { name: 'scheduler', isOk: true, reason: 'last ran 0 s ago' };

function serverWith(statuses: readonly CredentialStatus[], overrides: Partial<ServerOptions> = {}) {
  return createServer({
    clock: frozenClock,
    version: '1.2.3',
    liveness: () => [SCHEDULER],
    statuses: async () => await Promise.resolve(statuses),
    renderMetrics: async () => await Promise.resolve({ contentType: 'text/plain', body: '' }),
    log: { error: (fields) => assert.fail(JSON.stringify(fields)) },
    ...overrides,
  });
}

const current = credentialWith();
const almostDead = credentialWith({ leftMs: 29_000 });
const expired = credentialWith({ leftMs: -4_000 });
const SECRET = 'secret:backstage/lakebase';
const unwritten = lacking('unwritable', 'the api server refuses', SECRET);

describe('/readyz', () => {
  const rows: {
    title: string;
    statuses: CredentialStatus[];
    url?: string;
    status: number;
    body: string | RegExp;
  }[] = [
    { title: 'is 200 while every sink holds a usable token', statuses: [statusWith()], status: 200, body: 'ok' },
    {
      title: 'stays 200 after a failed refresh',
      statuses: [
        statusWith({
          consecutiveFailures: 9,
          lastFailure: { code: 'network', message: 'it is away', remedy: 'check the network', at: 0 },
        }),
      ],
      status: 200,
      body: 'ok',
    },
    {
      title: 'speaks of what the sink holds, not of what was minted last',
      statuses: [statusWith({ current: almostDead, sinks: [holding(current)] })],
      status: 200,
      body: 'ok',
    },
    {
      title: 'is 503 below the margin of 30 s',
      statuses: [statusWith({ sinks: [holding(almostDead)] })],
      status: 503,
      body: '[-]backstage file:/run/lakebase/pgpass failed: expires in 29 s\nreadyz check failed\n',
    },
    {
      title: 'is 503 once expired',
      statuses: [statusWith({ sinks: [holding(expired)] })],
      status: 503,
      body: /failed: expired 4 s ago\n/,
    },
    {
      title: 'is 503 while a single sink of several lacks it, and names only that one',
      statuses: [statusWith({ sinks: [holding(current), unwritten] })],
      status: 503,
      body: `[-]backstage ${SECRET} failed: the api server refuses\nreadyz check failed\n`,
    },
    {
      title: 'asks about file sinks only with sinks=file',
      statuses: [statusWith({ sinks: [holding(current), unwritten] })],
      url: '/readyz?sinks=file',
      status: 200,
      body: 'ok',
    },
    {
      title: 'is 503 with sinks=file where there are no file sinks',
      statuses: [statusWith({ sinks: [holding(current, SECRET)] })],
      url: '/readyz?sinks=file',
      status: 503,
      body: '[-]sinks failed: there are none\nreadyz check failed\n',
    },
    { title: 'is 503 without any credential', statuses: [], status: 503, body: /there are none/ },
    {
      title: 'is 503 without any sink, also when verbose',
      statuses: [statusWith({ sinks: [] })],
      url: '/readyz?verbose',
      status: 503,
      body: /readyz check failed\n$/,
    },
    {
      title: 'refuses unknown kinds of sinks',
      statuses: [statusWith()],
      url: '/readyz?sinks=disk',
      status: 400,
      body: 'sinks must be one of file, secret, given once\n',
    },
    {
      title: 'refuses sinks given twice',
      statuses: [statusWith()],
      url: '/readyz?sinks=file&sinks=secret',
      status: 400,
      body: /given once/,
    },
    {
      title: 'refuses a misspelt parameter instead of asking something else',
      statuses: [statusWith()],
      url: '/readyz?sink=file',
      status: 400,
      body: 'unknown parameter; allowed here: verbose, sinks\n',
    },
    {
      title: 'lists every check with verbose, as the Kubernetes API server does',
      statuses: [statusWith({ sinks: [holding(current), unwritten] })],
      url: '/readyz?verbose=true',
      status: 503,
      body: `[+]backstage file:/run/lakebase/pgpass ok: expires in 2400 s\n[-]backstage ${SECRET} failed: the api server refuses\nreadyz check failed\n`,
    },
  ];
  for (const { title, statuses, url = '/readyz', status, body } of rows) {
    test(title, async () => {
      const response = await serverWith(statuses).inject(url);
      assert.equal(response.statusCode, status);
      if (typeof body === 'string') assert.equal(response.body, body);
      else assert.match(response.body, body);
      assert.equal(response.headers['content-type'], 'text/plain; charset=utf-8');
      assert.equal(response.headers['cache-control'], 'no-store');
    });
  }

  test('looks again at each request, so it turns back without a refresh', async () => {
    const sinks = [lacking('missing', 'the file is not there')];
    const server = serverWith([], { statuses: async () => await Promise.resolve([statusWith({ sinks })]) });
    assert.equal((await server.inject('/readyz')).statusCode, 503);
    sinks[0] = holding(current);
    assert.equal((await server.inject('/readyz')).statusCode, 200);
    sinks[0] = holding(expired);
    assert.equal((await server.inject('/readyz')).statusCode, 503);
  });

  test('keeps one line for each check, whatever an error says', async () => {
    const statuses = [statusWith({ sinks: [lacking('unknown', 'one\n[+]two ok')] })];
    assert.equal(
      (await serverWith(statuses).inject('/readyz')).body.split('\n')[0],
      '[-]backstage file:/run/lakebase/pgpass failed: one [+]two ok',
    );
  });
});

describe('/healthz', () => {
  test('is 200 without a look at any sink', async () => {
    const server = serverWith([], { statuses: () => assert.fail('looked') });
    const response = await server.inject('/healthz');
    assert.deepEqual([response.statusCode, response.body], [200, 'ok']);
  });

  test('lists its checks with verbose', async () => {
    const response = await serverWith([]).inject('/healthz?verbose');
    assert.equal(response.statusCode, 200);
    assert.equal(response.body, '[+]scheduler ok: last ran 0 s ago\nhealthz check passed\n');
  });

  test('is 503 when one check fails, and says which', async () => {
    const stuck: Check = { name: 'backstage', isOk: false, reason: 'a refresh is 61 s overdue and none is running' };
    const response = await serverWith([], { liveness: () => [SCHEDULER, stuck] }).inject('/healthz');
    assert.equal(response.statusCode, 503);
    assert.equal(response.body, `[-]backstage failed: ${stuck.reason}\nhealthz check failed\n`);
  });

  test('is 503 when nothing is checked', async () => {
    assert.equal((await serverWith([], { liveness: () => [] }).inject('/healthz')).statusCode, 503);
  });

  test('knows nothing of sinks', async () => {
    assert.equal((await serverWith([]).inject('/healthz?sinks=file')).statusCode, 400);
  });
});
