/**
 * Volumes opened in a real guest (test/e2e), again and again while it runs: by `triseed boot`, and by a shell script of the bare tools
 * (open-by-hand.sh), which opens one volume a run. Times are the guest's own.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stage } from '../test/e2e/cases/stage.ts';
import { type MadeVolume, makeVolume, volumeText } from '../test/e2e/cases/volume-case.ts';
import type { Guest } from '../test/e2e/guest/guest.ts';
import { contractText } from '../test/e2e/world/deployment.ts';
import { Bench, type Contract, configurationOf, contractOf, diskOf, script } from './guest-bench.ts';
import type { Row } from './measure.ts';
import type { Shipped } from './shipped.ts';

/** The kernel as a program, from the package of this name. */
const kernel = '/usr/bin/linux.uml';
const startLimitMs = 180_000;

export interface GuestSetup {
  readonly seeds: 2 | 3;
  /** Of the second contract; the first has one. */
  readonly many: number;
}

/** Opening with two seeds takes cryptsetup a second of argon2id by itself. */
export const guestSetups: readonly GuestSetup[] = [
  { seeds: 3, many: 8 },
  { seeds: 2, many: 4 },
];

/** The most that a further volume may take, ms. */
const furtherVolumeMs = 150;
const lateMs = 500;

const rowsOf = (
  bench: Bench,
  stage: Stage,
  { repetitions, seeds, one, many }: { repetitions: number; seeds: 2 | 3; one: Contract; many: Contract },
): readonly Row[] => {
  const kind = seeds === 3 ? 'under a root key' : 'with two seeds';
  const count = many.volumes.length;
  const row = (name: string, subject: string, rest: Omit<Row, 'name' | 'subject' | 'calls' | 'repetitions'>): Row => ({
    name,
    subject,
    repetitions,
    calls: 1,
    reported: true,
    ...rest,
  });
  let singleMs = 0;
  const opening = [
    row(
      `boot, a volume ${kind}`,
      'triseed boot in a guest with one CPU, from its start to its end: mounted and handed over',
      {
        baseline: 'open-by-hand.sh in the same guest',
        ...(seeds === 3 ? { limit: { ratio: 1.3 } } : {}),
        measured: () => bench.byAgent(one),
        compared: async () => (await bench.byHand(one)).ms,
        remark: ({ ours }) => {
          singleMs = ours.median;
          return 'triseed runs cryptsetup twice: once to prove the passphrase before anything is opened';
        },
      },
    ),
    row(`boot, ${count} volumes ${kind}`, 'triseed boot, the same', {
      baseline: `open-by-hand.sh, ${count} times in turn`,
      ...(seeds === 3 ? { limit: { ratio: 0.5 } } : {}),
      measured: () => bench.byAgent(many),
      compared: async () => (await bench.byHand(many)).ms,
      remark: ({ ours }) =>
        `each further volume: ${((ours.median - singleMs) / (count - 1)).toFixed(0)} ms (at most ${furtherVolumeMs})`,
    }),
  ];
  if (seeds === 2) return opening;

  let others = 0;
  const withAnswersLate = async <T>(work: () => Promise<T>): Promise<T> => {
    await stage.service.fault({ operation: 'any', effect: { delayMs: lateMs } });
    try {
      return await work();
    } finally {
      await stage.service.mend();
    }
  };
  return [
    ...opening,
    row(
      'boot, beyond cryptsetup, key service and mount',
      'triseed boot of one volume, less what the script takes for these three',
      {
        baseline: 'the rest of open-by-hand.sh: contract and keyfile',
        limit: { subject: 150 },
        measured: async () => {
          const { parts } = await bench.byHand(one);
          const shared = ['key-service', 'cryptsetup', 'mount'].map((name) => parts.get(name) ?? 0);
          others = (parts.get('contract') ?? 0) + (parts.get('keyfile') ?? 0);
          return (await bench.byAgent(one)) - shared.reduce((sum, ms) => sum + ms, 0);
        },
        compared: async () => others,
      },
    ),
    row(`boot, ${count} volumes, each answer of the key service ${lateMs} ms late`, 'triseed boot', {
      baseline: 'one volume, answers as late',
      measured: () => withAnswersLate(() => bench.byAgent(many)),
      compared: () => withAnswersLate(() => bench.byAgent(one)),
    }),
    row('boot, peak resident memory', 'triseed boot of one volume, the executable; the greatest of its processes', {
      baseline: 'node -e 0',
      unit: 'MiB',
      limit: { subject: 110 },
      measured: () => bench.peakOfAgent(one),
      compared: () => bench.peakOfNode(),
    }),
  ];
};

export interface GuestRows extends AsyncDisposable {
  readonly rows: readonly Row[];
}

/** A running guest with the shipped executable whose volumes have been made. */
const startGuest = async (
  stage: Stage,
  shipped: Shipped,
  seeds: 2 | 3,
  contracts: readonly Contract[],
): Promise<Guest> => {
  const scratch = stage.folder(`seeds-${seeds}`);
  const all = contracts.at(-1)?.volumes ?? [];
  const made: MadeVolume[] = [];
  for (const { key } of all)
    made.push(await makeVolume(stage, scratch, { key, ...(seeds === 3 ? { kms: () => [stage.entry('main')] } : {}) }));
  const texts = made.map(({ volume }) => volumeText(stage, volume));
  const common = stage.deployment.guestFiles(stage.service);
  const plain = String(common['/etc/triseed/agent.yaml']);
  const files: Record<string, string> = {};
  for (const contract of contracts) {
    const own = texts.filter(({ key }) => contract.volumes.some((volume) => volume.key === key));
    files[contractOf(contract)] = await stage.deployment.seal(contractText(own));
    files[configurationOf(contract)] = plain.replace('nocloud: cidata', `file: ${contractOf(contract)}`);
  }
  const guest = await stage.guest(scratch, {
    name: `seeds-${seeds}`,
    volumes: [],
    disks: made.flatMap(({ disks }) => disks),
    options: {
      // What triseed-boot.service requires.
      wantedUnits: ['var-hyperprotect.mount', 'data1.mount', 'root-.docker.mount'],
      files: {
        ...files,
        '/usr/bin/triseed': { content: readFileSync(shipped.executable), mode: 0o755 },
        [script]: { content: readFileSync(join(import.meta.dirname, 'open-by-hand.sh')), mode: 0o755 },
      },
    },
  });
  guest.start();
  await guest.ready(startLimitMs);
  return guest;
};

/** Null when there is no guest kernel on this machine. */
export const guestRows = async (
  repetitions: number,
  shipped: Shipped,
  { seeds, many }: GuestSetup,
): Promise<GuestRows | null> => {
  if (!existsSync(kernel)) return null;
  const stage = await new Stage('bench').open('main');
  try {
    const volumes = Array.from({ length: many }, (_, at) => ({ key: `volume_${at}`, disk: diskOf(at) }));
    const all = { name: 'many', volumes };
    const one = { name: 'one', volumes: volumes.slice(0, 1) };
    const guest = await startGuest(stage, shipped, seeds, [one, all]);
    const bench = new Bench(guest, seeds === 3 ? stage.service.urlInGuest : null);
    // The first time they are made.
    await bench.byAgent(all);
    return {
      rows: rowsOf(bench, stage, { repetitions, seeds, one, many: all }),
      [Symbol.asyncDispose]: () => stage.close(),
    };
  } catch (error) {
    await stage.close();
    throw error;
  }
};
