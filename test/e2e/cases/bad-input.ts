/** Contracts that a guest must not take, and the message that says why. Each is delivered as a file, with a configuration of its own. */
import type { MessageName } from '../../../agent/messages.ts';
import { contractText, Deployment } from '../world/deployment.ts';
import type { Stage } from './stage.ts';

export interface BadInput {
  readonly name: string;
  /** The contract; null delivers none. */
  readonly contract: ((stage: Stage) => Promise<string> | string) | null;
  /** Further lines of the agent configuration below `contract:`. */
  readonly settings?: readonly string[];
  /** Moves the guest's wall clock, in days. */
  readonly days?: number;
  readonly refused: MessageName;
  readonly because?: RegExp;
}

/** The volume whose disk is attached. */
export const volume = {
  key: 'data',
  mount: '/mnt/data',
  envSeed: 'seed_of_the_deployer_1',
  workloadSeed: 'seed_of_the_workload',
};
const good = contractText([volume]);
const sealed = (stage: Stage): Promise<string> => stage.deployment.seal(good);

const replaced = (text: string, pattern: RegExp, by: string): string => {
  const changed = text.replace(pattern, by);
  if (changed === text) throw new Error(`nothing matches ${pattern}`);
  return changed;
};

export const badInputs: readonly BadInput[] = [
  { name: 'nothing', contract: null, refused: 'CONTRACT_NOT_EXISTS', because: /looked at/ },
  { name: 'empty', contract: () => '', refused: 'CONTRACT_NOT_OPENED' },
  {
    name: 'no-yaml',
    contract: () => 'workload: |\n  type: [workload\nenv: "unclosed\n',
    refused: 'CONTRACT_NOT_OPENED',
  },
  { name: 'noise', contract: () => '\u0000\u0001\u0002binary', refused: 'CONTRACT_NOT_OPENED' },
  {
    name: 'aliases',
    contract: () =>
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nenv: [*c,*c,*c,*c]\n`,
    refused: 'CONTRACT_NOT_OPENED',
  },
  {
    name: 'schema',
    contract: () => replaced(good, /mount: \/mnt\/data/, 'mount: [not, a, path]'),
    refused: 'CONTRACT_INVALID',
    because: /workload\.volumes\.data\.mount \(line \d+, column \d+\)/,
  },
  {
    name: 'short-seed',
    contract: () => replaced(good, /seed_of_the_deployer_1/, 'short'),
    refused: 'CONTRACT_INVALID',
    because: /env\.volumes\.data\.seed \(line \d+, column \d+\)/,
  },
  {
    name: 'volume-keys',
    contract: () =>
      replaced(good, /( {4}data:\n {6}seed: "seed_of_the_workload")/, '    other:\n      seed: "seed_of_the_workload"'),
    refused: 'VOLUMES_NAMING_INVALID',
  },
  {
    name: 'other-guest',
    contract: async (stage) => {
      const other = new Deployment(stage.scratch.path('other-deployment'));
      await other.makeKeys();
      return other.seal(good);
    },
    refused: 'CONTRACT_NOT_OPENED',
  },
  {
    name: 'altered-token',
    contract: async (stage) => replaced(await sealed(stage), /(\.[^.\n]{40})[A-Za-z0-9]/, '$1-'),
    refused: 'CONTRACT_NOT_OPENED',
  },
  {
    name: 'exchanged-workload',
    // Both are sealed and signed by the same deployer, but not together.
    contract: async (stage) => {
      const workload = /^workload: \S+$/m;
      const [mine, theirs] = [await sealed(stage), await sealed(stage)];
      return replaced(mine, workload, workload.exec(theirs)?.[0] ?? '');
    },
    refused: 'CONTRACT_SIGNATURE_INVALID',
  },
  {
    name: 'no-signature',
    contract: async (stage) => replaced(await sealed(stage), /^envWorkloadSignature: .*$/m, ''),
    refused: 'CONTRACT_SIGNATURE_INCOMPLETE',
  },
  {
    name: 'expired',
    contract: (stage) => stage.deployment.seal(good, '--expires-days=1'),
    days: 3,
    refused: 'CONTRACT_EXPIRED',
  },
  {
    name: 'not-yet-valid',
    contract: (stage) => stage.deployment.seal(good, '--expires-days=1'),
    days: -3,
    refused: 'CONTRACT_NOT_YET_VALID',
  },
  {
    name: 'signer',
    contract: sealed,
    settings: [`  trustedSigners: [ "${'ab'.repeat(32)}" ]`],
    refused: 'CONTRACT_SIGNER_UNTRUSTED',
  },
  {
    name: 'unsigned',
    contract: () => good,
    settings: [`  trustedSigners: [ "${'ab'.repeat(32)}" ]`],
    refused: 'CONTRACT_UNSIGNED',
  },
  { name: 'outdated', contract: sealed, settings: ['  minimumSerial: 7'], refused: 'CONTRACT_OUTDATED' },
  {
    name: 'configuration',
    contract: sealed,
    settings: ['  minimumSerials: 7'],
    refused: 'CONFIGURATION_INVALID',
    because: /:\d+:\d+/,
  },
  { name: 'key-missing', contract: sealed, settings: ['  key: /etc/nowhere.pem'], refused: 'CONTRACT_NOT_OPENED' },
];

const folder = '/etc/cases';
export const configurationPath = ({ name }: BadInput): string => `${folder}/${name}.yaml`;

/** The guest's files for all of them. */
export const filesOf = async (stage: Stage): Promise<Readonly<Record<string, string>>> => {
  const files: Record<string, string> = {};
  for (const input of badInputs) {
    const { name, contract, settings = [] } = input;
    if (contract !== null) files[`${folder}/${name}.contract`] = await contract(stage);
    const key = settings.some((line) => /^ {2}key:/.test(line)) ? [] : ['  key: /etc/triseed/contract-key.pem'];
    const lines = ['contract:', `  sources: [ { file: ${folder}/${name}.contract } ]`, ...key, ...settings];
    files[configurationPath(input)] = [...lines, 'volumes: { deviceWaitSeconds: 1 }', 'power: report', ''].join('\n');
  }
  return files;
};
