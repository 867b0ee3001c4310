/** The group `triseed volume` over real files, and a disk image with a volume that stock tools made. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { volumeCommand } from '../../agent/cli/volume.ts';
import { parseConfiguration } from '../../agent/configuration-parse.ts';
import type { Host } from '../../agent/ports.ts';
import { mixOfTwo } from '../e2e/cases/by-hand.ts';
import { blank, ext4, MiB, partition, partitionOf, put } from '../e2e/cases/image.ts';
import { makeLuks } from '../e2e/cases/luks-file.ts';
import { contractText, type VolumeText } from '../e2e/world/deployment.ts';
import { callCommand, type Ended } from '../fakes/command-line.ts';

export const seeds = { env: 'seed:of(the)deployer#7Qy', workload: 'seed_of_the.workload?m2%', third: null };
export const passphrase = mixOfTwo(seeds);

export interface Asked {
  readonly question: string;
}

/** Calls `triseed volume …`; `answer` is what somebody types when asked, null when there is no terminal. */
export const volume = async (
  args: readonly string[],
  {
    input = '',
    answer = null,
    changed = (host) => host,
  }: {
    readonly input?: string;
    readonly answer?: string | null;
    readonly changed?: (host: Host) => Host;
  } = {},
): Promise<Ended & { readonly questions: readonly string[] }> => {
  const questions: string[] = [];
  const ended = await callCommand(
    (plain, io) => {
      const host = changed(plain);
      return volumeCommand({
        host,
        io: { ...io, isTerminal: answer !== null },
        configured: async (path) => ({ settings: parseConfiguration(readFileSync(path, 'utf8'), path), host }),
        credentialsFolder: null,
        signal: new AbortController().signal,
        ask: async (question) => {
          questions.push(question);
          return answer ?? '';
        },
      });
    },
    args,
    { input },
  );
  return { ...ended, questions };
};

/** A folder in memory, as the run folder of an agent must be. */
export const inMemory = (t: Test): string => {
  const folder = mkdtempSync('/dev/shm/triseed-volume-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
};

/** An agent configuration in `folder` whose contract names these volumes; answers the options that select it. */
export const configured = (folder: string, ...volumes: readonly Partial<VolumeText>[]): readonly string[] => {
  const [contract, configuration] = [join(folder, 'contract.yaml'), join(folder, 'agent.yaml')];
  const texts = volumes.map((given) => {
    const key = given.key ?? 'data';
    return { key, mount: `/mnt/${key}`, envSeed: seeds.env, workloadSeed: seeds.workload, ...given };
  });
  writeFileSync(contract, contractText(texts));
  writeFileSync(
    configuration,
    [
      'contract:',
      `  sources: [ { file: ${contract} } ]`,
      `  key: ${join(folder, 'no-key.pem')}`,
      `paths: { state: ${folder}, run: ${folder} }`,
      'volumes: { deviceWaitSeconds: 0 }',
      'power: report',
      '',
    ].join('\n'),
  );
  return ['--config', configuration];
};

const quick = [
  '--type=luks2',
  '--pbkdf=pbkdf2',
  '--pbkdf-force-iterations=1000',
  '--cipher=aes-xts-plain64',
  '--key-size=512',
  '--sector-size=4096',
];

/** A disk image with the partitions metadata (with a file system) and data, which is LUKS2 by cryptsetup. */
export const diskImage = (file: string, secret = passphrase): string => {
  blank(file, 136 * MiB);
  partition(file, ['metadata', 'data']);
  put(file, partitionOf(file, 1).offset, ext4(`${file}.fs`, 8 * MiB, {}));
  const luks = `${file}.luks`;
  makeLuks(luks, 24 * MiB, secret, quick, ext4(`${file}.fs`, 8 * MiB, { 'made-elsewhere': 'kept\n' }));
  put(file, partitionOf(file, 2).offset, readFileSync(luks));
  rmSync(luks);
  return file;
};
