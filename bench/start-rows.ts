/** How long a command takes that has next to nothing to do: what every start costs, against Node itself. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { renderObservations } from '../agent/volumes/observation-file.ts';
import type { Survey } from '../agent/volumes/survey.ts';
import type { Row } from './measure.ts';
import type { Repetitions } from './rows.ts';
import type { Shipped } from './shipped.ts';

const execute = promisify(execFile);
const smallest = join(import.meta.dirname, '../fixtures/contracts/valid/play-empty.yaml');
const typical = join(import.meta.dirname, '../fixtures/contracts/valid/several-volumes.yaml');

const againstNode = (
  { processes }: Repetitions,
  name: string,
  subject: string,
  program: readonly [string, ...string[]],
  ratio: number | null,
): Row => ({
  name,
  subject,
  baseline: 'node -e 0',
  repetitions: processes,
  calls: 1,
  ...(ratio === null ? {} : { limit: { ratio } }),
  measured: () => execute(program[0], program.slice(1)),
  compared: () => execute(process.execPath, ['-e', '0']),
});

const volumes = 100;
const mebibyte = 2 ** 20;

/** A volume under a root key, of an agent that has opened it before: what `volume plan --save-observation` keeps. */
const surveyOf = (at: number): Survey => {
  const key = `volume_${at}`;
  const guid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-${String(at).padStart(12, '0')}`;
  const [disk, sizeBytes] = [`/dev/vd${at}`, 10_240 * mebibyte];
  return {
    volume: {
      key,
      mount: `/mnt/${key}`,
      filesystem: 'ext4',
      intent: 'auto',
      unsupportedSeedSource: null,
      kmsEntries: 1,
      rolls: false,
    },
    observation: {
      volume: key,
      disk: { path: disk, sizeBytes, serial: key, readOnly: false, sectorBytes: 512, inUseBy: [] },
      partitioning: 'two',
      partitions: {
        diskGuid: guid('a'),
        metadata: { path: `${disk}p1`, guid: guid('b'), startBytes: mebibyte, sizeBytes: 99 * mebibyte },
        data: { path: `${disk}p2`, guid: guid('c'), startBytes: 100 * mebibyte, sizeBytes: 10_139 * mebibyte },
      },
      metadata: 'ours',
      resume: null,
      growsTo: null,
      target: { fact: 'luks', path: `${disk}p2`, sizeBytes: 10_139 * mebibyte, detail: 'LUKS2 triseed' },
      header: {
        gated: {
          uuid: guid('d'),
          sequence: '3',
          profile: 'triseed',
          keyslots: [{ id: '0', kdf: 'pbkdf2', ours: true }],
          segment: { offsetBytes: 16 * mebibyte, sectorBytes: 4096, cipher: 'aes-xts-plain64', keyBytes: 64 },
          token: { volume: key, scheme: 'interim', keyVersion: guid('e') },
        },
        primaryIsCurrent: true,
        secondaryIsCurrent: true,
      },
      luks1: null,
      seed: { fact: 'present', mirrorIsCurrent: true, wrappedSeeds: 1 },
    },
    finding: { kind: 'proven', seedWasRewrapped: false, opensWithPrevious: false },
    identities: { diskGuid: guid('1'), metadataGuid: guid('2'), dataGuid: guid('3'), luksUuid: guid('4') },
    isOpen: false,
  };
};

const readsJson = "JSON.parse(require('node:fs').readFileSync(process.argv[1], 'utf8'))";

const plans = ({ processes }: Repetitions, folder: string, { executable }: Shipped): Row => {
  const path = join(folder, 'observation.json');
  writeFileSync(path, renderObservations(Array.from({ length: volumes }, (_, at) => surveyOf(at))));
  return {
    name: `volume plan of ${volumes} volumes`,
    subject: `triseed volume plan --observation, ${volumes} volumes, the executable`,
    baseline: 'node -e, which reads and parses the same JSON',
    repetitions: processes,
    calls: 1,
    measured: () => execute(executable, ['volume', 'plan', '--observation', path]),
    compared: () => execute(process.execPath, ['-e', readsJson, path]),
  };
};

/** `folder` is for files. */
export const startRows = (times: Repetitions, folder: string, shipped: Shipped): readonly Row[] => {
  const { executable, bundle } = shipped;
  const validate = (path: string): readonly [string, ...string[]] => [executable, 'contract', 'validate', path];
  const bytes = readFileSync(smallest).length;
  return [
    againstNode(times, 'cold start', 'triseed --version, the executable', [executable, '--version'], 1.2),
    againstNode(
      times,
      'contract validate',
      `triseed contract validate, the executable, the smallest contract (${bytes} bytes)`,
      validate(smallest),
      2,
    ),
    againstNode(
      times,
      'contract validate, three volumes and an archive',
      'triseed contract validate, the executable',
      validate(typical),
      null,
    ),
    againstNode(
      times,
      'cold start of the bundle',
      'triseed --version, the bundle on Node',
      [process.execPath, bundle, '--version'],
      null,
    ),
    againstNode(
      times,
      'contract validate by the bundle',
      'triseed contract validate, the bundle on Node, the smallest contract',
      [process.execPath, bundle, 'contract', 'validate', smallest],
      null,
    ),
    plans(times, folder, shipped),
  ];
};
