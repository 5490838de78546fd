import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { VARIABLES } from '../src/config/environment.ts';
import { configJsonSchema } from '../src/config/json-schema.ts';
import { FORMATS } from '../src/credential/formats.ts';
import { chartShapes } from './chart-shapes.ts';

interface Schema {
  readonly [keyword: string]: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

const RULES = join(import.meta.dirname, '../charts/lakebase-credential-sidecar/files/rules.yaml');
const SHAPES = chartShapes();
const FORMAT = `(${FORMATS.join('|')})`;
/** With what is left of the controls Helm makes no YAML: it fails, or leaves out the whole map without a word. */
const text = { type: 'string', pattern: '^[^\\x7f-\\x9f]*$' } as const;
const string = { type: 'string' } as const;
const named = (pattern: string): Schema => ({ type: 'string', pattern });
const maybe = (pattern: string): Schema => named(`^$|${pattern}`);
const label = { ...named('^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$'), maxLength: 63 };
const listOf = (items: Schema): Schema => ({ type: 'array', items });
const mapOf = (values: Schema): Schema => ({ type: 'object', additionalProperties: values });
const object = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  properties,
  additionalProperties: false,
});

const DNS_LABEL = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
const DNS_NAME = patternOf('client-secret-name');
const WORKSPACE = patternOf('workspace-host');
const CLIENT_ID = patternOf('client-id');
/** 5m to 1h; the program's own schema says only that it is a duration. */
const TTL = patternOf('ttl');
/** As Kubernetes reads amounts, but none below zero, and none without a digit, which it takes for zero. */
const QUANTITY = { type: ['number', 'string'], minimum: 0, pattern: patternOf('memory-limit') };

/** Draft 7, as Helm reads it: its values, with the program's own configuration where the two are the same. */
export function chartValuesSchema(): object {
  const config = asHelmReads(configJsonSchema()) as Schema;
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...object({
      global: { type: 'object' },
      // What the `condition` of a dependency names. With false there Helm leaves the chart out, and looks at no values.
      enabled: { const: true },
      fullnameOverride: maybe(DNS_LABEL),
      image: object({
        repository: maybe('^[a-z0-9][A-Za-z0-9._:/-]*$'),
        tag: maybe('^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$'),
        digest: maybe('^sha256:[0-9a-f]{64}$'),
        pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
      }),
      env: environment(config),
      injection: injection(config),
      secretSync: secretSync(config),
      monitoring: monitoring(),
    }),
  };
}

/** What is the same for all: what is passed on to the CLI, but where it is, which the image knows. */
function environment(config: Schema): Schema {
  const passedOn = VARIABLES.filter(({ group, name }) => group === 'child' && name !== 'PATH');
  const line = named('^[^\\x00-\\x1f\\x7f-\\x9f]*$');
  return object({
    ...Object.fromEntries(passedOn.map(({ name }) => [name, line])),
    LAKEBASE_CREDENTIAL_LOG_LEVEL: config.properties!['log']!.properties!['level']!,
  });
}

function injection(config: Schema): Schema {
  const settings = {
    ...orNull(object(podSettings(config))),
    // Of `not` alone Helm says that it failed. No instance has such a name.
    if: { not: { required: ['endpoint', 'instance'], properties: { endpoint: string, instance: string } } },
    else: { properties: { instance: { const: 'left out, because endpoint is set' } } },
  };
  const ofValues = { properties: { operator: { enum: ['In', 'NotIn'] } } };
  return object({
    enabled: { enum: [true, false, 'auto'] },
    defaults: settings,
    namespaceDefaults: {
      type: 'object',
      propertyNames: named(DNS_LABEL),
      additionalProperties: settings,
    },
    namespaceSelector: object({
      matchLabels: mapOf(label),
      matchExpressions: listOf({
        ...object({ key: text, operator: { enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] }, values: listOf(label) }),
        required: ['key', 'operator'],
        // With `then` for one of them the linter would take this for a promise.
        allOf: [
          { if: ofValues, else: { properties: { values: { maxItems: 0 } } } },
          { if: { not: ofValues }, else: { required: ['values'], properties: { values: { minItems: 1 } } } },
        ],
      }),
    }),
  });
}

/** Null takes away what earlier values have given. What the chart's own have, Helm takes away itself. */
function orNull(schema: Schema): Schema {
  return { ...schema, type: [schema['type'], 'null'].flat() };
}

/** By the name of their annotation. */
function podSettings(config: Schema): Readonly<Record<string, Schema>> {
  const credential = config.properties!['credentials']!.items!.properties!;
  const connection = credential['connection']!.properties!;
  const settings: Readonly<Record<string, Schema>> = {
    endpoint: credential['endpoint']!,
    instance: credential['instance']!,
    ttl: { ...credential['ttl']!, pattern: TTL },
    'client-id': named(CLIENT_ID),
    'workspace-host': named(WORKSPACE),
    audience: { ...named(patternOf('audience')), minLength: 1 },
    'client-secret-name': named(DNS_NAME),
    files: named(`^${FORMAT}(,${FORMAT})*$`),
    directory: named(patternOf('directory')),
    containers: named('^[a-z0-9-]+(,[a-z0-9-]+)*$'),
    'pg-host': connection['host']!,
    'pg-database': connection['database']!,
    'pg-user': connection['user']!,
    'run-as-user': { type: ['integer', 'string'], minimum: 1, maximum: 2 ** 31 - 1, pattern: patternOf('run-as-user') },
    'cpu-request': QUANTITY,
    'cpu-limit': QUANTITY,
    'memory-request': QUANTITY,
    'memory-limit': QUANTITY,
  };
  return Object.fromEntries(Object.entries(settings).map(([name, schema]) => [name, orNull(schema)]));
}

