import * as z from 'zod/mini';
import { options } from './options.ts';
import { brokenRules } from './rules.ts';

/** The whole configuration file: every option, and what must hold between them. */
export const configSchema = options.check(
  z.superRefine(
    (draft, context) => {
      const wrong = context.issues.map(({ path = [] }) => path);
      const rules = brokenRules(draft, (path) => wrong.some((other) => path.every((part, i) => part === other[i])));
      for (const { path, message } of rules) context.addIssue({ code: 'custom', path, message });
    },
    { when: () => true }, // also when an option is wrong by itself, so that every problem is listed at once
  ),
);
