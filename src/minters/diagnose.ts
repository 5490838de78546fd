import { type Diagnosis, RULES } from './cli-words.ts';

const UNKNOWN: Diagnosis = { failure: 'unknown', message: 'the Databricks CLI failed' };

/** What users choose: names of projects and service accounts, addresses, paths, the settings that the CLI lists after its message. */
const CHOSEN_BY_USERS = /\bprojects\/\S+|\bsystem:serviceaccount:[^\s'"]+|\bhttps?:\/\/[^\s"]+|"\/[^"]*"| Config: .*/g;

/** More is not looked at, so that no text, however hostile, takes long. */
const MAX_SCANNED = 8_000;

export function diagnose(stderr: string): Diagnosis {
  const words = stderr.slice(0, MAX_SCANNED).replaceAll(CHOSEN_BY_USERS, '');
  return RULES.find(({ pattern }) => pattern.test(words)) ?? UNKNOWN;
}
