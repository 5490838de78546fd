import { generateKeyPair } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { generate, type CertificateExtension } from 'selfsigned';
import { join } from 'node:path';
import { network, nodeName, stateDirectory } from './layout.ts';

interface Authority {
  readonly key: string;
  readonly cert: string;
}

interface Subject {
  readonly name: string;
  readonly group?: string;
  readonly isServer?: boolean;
}

/** Who there is in the cluster, by the name of its files; group and name are what Kubernetes' own roles are bound to. */
const SUBJECTS = {
  admin: { name: 'admin', group: 'system:masters' },
  apiserver: { name: 'kube-apiserver', isServer: true },
  'apiserver-kubelet': { name: 'kube-apiserver-kubelet-client', group: 'system:masters' },
  'controller-manager': { name: 'system:kube-controller-manager' },
  scheduler: { name: 'system:kube-scheduler' },
  kubelet: { name: `system:node:${nodeName}`, group: 'system:nodes', isServer: true },
} as const satisfies Record<string, Subject>;

export type SubjectName = keyof typeof SUBJECTS;

const NAMES = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
const ADDRESSES = ['127.0.0.1', network.apiServiceAddress, network.nodeAddress];

export function certificate(name: SubjectName | 'ca' | 'front-proxy-ca', root = stateDirectory): string {
  return join(root, 'pki', `${name}.crt`);
}

export function privateKey(name: SubjectName | 'ca' | 'service-account', root = stateDirectory): string {
  return join(root, 'pki', `${name}.key`);
}

export function serviceAccountPublicKey(root = stateDirectory): string {
  return join(root, 'pki', 'service-account.pub');
}

/** Writes the keys and certificates of everything that takes part, for this run of the cluster only. */
export async function writeCertificates(root = stateDirectory): Promise<void> {
  await mkdir(join(root, 'pki'), { recursive: true, mode: 0o700 });
  const [authority, frontProxy, serviceAccount] = await Promise.all([
    createAuthority('lakebase-test'),
    createAuthority('lakebase-test-front-proxy'),
    promisify(generateKeyPair)('rsa', { modulusLength: 2048 }),
  ]);
  await Promise.all([
    writeSecret(
      privateKey('service-account', root),
      serviceAccount.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    ),
    writeFile(serviceAccountPublicKey(root), serviceAccount.publicKey.export({ type: 'spki', format: 'pem' })),
    writeFile(certificate('front-proxy-ca', root), frontProxy.cert),
    writeSigned(authority, root),
  ]);
}

/** Everybody's certificates anew, by another authority. */
export async function replaceAuthority(root: string): Promise<void> {
  await writeSigned(await createAuthority('lakebase-test-successor'), root);
}

async function writeSigned(authority: Authority, root: string): Promise<void> {
  await Promise.all([
    writeFile(certificate('ca', root), authority.cert),
    writeSecret(privateKey('ca', root), authority.key),
    ...Object.entries(SUBJECTS).map(async ([file, subject]) => {
      const { cert, private: key } = await sign(subject, authority);
      await writeFile(certificate(file as SubjectName, root), cert);
      await writeSecret(privateKey(file as SubjectName, root), key);
    }),
  ]);
}

/** As of an older cluster: chaos sets the clock of a client back by up to twenty minutes. */
const VALID_SINCE_MS = 3_600_000;

async function createAuthority(name: string): Promise<Authority> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - VALID_SINCE_MS),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { cert, key };
}

async function sign({ name, group, isServer = false }: Subject, ca: Authority) {
  const extensions: CertificateExtension[] = [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', clientAuth: true, serverAuth: isServer },
  ];
  if (isServer) {
    const altNames = [
      ...NAMES.map((value) => ({ type: 2, value }) as const),
      ...ADDRESSES.map((ip) => ({ type: 7, ip }) as const),
    ];
    extensions.push({ name: 'subjectAltName', altNames });
  }
  const groups = group === undefined ? [] : [{ name: 'organizationName', value: group }];
  return generate([...groups, { name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - VALID_SINCE_MS),
    ca,
    extensions,
  });
}

async function writeSecret(path: string, content: string | Buffer): Promise<void> {
  await writeFile(path, content, { mode: 0o600 });
}
