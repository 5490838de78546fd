import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTROLS } from '../../src/config/control.ts';

test('a control character is what Unicode calls one', () => {
  const wrong: number[] = [];
  for (let code = 0; code <= 0x10_ff_ff; code += 1) {
    const character = String.fromCodePoint(code);
    if (CONTROLS.test(character) !== /\p{Cc}/u.test(character)) wrong.push(code);
  }
  assert.deepEqual(wrong, []);
});
