import fs from 'node:fs';
import { promisify } from 'node:util';

// What `node:fs/promises` has, by the callbacks that Node.js has loaded anyway: the promises bring the readline and the
// history of Node's prompt, of which the first credential would wait for 3 of some 50 ms, and 1.4 MB stay.
export const { constants } = fs;
export const access = promisify(fs.access);
/** A file is closed by who opened it: no garbage collector would do that for a number. */
export const close = promisify(fs.close);
export const fchmod = promisify(fs.fchmod);
export const fstat = promisify(fs.fstat);
export const fsync = promisify(fs.fsync);
export const lstat = promisify(fs.lstat);
export const mkdir = promisify(fs.mkdir);
export const open = promisify(fs.open);
export const opendir = promisify(fs.opendir);
export const read = promisify(fs.read);
export const readFile = promisify(fs.readFile);
export const realpath = promisify(fs.realpath.native);
export const rename = promisify(fs.rename);
export const stat = promisify(fs.stat);
export const unlink = promisify(fs.unlink);
export const writeFile = promisify(fs.writeFile);
