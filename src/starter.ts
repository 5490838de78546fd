#!/usr/bin/env node
import { join } from 'node:path';
import { Parts } from './platform/parts.ts';

// What `dist/main.js` is: the bundle of main.ts lies in parts beside it.
const directory = import.meta.dirname;
new Parts(join(directory, 'parts')).require('./main.js');
