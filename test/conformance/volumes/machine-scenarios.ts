/** Disks before a boot, one for each kind of plan, made by stock tools, and the volume that a contract names for them. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import type { AgentConfiguration } from '../../../agent/configuration.ts';
import type { ContractVolume } from '../../../agent/contract/types.ts';
import { backendFor } from '../../../agent/kms/backends.ts';
import { obtainSeed } from '../../../agent/kms/obtain-seed.ts';
import type { Host } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import { applyAll, type Opened, prepareAll } from '../../../agent/volumes/open-all.ts';
import { renderOurTable } from '../../../agent/volumes/partition-table.ts';
import { derivePassphrase } from '../../../agent/volumes/passphrase.ts';
import type { ObtainSeed } from '../../../agent/volumes/prove.ts';
import type { LocalKms } from '../../fakes/local-kms.ts';
import { blankDisk, dataKeyOf, type Machine, machineOnFiles } from '../../fakes/machine-on-files.ts';
import { volumeWith } from '../../fakes/volume.ts';

const MiB = 1 << 20;
const diskBytes = 132 * MiB;
const headerBytes = 16 * MiB;

/** A key service with two root keys. */
export interface Keys {
  readonly kms: LocalKms;
  readonly main: string;
  readonly other: string;
}

export const seedTexts = { env: 'env_seed_1234567', workload: 'wl_seed_12345678', before: 'wl_seed_of_before' };

export interface MachineScenario {
  readonly name: string;
  readonly kind: 'formats' | 'opens';
  /** Scenario that the plan must have. */
  readonly plan: string;
  /** Steps that the plan must have beside opening and mounting. */
  readonly holds: readonly string[];
  /** Makes the disk in `folder`. */
  readonly make: (folder: string, keys: Keys) => Promise<void>;
  readonly entries: readonly ('main' | 'other')[];
  readonly rolls: boolean;
}

export const volumeOf = (
  { entries, rolls }: Pick<MachineScenario, 'entries' | 'rolls'>,
  folder: string,
  keys: Keys,
): ContractVolume =>
  volumeWith({
    mount: `${folder}/mnt`,
    envSeed: Secret.fromText(seedTexts.env),
    workloadSeed: Secret.fromText(seedTexts.workload),
    previousWorkloadSeed: rolls ? Secret.fromText(seedTexts.before) : null,
    kms: entries.map((name) => keys.kms.entry(keys[name])),
    kmsTimeoutMinutes: 0,
  });

export const settingsFor = (run: string, keys: Keys): AgentConfiguration =>
  ({
    kms: keys.kms.settings,
    volumes: { devices: {}, deviceWaitSeconds: 0, legacyProfiles: [] },
    paths: { run, state: run },
  }) as unknown as AgentConfiguration;

/** The volumes half of a boot. */
export const bootOn = async (
  host: Host,
  machine: Machine,
  volume: ContractVolume,
  keys: Keys,
): Promise<readonly Opened[]> => {
  const preparation = { settings: settingsFor(machine.run, keys), startedAtMs: host.clock.monotonicMs() };
  return applyAll(host, await prepareAll(host, [volume], preparation), preparation);
};

const writeAt = (path: string, offset: number, bytes: Uint8Array): void => {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
};

/** What lies in the encrypted part of a volume made elsewhere: at both ends, so that no byte there may change unnoticed. */
export const canary = randomBytes(64 * 1024);
export const canaryOffsets = (dataBytes: number): readonly number[] => [headerBytes, dataBytes - canary.length];

const blank = async (folder: string): Promise<void> => blankDisk(folder, diskBytes);

const parted = async (folder: string): Promise<void> => {
  await blank(folder);
  const guid = (digit: string): string => `${digit.repeat(8)}-2222-4333-8444-555555555555`;
  const guids = { diskGuid: guid('1'), metadataGuid: guid('2'), dataGuid: guid('3') };
  const table = renderOurTable({ ...guids, sizeBytes: diskBytes, sectorSize: 512 });
  if (table.kind !== 'table') throw new Error(table.kind);
  for (const { offset, bytes } of table.writes) writeAt(`${folder}/vdb`, offset, bytes);
  for (const [number, { length }] of [[1, table.metadata] as const, [2, table.data] as const]) {
    writeFileSync(`${folder}/vdb${number}`, '');
    truncateSync(`${folder}/vdb${number}`, length);
  }
};

const ext4 = (file: string, name: string, content: string): void => {
  const from = `${file}.content`;
  mkdirSync(from);
  writeFileSync(`${from}/${name}`, content);
  execFileSync('mkfs.ext4', ['-q', '-F', '-b', '4096', '-d', from, file]);
  rmSync(from, { recursive: true });
};

export const madeElsewhere = { name: 'made-elsewhere', content: 'by cryptsetup and mkfs.ext4\n' };

