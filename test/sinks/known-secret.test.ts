import assert from 'node:assert/strict';
import test from 'node:test';
import { SinkError } from '../../src/credential/errors.ts';
import { KnownSecret } from '../../src/sinks/known-secret.ts';

const UNSEEN = new SinkError('unreachable', 'has not been checked yet');
const SILENT = new SinkError('unreachable', 'no answer');

function version(resourceVersion: string, more: object = { data: { password: 'dG9rZW4=' } }) {
  return { metadata: { name: 'lakebase', resourceVersion }, ...more };
}

test('why a Secret could not be asked for is the answer until something is known of it, and not afterwards', () => {
  for (const tell of [
    (known: KnownSecret) => known.present(version('1')),
    (known: KnownSecret) => known.absent(),
    (known: KnownSecret) => known.take({ type: 'ADDED', object: version('1') }),
  ]) {
    const known = new KnownSecret('lakebase', UNSEEN);
    assert.equal(known.problem, UNSEEN);
    known.stillUnknown(SILENT);
    assert.equal(known.problem, SILENT);
    tell(known);
    assert.equal(known.problem, undefined);
    known.stillUnknown(SILENT);
    assert.equal(known.problem, undefined, 'an API server that is away takes nothing from what readers have');
  }
});

test('an event is news only if it tells of a later version than what is known already', () => {
  const known = new KnownSecret('lakebase', UNSEEN);
  known.present(version('7'));
  for (const [type, object, isNews] of [
    ['MODIFIED', version('6'), false],
    ['MODIFIED', version('7'), false],
    ['DELETED', version('7'), false],
    ['BOOKMARK', version('9', {}), false],
    ['MODIFIED', { metadata: null }, false],
    ['MODIFIED', { metadata: { name: 'another', resourceVersion: '8' } }, false],
    ['MODIFIED', version('8'), true],
  ] as const) {
    const before = known.news;
    assert.equal(known.take({ type, object }), isNews, `${type} ${JSON.stringify(object)}`);
    assert.equal(known.news - before, isNews ? 1 : 0);
    assert.deepEqual(known.object, isNews ? object : version('7'));
  }
});

test('a Secret that is deleted is gone, and what is older than its end does not bring it back', () => {
  const known = new KnownSecret('lakebase', UNSEEN);
  known.present(version('7'));
  assert.equal(known.take({ type: 'DELETED', object: version('8') }), true);
  assert.equal(known.object, undefined);
  assert.equal(known.take({ type: 'MODIFIED', object: version('8') }), false);
  assert.equal(known.object, undefined);
  assert.equal(known.isAheadOf(version('7')), true, 'an apply that was answered late is outdated');
  assert.equal(known.isAheadOf(version('8')), false);
  assert.equal(known.isAheadOf(version('9')), false);
});
