/**
 * Volumes opened on this machine itself, whose programs start as fast as they do in a real guest: `triseed boot` against the
 * script of the bare tools. Everything is done but one step, for both sides: no dm-crypt mapping is activated (native-world.ts).
 */
import { Stage } from '../test/e2e/cases/stage.ts';
import { NativeWorld, nativeDiskOf } from './native-world.ts';
import { Bench } from './opening-bench.ts';
import {
  beyondRow,
  contractsFor,
  makeDisksAndFiles,
  openingRows,
  type RowsToRun,
  underRootKey,
} from './opening-rows.ts';
import type { Shipped } from './shipped.ts';

const many = 8;

/** Open volumes go with it. */
export interface NativePlace extends AsyncDisposable {
  readonly world: NativeWorld;
  readonly bench: Bench;
  readonly contracts: ReturnType<typeof contractsFor>;
}

/** With `count` volumes under a root key, made and closed. Throws where there is an obstacle (`nativeObstacle`). */
export const openNatively = async (shipped: Shipped, count: number): Promise<NativePlace> => {
  await using opened = new AsyncDisposableStack();
  const stage = new Stage('bench');
  const scratch = stage.folder('natively');
  const removeAtExit = (): void => {
    for (const each of [stage.scratch, scratch]) each.remove();
  };
  process.once('exit', removeAtExit);
  opened.defer(async () => {
    await stage.close();
    process.off('exit', removeAtExit);
  });
  await stage.open('main');
  const contracts = contractsFor(count, nativeDiskOf);
  const { disks, files } = await makeDisksAndFiles(stage, scratch, shipped, {
    seeds: 3,
    ...contracts,
    program: '/usr/local/bin/triseed',
    // Whatever happens in there, this machine goes on.
    settings: { serviceUrl: stage.service.url, extra: 'power: report\nvolumes: { deviceWaitSeconds: 2 }' },
  });
  const world = await NativeWorld.open(scratch, disks, files);
  opened.defer(() => world.close());
  const bench = new Bench(world, stage.service.url);
  // The first time they are made.
  await bench.byAgent(contracts.many);
  const all = opened.move();
  return { world, bench, contracts, [Symbol.asyncDispose]: () => all.disposeAsync() };
};

export const nativeRows = async (repetitions: number, shipped: Shipped): Promise<RowsToRun> => {
  const place = await openNatively(shipped, many);
  const { bench, contracts } = place;
  const where = 'on this machine, no mapping activated';
  const naming = { prefix: 'natively, without dm-crypt: ', ours: where, theirs: where, repetitions, isWarm: false };
  const rows = [
    ...openingRows(bench, naming, { kind: underRootKey, ...contracts }),
    beyondRow(bench, naming, contracts.one, { subject: 150 }),
  ];
  return { rows, [Symbol.asyncDispose]: () => place[Symbol.asyncDispose]() };
};
