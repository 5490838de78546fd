#!/usr/bin/env node
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Parts } from './platform/parts.ts';

// What `dist/main.js` is: the bundle of main.ts lies in parts beside it.
const directory = import.meta.dirname;
new Parts(join(directory, 'parts'), createRequire(import.meta.filename)).require('./main.js');
