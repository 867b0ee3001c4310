/** From sealed bytes to a Contract, through the four exported steps. Signatures are made by the openssl command line. */
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t from 'tap';
import { decryptContract } from '../../../agent/contract/decrypt.ts';
import { fingerprintOf } from '../../../agent/contract/public-key.ts';
import type { Contract, OpenedContract, VerifiedContract } from '../../../agent/contract/types.ts';
import { validateContract } from '../../../agent/contract/validate.ts';
import { type VerificationRules, verifyContract } from '../../../agent/contract/verify.ts';
import { AgentError } from '../../../agent/errors.ts';
import { Secret } from '../../../agent/secret.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');
const text = (...parts: string[]): string => readFileSync(join(fixtures, ...parts), 'utf8');
const guest = createPrivateKey(text('keys', 'THROWAWAY-guest-key.pem'));
const signerFile = join(fixtures, 'keys', 'THROWAWAY-signer-key.pem');
const publicPem = text('keys', 'THROWAWAY-signer.pub');
const certificatePem = text('keys', 'THROWAWAY-signer.crt');
const fingerprint = fingerprintOf(createPublicKey(publicPem));
const workload = text('contracts', 'parts', 'workload.yaml');
const env = text('contracts', 'parts', 'env.yaml');
const at = new Date('2026-06-01T00:00:00Z');

const sign = (message: string, key = signerFile): string =>
  execFileSync('openssl', ['dgst', '-sha256', '-sign', key], { input: message }).toString('base64');
const base64 = (value: string): string => Buffer.from(value).toString('base64');
const block = (value: string): string => value.replace(/^(?=.)/gm, '  ');
const contract = (envText: string, extra: string, workloadText = workload): Buffer =>
  Buffer.from(`workload: |\n${block(workloadText)}env: |\n${block(envText)}${extra}`);
const open = (bytes: Buffer): OpenedContract =>
  decryptContract({ kind: 'sealed', bytes, source: 'test', localHostname: null }, guest);
const verify = (bytes: Buffer, rules: Partial<VerificationRules> = {}): VerifiedContract =>
  verifyContract(open(bytes), { trustedSigners: [], at, ...rules });
const idOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof AgentError) return error.id;
    throw error;
  }
  return 'good';
};

const signed = (signingKey: string, message: (w: string, e: string) => string = (w, e) => w + e): Buffer => {
  const envText = `${env}signingKey: ${signingKey}\n`;
  return contract(envText, `envWorkloadSignature: ${sign(message(workload, envText))}\n`);
};
const pemBlock = (pem: string): string => `|\n  ${pem.trim().replaceAll('\n', '\n  ')}`;

t.test('every form of signingKey', async (t) => {
  const forms: Readonly<Record<string, string>> = {
    'PEM public key': pemBlock(publicPem),
    'PEM certificate': pemBlock(certificatePem),
    'base64 of the public key': base64(publicPem),
    'base64 of the certificate': base64(certificatePem),
    'base64 twice, as tooling writes expiry certificates': base64(base64(certificatePem)),
    'base64 three times': base64(base64(base64(publicPem))),
    'line breaks spelt out': base64(certificatePem.replaceAll('\n', '\\n')),
    'base64 over several lines': `|\n  ${base64(publicPem).replace(/.{64}/g, '$&\n  ')}`,
    'base64 over several lines, line breaks spelt out': `'${base64(publicPem).replace(/.{64}/g, '$&\\n')}'`,
    'CR LF': JSON.stringify(publicPem.replaceAll('\n', '\r\n')),
    'certificate after its description': base64(
      execFileSync('openssl', ['x509', '-text'], { input: certificatePem }).toString(),
    ),
    'line breaks spelt out, not encoded': JSON.stringify(publicPem.replaceAll('\n', '\\n')),
  };
  for (const [name, form] of Object.entries(forms)) {
    const { signer, findings } = verify(signed(form), { trustedSigners: [fingerprint] });
    t.equal(signer?.fingerprint, fingerprint, name);
    t.equal(signer?.trusted, true, name);
    t.same(
      signer?.certificateNotAfter ?? null,
      name.includes('certificate') || name === 'line breaks spelt out' ? new Date('2027-01-01T00:00:00Z') : null,
      name,
    );
    t.same(findings, [], name);
  }
  t.equal(
    fingerprint,
    execFileSync('sh', ['-c', `openssl pkey -pubin -outform DER | sha256sum`], { input: publicPem })
      .toString()
      .slice(0, 64),
    'fingerprint as openssl and sha256sum make it',
  );
});

