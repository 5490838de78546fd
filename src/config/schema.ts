import * as z from 'zod/mini';
import { options } from './options.ts';
import { brokenRules } from './rules.ts';

/** The whole configuration file: every option, and what must hold between them. */
export const configSchema = options.check(
  z.superRefine(
    (draft, context) => {
      // Each with everything around it. A set, because a file can have as many mistakes as options.
      const wrong = new Set(
        context.issues.flatMap(({ path = [] }) => path.map((_, i) => JSON.stringify(path.slice(0, i + 1)))),
      );
      const rules = brokenRules(draft, (path) => wrong.has(JSON.stringify(path)));
      for (const { path, message } of rules) context.addIssue({ code: 'custom', path, message });
    },
    { when: () => true }, // also when an option is wrong by itself, so that every problem is listed at once
  ),
);