/** LUKS in the data partition, as people make it, and what it holds. */
const luks = (folder: string, passphrase: Secret): void => {
  const device = `${folder}/vdb2`;
  const settings = ['--type=luks2', '--pbkdf=pbkdf2', '--pbkdf-force-iterations=2000', '--cipher=aes-xts-plain64'];
  const rest = ['--key-size=512', '--sector-size=4096', '--key-file=-', device];
  passphrase.expose((input) => execFileSync('cryptsetup', ['luksFormat', '-q', ...settings, ...rest], { input }));
  mkdirSync(`${folder}/plain`, { recursive: true });
  const plain = `${folder}/plain/${dataKeyOf(device)}`;
  writeFileSync(plain, '');
  truncateSync(plain, statSync(device).size - headerBytes);
  ext4(plain, madeElsewhere.name, madeElsewhere.content);
  for (const offset of canaryOffsets(statSync(device).size)) writeAt(device, offset, canary);
};

const obtainWith = (keys: Keys, name: 'main' | 'other'): ObtainSeed => {
  const backend = backendFor(keys.kms.host, keys.kms.entry(keys[name]), keys.kms.settings);
  const host = { ...keys.kms.host, journal: { message: () => {}, note: () => {} } };
  return (stored) => obtainSeed(host, [backend], { volume: 'data', stored, kmsTimeoutMinutes: 0, startedAtMs: 0 });
};

const passphraseWith = (workload: string, seed3: Secret | null): Secret => {
  const seeds = { env: Secret.fromText(seedTexts.env), workload: Secret.fromText(workload), kms: seed3 };
  return derivePassphrase(seeds, seed3 === null ? 'two-seed' : 'interim');
};

const storedSeed = async (folder: string, keys: Keys, name: 'main' | 'other'): Promise<Secret> => {
  await parted(folder);
  const { seed3, wrapped } = await obtainWith(keys, name)(null);
  ext4(`${folder}/vdb1`, 'keyfile', `${wrapped}\n`);
  return seed3;
};

const handMade =
  (name: 'main' | 'other', workload = seedTexts.workload): MachineScenario['make'] =>
  async (folder, keys) =>
    luks(folder, passphraseWith(workload, await storedSeed(folder, keys, name)));

const twoSeeds: MachineScenario['make'] = async (folder) => {
  await parted(folder);
  ext4(`${folder}/vdb1`, 'no-keyfile', '');
  luks(folder, passphraseWith(seedTexts.workload, null));
};

/** What a first boot leaves of a disk. */
const booted =
  (make: MachineScenario['make'], entries: MachineScenario['entries']): MachineScenario['make'] =>
  async (folder, keys) => {
    await make(folder, keys);
    const machine = await machineOnFiles(folder, keys.kms.http.send);
    await bootOn(machine.host, machine, volumeOf({ entries, rolls: false }, folder, keys), keys);
    await machine.restart();
  };

const three = { entries: ['main'], rolls: false } as const;

/** The quickest first: what all of them do meets all of its faults there. */
export const machineScenarios: readonly MachineScenario[] = [
  {
    name: 'opened again',
    kind: 'opens',
    plan: 'open-kms',
    holds: [],
    make: booted(handMade('main'), ['main']),
    ...three,
  },
  {
    name: 'a torn header',
    kind: 'opens',
    plan: 'open-kms',
    holds: ['mend-header'],
    make: async (folder, keys) => {
      await booted(handMade('main'), ['main'])(folder, keys);
      writeAt(`${folder}/vdb2`, 0, Buffer.alloc(8192, 0xff));
    },
    ...three,
  },
  { name: 'adopted', kind: 'opens', plan: 'open-kms', holds: ['commit-token'], make: handMade('main'), ...three },
  {
    name: 'migrated',
    kind: 'opens',
    plan: 'migrate',
    holds: ['commit-token', 'make-metadata'],
    make: handMade('other'),
    entries: ['main', 'other'],
    rolls: false,
  },
  {
    name: 'a third seed joins',
    kind: 'opens',
    plan: 'rekey',
    holds: ['change-passphrase', 'make-metadata'],
    make: twoSeeds,
    ...three,
  },
  {
    name: 'a rolled seed',
    kind: 'opens',
    plan: 'open-kms',
    holds: ['change-passphrase'],
    make: handMade('main', seedTexts.before),
    entries: ['main'],
    rolls: true,
  },
  {
    name: 'a grown disk',
    kind: 'opens',
    plan: 'open',
    holds: ['grow-partition'],
    make: async (folder, keys) => {
      await twoSeeds(folder, keys);
      truncateSync(`${folder}/vdb`, diskBytes + 64 * MiB);
    },
    entries: [],
    rolls: false,
  },
  { name: 'fresh', kind: 'formats', plan: 'fresh-kms', holds: ['partition', 'make-metadata'], make: blank, ...three },
  {
    name: 'a stored seed',
    kind: 'formats',
    plan: 'format-stored-seed',
    holds: ['commit-header', 'make-metadata'],
    make: async (folder, keys) => (await storedSeed(folder, keys, 'main')).wipe(),
    ...three,
  },
];