t.test('what a signature may cover', async (t) => {
  const key = base64(publicPem);
  t.same(
    verify(signed(key)).findings.map(({ code }) => code),
    ['SIGNER_UNPINNED'],
  );
  const stripped = verify(signed(key, (w, e) => (w + e).replace(/[\r\n]/g, '')));
  t.same(
    stripped.findings.map(({ code }) => code),
    ['SIGNER_UNPINNED', 'SIGNATURE_WITHOUT_LINE_BREAKS'],
  );
  const { fingerprint = '' } = verify(signed(key)).signer ?? {};
  t.equal(verify(signed(key), { trustedSigners: [fingerprint] }).signer?.trusted, true);
  t.equal(
    idOf(() =>
      verify(
        signed(key, (w, e) => (w + e).replace(/[\r\n]/g, '')),
        { trustedSigners: [fingerprint] },
      ),
    ),
    'HPL12001E',
    'a host could move line breaks, so not when a signer is pinned',
  );
  for (const [name, message] of Object.entries({
    'env first': (w: string, e: string) => e + w,
    'a line between': (w: string, e: string) => `${w}\n${e}`,
    'workload only': (w: string) => w,
    'something else': () => 'x',
  })) {
    t.equal(
      idOf(() => verify(signed(key, message))),
      'HPL12001E',
      name,
    );
  }
});

t.test('what is refused, and with which id', async (t) => {
  const good = signed(base64(publicPem)).toString();
  const tail = (from: string, to: string): Buffer => Buffer.from(good.replace(from, to));
  const signature = /envWorkloadSignature: (.+)\n/.exec(good)?.[1] ?? '';
  const table: Readonly<Record<string, readonly [string, () => unknown]>> = {
    'signature without key': ['HPL12004E', () => verify(contract(env, `envWorkloadSignature: ${signature}\n`))],
    'key without signature': ['HPL12004E', () => verify(contract(`${env}signingKey: ${base64(publicPem)}\n`, ''))],
    'changed env': ['HPL12001E', () => verify(tail('env_phrase_00000001', 'env_phrase_00000002'))],
    'changed workload': ['HPL12001E', () => verify(tail('workload_phrase_0001', 'workload_phrase_0002'))],
    'changed signature': ['HPL12001E', () => verify(tail(signature, `${signature.slice(0, -5)}AAA==`))],
    'signature cut short': ['HPL12001E', () => verify(tail(signature, signature.slice(0, 340)))],
    'signature that is no base64': ['HPL05001E', () => verify(tail(signature, 'A'))],
    'signed by another key': [
      'HPL12001E',
      () => verify(tail(signature, sign('x', join(fixtures, 'keys', 'THROWAWAY-other-key.pem')))),
    ],
    'key that is no key': ['HPL12001E', () => verify(signed('aGVsbG8='))],
    'key in four layers': ['HPL12001E', () => verify(signed(base64(base64(base64(base64(publicPem))))))],
    'EC key': [
      'HPL12001E',
      () =>
        verify(
          signed(
            base64(
              execFileSync('sh', [
                '-c',
                'openssl ecparam -genkey -name prime256v1 2>/dev/null | openssl ec -pubout 2>/dev/null',
              ]).toString(),
            ),
          ),
        ),
    ],
    'nested section under a signature': [
      'HPL12001E',
      () =>
        verify(
          Buffer.from(
            `workload: ${JSON.stringify(workload)}\nenv:\n${block(`${env}signingKey: ${base64(publicPem)}\n`)}envWorkloadSignature: ${signature}\n`,
          ),
        ),
    ],
    expired: ['HPL12007E', () => verify(signed(base64(certificatePem)), { at: new Date('2027-01-01T00:00:01Z') })],
    'last second': ['good', () => verify(signed(base64(certificatePem)), { at: new Date('2027-01-01T00:00:00Z') })],
    'not yet valid': [
      'TSD05001E',
      () => verify(signed(base64(certificatePem)), { at: new Date('2025-12-31T23:59:59Z') }),
    ],
    'unknown time': ['TSD05001E', () => verify(signed(base64(certificatePem)), { at: new Date('nonsense') })],
    'unpinned signer': ['TSD05002E', () => verify(signed(base64(publicPem)), { trustedSigners: ['0'.repeat(64)] })],
    'unsigned where signers are pinned': [
      'TSD05003E',
      () => verify(contract(env, ''), { trustedSigners: [fingerprint] }),
    ],
    'unsigned elsewhere': ['good', () => verify(contract(env, ''))],
  };
  for (const [name, [id, act]] of Object.entries(table)) t.equal(idOf(act), id, name);
  t.same(
    verify(contract(env, '')).findings.map(({ code }) => code),
    ['CONTRACT_UNSIGNED'],
  );
});

