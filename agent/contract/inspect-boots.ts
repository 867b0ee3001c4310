/** What a guest makes of a volume, for each state its disk can be in: the scenario table in words. */
import { type MessageName, messages } from '../messages.ts';
import { type Facts, type KmsFact, type Outcome, rowFor, type ScenarioName } from '../volumes/scenarios.ts';
import type { Intent } from './types.ts';

export interface Boot {
  /** The state of the disk. */
  readonly disk: string;
  /** What then happens. */
  readonly outcome: string;
  readonly scenario: string;
  /** Ids of the messages in the guest's log. */
  readonly messages: readonly string[];
}

export interface BootSubject {
  readonly kmsEntries: number;
  readonly intent: Intent;
  readonly rolls: boolean;
  readonly hasOtherSeedSource: boolean;
  readonly filesystem: string;
  readonly mount: string;
}

const disks: readonly (readonly [disk: string, facts: Pick<Facts, 'partitioning' | 'seed' | 'target'>])[] = [
  ['blank', { partitioning: 'none', seed: 'none', target: 'blank' }],
  ['made with the two seeds', { partitioning: 'two', seed: 'none', target: 'luks' }],
  ['made with the seeds and a root key', { partitioning: 'two', seed: 'present', target: 'luks' }],
  ['encrypted as a whole (images before version 9)', { partitioning: 'none', seed: 'none', target: 'luks' }],
  ['anything else', { partitioning: 'none', seed: 'none', target: 'foreign' }],
];

const opening: Partial<Record<ScenarioName, string>> = {
  open: 'opened with the two seeds',
  'open-kms': 'opened when the root key is active',
  migrate: 'opened with the first kms entry that can, and moved to the first of all',
  'legacy-whole-disk': 'opened with the two seeds',
  rekey: 'opened with the two seeds for the last time: a new third one joins them',
};
const rolled = '; if a previousSeed opens it, its passphrase is changed to the present seeds';

const idOf = (name: MessageName): string => messages[name].id;

const refused = (name: MessageName, scenario: string): Omit<Boot, 'disk'> => ({
  outcome: `refused, the disk stays as it is (${scenario})`,
  scenario,
  messages: [idOf(name)],
});

const told = (row: Outcome, subject: BootSubject): Omit<Boot, 'disk'> => {
  const { intent, filesystem, mount, rolls } = subject;
  if (row.kind === 'refuses') return refused(row.refusal, row.scenario);
  const { scenario } = row;
  const forbidden = { auto: null, open: 'formats', create: 'opens' }[intent];
  if (row.kind === forbidden) return refused('VOLUME_INTENT_REFUSED', `intent ${intent}`);
  const encrypted = idOf(row.seeds === 3 ? 'VOLUME_ENCRYPTED_WITH_KMS' : 'VOLUME_ENCRYPTED');
  const ids = [encrypted, idOf('VOLUME_MOUNTED')];
  const seeds = row.seeds === 3 ? 'the two seeds and a new one that the root key wraps' : 'the two seeds';
  const done =
    row.kind === 'formats'
      ? `FORMATTED: encrypted with ${seeds}, ${filesystem}`
      : `${opening[scenario] ?? `opened (${scenario})`}${rolls ? rolled : ''}`;
  return { outcome: `${done}, mounted on ${mount}`, scenario, messages: ids };
};

/** One line for every state of the disk that a guest can meet. */
export const bootsOf = (subject: BootSubject): readonly Boot[] => {
  const kms: KmsFact = subject.kmsEntries === 0 ? 'none' : subject.kmsEntries === 1 ? 'one' : 'several';
  const seedSource = subject.hasOtherSeedSource ? 'other' : 'contract';
  return disks.map(([disk, facts]) => ({ disk, ...told(rowFor({ ...facts, kms, seedSource }).outcome, subject) }));
};

/** How long a guest lives without its key service, in words. Minutes. */
export const patience = (minutes: number): string =>
  minutes === 0
    ? 'without the key service the guest restarts after one more try, and its boot tries once'
    : `after ${minutes} min without the key service the guest restarts, after ${minutes} more it shuts down`;