function secretSync(config: Schema): Schema {
  const amounts = object({ cpu: QUANTITY, memory: QUANTITY, 'ephemeral-storage': QUANTITY });
  const port = { type: 'integer', minimum: 1, maximum: 65_535 };
  return object({
    enabled: { type: 'boolean' },
    replicas: { type: 'integer', minimum: 0, maximum: 10 },
    identity: object({
      workspaceHost: maybe(WORKSPACE),
      clientId: maybe(CLIENT_ID),
      audience: text,
      clientSecretName: maybe(DNS_NAME),
    }),
    config: object(onlySecrets(config)),
    keepSecrets: { type: 'boolean' },
    serviceAccount: object({ name: maybe(DNS_NAME), annotations: mapOf(text) }),
    networkPolicy: object({
      enabled: { type: 'boolean' },
      egressPorts: { ...listOf(port), minItems: 1 },
      ingressFrom: listOf(
        object({
          namespaceSelector: { type: 'object' },
          podSelector: { type: 'object' },
          ipBlock: { type: 'object' },
        }),
      ),
    }),
    resources: object({ requests: amounts, limits: amounts }),
    imagePullSecrets: listOf(named(DNS_NAME)),
    nodeSelector: mapOf(label),
    tolerations: listOf({ type: 'object' }),
    affinity: object({
      nodeAffinity: { type: 'object' },
      podAffinity: { type: 'object' },
      podAntiAffinity: { type: 'object' },
    }),
    topologySpreadConstraints: listOf({ type: 'object' }),
    priorityClassName: maybe(DNS_NAME),
    podAnnotations: mapOf(text),
    podLabels: mapOf(label),
  });
}

function monitoring(): Schema {
  const enabled = { enum: [true, false, 'auto'] };
  const labels = mapOf(label);
  return object({
    enabled: { type: 'boolean' },
    podMonitor: object({
      enabled,
      labels,
      interval: named('^(([1-9][0-9]*h)?([1-9][0-9]*m)?([1-9][0-9]*s)?([1-9][0-9]*ms)?)$'),
    }),
    prometheusRule: object({
      enabled,
      labels,
      runbookBaseUrl: maybe('^https?://[^\\s]+$'),
      exclude: { ...listOf({ enum: alertNames() }), uniqueItems: true },
    }),
    dashboard: object({ enabled, labels, annotations: mapOf(text) }),
  });
}

function alertNames(): string[] {
  const { groups } = parse(readFileSync(RULES, 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly { readonly alert?: string }[] }[];
  };
  return groups.flatMap(({ rules }) => rules.flatMap(({ alert }) => alert ?? []));
}

/** The program's own options, but for what a pod without a shared volume cannot have. */
function onlySecrets({ properties }: Schema): Readonly<Record<string, Schema>> {
  const { credentials, http, ...rest } = properties!;
  const credential = credentials!.items!;
  const { sinks, ttl, ...others } = credential.properties!;
  const { secret } = sinks!.items!.properties!;
  const sink = { ...object({ secret: secret! }), required: ['secret'] };
  const { host, port } = http!.properties!;
  return {
    credentials: {
      ...credentials!,
      items: {
        ...credential,
        properties: { ...others, ttl: { ...ttl!, pattern: TTL }, sinks: { ...sinks!, items: sink } },
      },
    },
    // A probe comes from outside of the pod, to whatever address that gets, and needs a port that is known.
    http: { ...http!, properties: { host: { ...host!, enum: ['::', '0.0.0.0'] }, port: { ...port!, minimum: 1 } } },
    ...rest,
  };
}

/** Of a setting, as the templates have it: both refuse the same. */
function patternOf(setting: string): string {
  return SHAPES[setting]!.pattern;
}

/** As Helm reads regular expressions: without lookaheads, and with an idea of its own of white space. */
function asHelmReads(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asHelmReads);
  if (typeof schema !== 'object' || schema === null) return schema;
  const own = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, asHelmReads(value)]));
  return typeof own['pattern'] === 'string' ? { ...own, ...plainPattern(own['pattern']) } : own;
}

function plainPattern(pattern: string): Schema {
  const length = /^\^\(\?=\.\{1,(\d+)\}\$\)/.exec(pattern);
  if (length !== null) return { pattern: `^${pattern.slice(length[0].length)}`, maxLength: Number(length[1]) };
  const dots = '^(?!\\.{1,2}$)(?!\\.\\.)';
  if (pattern.startsWith(dots))
    return { pattern: `^${pattern.slice(dots.length)}`, not: { pattern: '^(\\.$|\\.\\.)' } };
  if (pattern.includes('(?')) throw new Error(`Helm cannot read ${pattern}`);
  // To Helm `\s` is ASCII's white space only. It stands in classes everywhere.
  return { pattern: pattern.replaceAll(String.raw`\s`, String.raw`\s\p{Z}`) };
}