t.test('the checked-in contracts, signed by the openssl command line, go down the whole line', async (t) => {
  for (const name of ['signed.yaml', 'expires-2027.yaml']) {
    const bytes = readFileSync(join(fixtures, 'contracts', 'sealed', name));
    const pem = Secret.fromText(text('keys', 'THROWAWAY-guest-key.pem'));
    const opened = decryptContract({ kind: 'sealed', bytes, source: 'disk', localHostname: 'orders-1' }, pem);
    const result = validateContract(verifyContract(opened, { trustedSigners: [fingerprint], at }), {
      profile: 'hpvs',
      minimumSerial: 0,
    });
    const volume = result.volumes[0];
    t.match(result, {
      profile: 'hpvs',
      source: 'disk',
      localHostname: 'orders-1',
      serial: 0,
      loggingConfigured: 'syslog',
      workloadKind: 'compose',
    });
    t.match(volume, {
      key: 'data',
      mount: '/mnt/data',
      filesystem: 'ext4',
      kmsTimeoutMinutes: 10,
      intent: 'auto',
      unsupportedSeedSource: null,
      previousEnvSeed: null,
      volumeID: null,
    });
    t.equal(volume?.envSeed.expose(String), 'env_phrase_00000001');
    t.equal(volume?.workloadSeed.expose(String), 'workload_phrase_0001');
    t.equal(volume?.kms[0]?.apiKey.expose(String), 'not_a_real_api_key');
    t.match(volume?.kms[0], { crn: /^crn:v1:bluemix:public:kms:/, type: 'public' });
    const token = /^workload: (.*)$/m.exec(bytes.toString())?.[1] ?? '';
    t.equal(result.sections.workload.delivered, token);
    t.equal(result.sections.workload.sha256, execFileSync('sha256sum', { input: token }).toString().slice(0, 64));
    t.notMatch(
      inspect(result, { depth: 20, showHidden: false }) + JSON.stringify(result),
      /phrase_|not_a_real/,
      'printing a contract prints no secret',
    );
  }
  t.ok(new X509Certificate(certificatePem));
});

t.test('validation ends with the id of the first fault, and the serial is compared', async (t) => {
  const run = (envText: string, workloadText = workload, minimumSerial = 0): Contract =>
    validateContract(verify(contract(envText, '', workloadText)), { profile: 'hpvs', minimumSerial });
  t.equal(
    idOf(() => run(env.replace('seed: env', 'sead: env'))),
    'HPL05001E',
  );
  t.equal(
    idOf(() => run(env.replace('  data:', '  dato:'))),
    'HPL07015E',
  );
  t.equal(
    idOf(() => run(env, workload, 1)),
    'TSD05004E',
  );
  t.equal(
    idOf(() => run(`${env}triseed: {serial: 6}\n`, workload, 7)),
    'TSD05004E',
  );
  t.equal(run(`${env}triseed: {serial: 7}\n`, workload, 7).serial, 7);
  t.equal(run(env, `${workload}triseed: {volumes: {data: {intent: open}}}\n`).volumes[0]?.intent, 'open');
  const two = `${env.replace('    kmsTimeout: 10', '    previousSeed: old')}    kmsTimeout: 0\n`;
  const rolled = run(two).volumes[0];
  t.equal(rolled?.previousEnvSeed?.expose(String), 'old');
  t.equal(rolled?.kmsTimeoutMinutes, 0);
});

t.test('no step can be skipped', async (t) => {
  const verified = verify(contract(env, ''));
  const forgedOpened = { ...verified.opened } as OpenedContract;
  const forgedVerified = {
    ...verified,
    signer: { fingerprint, certificateNotAfter: null, trusted: true },
  } as VerifiedContract;
  t.throws(() => verifyContract(forgedOpened, { trustedSigners: [], at }), { name: 'TypeError' });
  t.throws(() => validateContract(forgedVerified, { profile: 'hpvs', minimumSerial: 0 }), { name: 'TypeError' });
  t.throws(
    () => Object.assign(verified, { signer: forgedVerified.signer }),
    { name: 'TypeError' },
    'proofs are frozen',
  );
});
