import * as z from 'zod/mini';
import { configSchema } from './schema.ts';

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Of the configuration file, for editors and for Helm, which reads draft 7. No start needs what makes it. */
export function configJsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' });
}
