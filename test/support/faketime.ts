import { existsSync } from 'node:fs';

const DEBIAN_ARCHITECTURE: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

/** The library that lies about the clock, where Debian has it. */
export const FAKETIME = `/usr/lib/${DEBIAN_ARCHITECTURE[process.arch] ?? process.arch}-linux-gnu/faketime/libfaketime.so.1`;
export const HAS_FAKETIME = existsSync(FAKETIME);
