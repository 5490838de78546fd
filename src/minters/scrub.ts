import type { Secret } from '../credential/secret.ts';

const BLOT = '[secret]';
/** A few words of the command say what went wrong; the rest is usage text or a dump of the exchange. */
const MAX_LENGTH = 400;
/** Shorter values would blot out ordinary words. */
const MIN_SECRET_LENGTH = 4;

/** What looks like a secret, whoever it belongs to. */
const SHAPES: readonly RegExp[] = [
  /eyJ[\w-]*(?:\.[\w-]*)*/g, // JSON Web Token, also a torn one
  /\b(?:bearer|basic)\s+[^\s"',]+/gi,
  /\b(?:dapi|dose|dkea)[0-9a-f]{8,}\S*/gi, // Databricks access tokens and OAuth secrets
  /(["']?\b\w*(?:secret|token|password|assertion)["']?\s*[:=]\s*["']?)(?!\s|["']?$|\*\*\*)[^\s"',&}]+/gi,
  /(?=[\w+/=-]*[a-z])(?=[\w+/=-]*[A-Z])(?=[\w+/=-]*\d)[\w+=-]{40,}/g,
];

/** The command's words, fit for a log: without secrets, by shape and by value, on one line, and short. */
export function scrub(text: string, secrets: readonly Secret[]): string {
  let clean = text;
  for (const secret of secrets) {
    const value = secret.reveal();
    if (value.length >= MIN_SECRET_LENGTH) clean = clean.replaceAll(value, BLOT);
  }
  for (const shape of SHAPES)
    clean = clean.replace(shape, (_match, name) => (typeof name === 'string' ? name : '') + BLOT);
  const [words = ''] = clean.trim().split(/\n\s*\n|Request log:|\n```/);
  const line = words.replaceAll(/\s+/g, ' ').trim();
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)}…` : line;
}
