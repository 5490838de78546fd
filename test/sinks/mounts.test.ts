import assert from 'node:assert/strict';
import test from 'node:test';
import { isMountPoint, parseMountPoints } from '../../src/sinks/mounts.ts';
import { temporaryDirectory } from '../support/cleanup.ts';
import { NOT_LINUX } from '../support/linux.ts';

test('mount points are read with their escapes, whatever optional fields follow', () => {
  const mountinfo = [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    '36 35 98:0 /a\\040b /run/with\\040blank\\011tab rw,noatime shared:1 master:2 - ext4 /dev/root rw',
    '37 35 98:0 /c /run/back\\134slash rw - ext4 /dev/root rw',
    '38 35 98:0 /d /run/é rw - ext4 /dev/root rw',
    '',
  ].join('\n');
  assert.deepEqual(
    [...parseMountPoints(mountinfo)],
    ['/proc', '/run/with blank\ttab', String.raw`/run/back\slash`, '/run/é'],
  );
});

test('what is mounted is a mount point, a plain directory is none', { skip: NOT_LINUX }, async (t) => {
  assert.equal(await isMountPoint('/proc'), true);
  assert.equal(await isMountPoint(await temporaryDirectory(t)), false);
});
