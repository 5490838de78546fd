import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootId } from '../../src/platform/boot.ts';
import { NOT_LINUX } from '../support/linux.ts';

test('the start of the machine has a name, which stays as long as the machine runs', { skip: NOT_LINUX }, () => {
  assert.match(bootId()!, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  assert.equal(bootId(), bootId());
});
