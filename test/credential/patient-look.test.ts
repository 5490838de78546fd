import assert from 'node:assert/strict';
import test from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PatientLook } from '../../src/credential/patient-look.ts';
import { FakeClock } from '../support/fake-clock.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('who asks for days about a sink on a disk that hangs takes no memory for that', async () => {
  const clock = new FakeClock();
  const look = new PatientLook('file:/disk/token', clock);
  const hanging = Promise.withResolvers<never>().promise;
  const ask = async (times: number): Promise<number> => {
    for (let i = 0; i < times; i += 1) {
      const told = look.look(async () => await hanging);
      await clock.advance(2_000);
      assert.equal((await told).state, 'lacks');
    }
    collect();
    await clock.idle(); // what is collected is forgotten in the next turn
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await ask(1_000);
  const grownBy = (await ask(4_000)) - before;
  assert.ok(grownBy < 1_000_000, `${grownBy} bytes more`);
});
