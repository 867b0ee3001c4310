/** Tokens that are made to harm their reader, or that hold what is. */
import type { KeyObject } from 'node:crypto';
import { parseToken, renderToken, type Token } from '../../../agent/contract/envelope.ts';
import { sealToken } from '../../../agent/contract/seal.ts';
import { seededEntropy } from '../../fakes/seeded.ts';
import { type Hostile, laughs } from './documents.ts';

const env = 'env: |\n  type: env\n  logging: {logRouter: {hostname: logs.example.com, iamApiKey: none}}\n';
const around = (token: string): Uint8Array => Buffer.from(`workload: ${token}\n${env}`);

/** Rows around tokens for `recipient`, an RSA-2048 key. */
export const hostileTokens = async (recipient: KeyObject): Promise<readonly Hostile[]> => {
  const entropy = seededEntropy('hostile tokens');
  const seal = (plaintext: Uint8Array | string): Promise<string> =>
    sealToken(entropy, Buffer.from(plaintext), recipient, 'hyper-protect-basic');
  const good = await seal('type: workload\nplay: {}\n');
  const parsed = parseToken(good);
  if (parsed === null) throw new TypeError('a token of our own does not parse');
  const [prefix = '', wrapped = '', body = ''] = good.split('.');
  const large = entropy.bytes(2_800_000 - (2_800_000 % 16));
  const row = (name: string, token: string, code: string): Hostile => ({
    name: `a token ${name}`,
    bytes: () => around(token),
    code,
  });
  const changed = (name: string, change: Partial<Token>): Hostile =>
    row(name, renderToken({ ...parsed, ...change }), 'TOKEN_NOT_OPENED');
  const malformed = (name: string, token: string): Hostile => row(name, token, 'TOKEN_MALFORMED');
  return [
    changed('with a body of random bytes, 3.7 MB of them', { ciphertext: large }),
    changed('with an RSA part of one byte', { wrappedPassphrase: Buffer.of(1) }),
    changed('with an RSA part for a longer key', { wrappedPassphrase: entropy.bytes(512) }),
    changed('with an RSA part of 3.7 MB', { wrappedPassphrase: large }),
    changed('with an RSA part above the modulus', { wrappedPassphrase: Buffer.alloc(256, 0xff) }),
    changed('with an RSA part of zeros', { wrappedPassphrase: Buffer.alloc(256) }),
    changed('that was cut at a block', { ciphertext: parsed.ciphertext.subarray(0, -16) }),
    row('that holds no UTF-8', await seal(Buffer.from([0x61, 0x3a, 0xff])), 'TOKEN_NOT_OPENED'),
    malformed('without an RSA part', `${prefix}..${body}`),
    malformed('without a body', `${prefix}.${wrapped}`),
    malformed('in four parts', `${good}.${body}`),
    malformed('of four million dots', `${prefix}.${'.'.repeat(4_000_000)}`),
    malformed('in the URL-safe alphabet', `${prefix}.${wrapped.replace(/[+/]/g, '-')}.${body.slice(0, -4)}-_-_`),
    malformed('whose base64 has no padding', `${prefix}.${wrapped.replaceAll('=', '')}.${body}`),
    malformed('whose base64 has set bits after its end', `${prefix}.${wrapped.slice(0, -3)}B==.${body}`),
    malformed('whose base64 has line breaks', `|\n  ${prefix}.${wrapped.slice(0, 64)}\n  ${wrapped.slice(64)}.${body}`),
    malformed('that was cut within a block', `${prefix}.${wrapped}.${body.slice(0, -8)}`),
    malformed('around another container', `${prefix}.${wrapped}.${entropy.bytes(48).toString('base64')}`),
    row('that holds another token', await seal(good), 'NOT_A_MAPPING'),
    row('that holds billion laughs', await seal(`type: workload\nplay: {}\n${laughs('x')}`), 'YAML_LIMIT'),
    row('that holds 100,000 keys', await seal('k: v\n'.repeat(100_000)), 'YAML_LIMIT'),
    row('that holds YAML 1.1', await seal('%YAML 1.1\n---\ntype: workload\n'), 'YAML_DIRECTIVE'),
  ];
};
