/** What mutation starts from: every fixture of a contract or a section, contracts made of sections, and tokens. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sealToken } from '../../../agent/contract/seal.ts';
import { seededEntropy } from '../../fakes/seeded.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');

export const keyFile = join(fixtures, 'keys/THROWAWAY-guest-2048-key.pem');

export interface Corpus {
  /** Whole contracts. */
  readonly contracts: readonly string[];
  readonly workloads: readonly string[];
  readonly envs: readonly string[];
  /** Contracts with tokens; few are drawn, as each token costs milliseconds to open. */
  readonly sealed: readonly string[];
}

const texts = (pattern: string): readonly string[] =>
  globSync(pattern, { cwd: fixtures })
    .sort()
    .map((path) => readFileSync(join(fixtures, path), 'utf8'));

export const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');
export const together = (workload: string, env: string): string =>
  `workload: |\n${indented(workload)}\nenv: |\n${indented(env)}\n`;

export const makeCorpus = async (key: KeyObject): Promise<Corpus> => {
  const recipient = createPublicKey(key);
  const entropy = seededEntropy('corpus');
  const seal = (text: string, prefix: 'contract-basic' | 'hyper-protect-basic' = 'contract-basic'): Promise<string> =>
    sealToken(entropy, Buffer.from(text), recipient, prefix);
  const [workload = '', env = ''] = ['workload', 'env'].flatMap((name) => texts(`contracts/parts/${name}.yaml`));
  const other = texts('contracts/valid/no-volumes.yaml')[0] ?? '';
  return {
    contracts: [...texts('contracts/{valid,invalid}/*.yaml'), ...texts('fields/contract/*/**/*.yaml')],
    workloads: [workload, ...texts('fields/workload/*/**/*.yaml')],
    envs: [env, ...texts('fields/env/*/**/*.yaml')],
    sealed: [
      `workload: ${await seal(workload)}\nenv: ${await seal(env, 'hyper-protect-basic')}\n`,
      `workload: ${await seal(workload)}\nenv: |\n${indented(env)}`,
      `${other}attestationPublicKey: ${await seal('-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n')}\n`,
      `workload: |\n  ${await seal(workload)}\nenv: "${await seal('type: env\nlogging: {}\n')}"\n`,
    ],
  };
};
