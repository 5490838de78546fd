import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordedRequest } from './request-log.ts';

export interface TranscriptRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization?: string;
  readonly contentType?: string;
  readonly userAgent?: string;
  readonly workspaceId?: string;
  readonly body: string;
}

export interface Transcript {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly requests: readonly TranscriptRequest[];
}

/** What the real CLI did. */
export function readTranscripts(): readonly Transcript[] {
  const path = join(import.meta.dirname, '../fixtures/cli-transcripts.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { cases: Transcript[] }).cases;
}

/** Values that differ from run to run, and the braces that stand for them. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '{jwt}'],
  [/access-[0-9a-f]{48}/g, '{access-token}'],
  [/"request_id":"[^"]*"/g, '"request_id":"{uuid}"'],
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '{uuid}'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '{rfc3339}'],
  [/cli\/[\d.]+ databricks-sdk-go\/[\d.]+ go\/(?:[\d.]+|\{version\}) os\/\w+/g, '{user-agent}'],
  [/Traceparent: [\w-]+/g, 'Traceparent: {traceparent}'],
  [/Date: \w{3}, [\w: ]+ GMT/g, 'Date: {date}'],
  [/ on (?:[\d.]+|\[[\da-f:]+\]):\d+: no such host/g, ' on {resolver}: no such host'],
];

export type Places = Readonly<Record<string, string>>;

/** `places` says which text of this run stands for which braces. */
export function normalise(text: string, places: Places = {}): string {
  let normalised = text;
  for (const [braces, value] of Object.entries(places)) normalised = normalised.replaceAll(value, braces);
  for (const [pattern, braces] of PATTERNS) normalised = normalised.replace(pattern, braces);
  return normalised;
}

/** The other way round: what another run would have had in these places. */
export function fill(text: string, places: Places): string {
  return Object.entries(places).reduce((filled, [braces, value]) => filled.replaceAll(braces, value), text);
}

function normaliseAuthorization(header: string, places: Places): string {
  const pair = /^Basic (.+)$/.exec(header)?.[1];
  if (pair === undefined) return normalise(header, places);
  const [id = ''] = Buffer.from(pair, 'base64').toString().split(':');
  return `Basic base64(${normalise(id, places)}:{client-secret})`;
}

/** Forms are recorded decoded. */
function decodeForm(request: TranscriptRequest): string {
  return request.contentType === 'application/x-www-form-urlencoded' ? decodeURIComponent(request.body) : request.body;
}

export function normaliseRequest(request: RecordedRequest | TranscriptRequest, places: Places = {}): TranscriptRequest {
  const { method, path, authorization, contentType, userAgent, workspaceId } = request;
  return {
    method,
    path,
    ...(authorization === undefined ? {} : { authorization: normaliseAuthorization(authorization, places) }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(userAgent === undefined ? {} : { userAgent: normalise(userAgent, places) }),
    ...(workspaceId === undefined ? {} : { workspaceId }),
    body: normalise(decodeForm(request as TranscriptRequest), places),
  };
}

/** As `normalise`, for a request that was recorded with its braces. */
export function normaliseRecorded(request: TranscriptRequest): TranscriptRequest {
  return { ...request, userAgent: normalise(request.userAgent ?? ''), body: normalise(request.body) };
}
