/**
 * Volumes opened in a real guest (test/e2e), again and again while it runs: by `triseed boot`, and by a shell script of the bare tools
 * (open-by-hand.sh), which opens one volume a run. Times are the guest's own.
 */
import { existsSync } from 'node:fs';
import { Stage } from '../test/e2e/cases/stage.ts';
import type { Guest } from '../test/e2e/guest/guest.ts';
import type { Row } from './measure.ts';
import { Bench, type Contract } from './opening-bench.ts';
import {
  beyondRow,
  contractsFor,
  makeDisksAndFiles,
  openingRows,
  type RowsToRun,
  rowIn,
  underRootKey,
} from './opening-rows.ts';
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
  { seeds: 2, many: 3 },
];
/** For a look at whether every row still works: making eight volumes in such a guest takes longer than all of its rows. */
export const smokeSetups: readonly GuestSetup[] = guestSetups.map((setup) => ({ ...setup, many: 2 }));

const lateMs = 500;

const diskOf = (at: number): string => `/dev/ubd${String.fromCharCode('a'.charCodeAt(0) + at)}`;

const rowsOf = (
  bench: Bench,
  stage: Stage,
  { repetitions, seeds, one, many }: { repetitions: number; seeds: 2 | 3; one: Contract; many: Contract },
): readonly Row[] => {
  const place = { prefix: '', ours: 'in a guest with one CPU', theirs: 'in the same guest', repetitions, isWarm: true };
  if (seeds === 2) return openingRows(bench, place, { kind: 'with two seeds', one, many });

  const row = rowIn(place);
  const limits = { one: { ratio: 1.3 }, many: { ratio: 0.5 } };
  const withAnswersLate = async <T>(work: () => Promise<T>): Promise<T> => {
    await stage.service.fault({ operation: 'any', effect: { delayMs: lateMs } });
    try {
      return await work();
    } finally {
      await stage.service.mend();
    }
  };
  return [
    ...openingRows(bench, place, { kind: underRootKey, one, many, limits }),
    // Without a limit: in such a guest the start of Node alone takes longer than 150 ms.
    beyondRow(bench, place, one),
    row(`boot, ${many.volumes.length} volumes, each answer of the key service ${lateMs} ms late`, {
      subject: 'triseed boot',
      baseline: 'one volume, answers as late',
      measured: () => withAnswersLate(() => bench.byAgent(many)),
      compared: () => withAnswersLate(() => bench.byAgent(one)),
    }),
    row('boot, peak resident memory', {
      subject: 'triseed boot of one volume, the executable; the greatest of its processes',
      baseline: 'node -e 0',
      unit: 'MiB',
      limit: { subject: 110 },
      measured: () => bench.peakOfAgent(one),
      compared: () => bench.peakOfNode(),
    }),
  ];
};

/** A running guest with blank disks. */
const startGuest = async (
  stage: Stage,
  shipped: Shipped,
  given: { readonly seeds: 2 | 3; readonly one: Contract; readonly many: Contract },
): Promise<Guest> => {
  const name = `seeds-${given.seeds}`;
  const scratch = stage.folder(name);
  const { disks, files } = await makeDisksAndFiles(stage, scratch, shipped, { ...given, program: '/usr/bin/triseed' });
  // What triseed-boot.service requires.
  const wantedUnits = ['var-hyperprotect.mount', 'data1.mount', 'root-.docker.mount'];
  const guest = await stage.guest(scratch, { name, volumes: [], disks, options: { wantedUnits, files } });
  guest.start();
  await guest.ready(startLimitMs);
  return guest;
};

/** Null when there is no guest kernel on this machine. */
export const guestRows = async (
  repetitions: number,
  shipped: Shipped,
  { seeds, many }: GuestSetup,
): Promise<RowsToRun | null> => {
  if (!existsSync(kernel)) return null;
  const stage = await new Stage('bench').open('main');
  try {
    const contracts = contractsFor(many, diskOf);
    const guest = await startGuest(stage, shipped, { seeds, ...contracts });
    const bench = new Bench(guest, seeds === 3 ? stage.service.urlInGuest : null);
    // The first time they are made.
    await bench.byAgent(contracts.many);
    await bench.byHand(contracts.one);
    return {
      rows: rowsOf(bench, stage, { repetitions, seeds, ...contracts }),
      [Symbol.asyncDispose]: () => stage.close(),
    };
  } catch (error) {
    await stage.close();
    throw error;
  }
};
