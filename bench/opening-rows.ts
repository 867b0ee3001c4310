/** Rows of opening volumes, in a guest or on this machine, and what both need for them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Stage } from '../test/e2e/cases/stage.ts';
import { type MadeVolume, makeVolume, volumeText } from '../test/e2e/cases/volume-case.ts';
import type { Disk, Scratch } from '../test/e2e/guest/scratch.ts';
import type { GuestFiles } from '../test/e2e/guest/tree.ts';
import { contractText } from '../test/e2e/world/deployment.ts';
import { type Limit, quantile, type Row } from './measure.ts';
import { type Bench, type Contract, configurationOf, contractOf, script } from './opening-bench.ts';
import type { Shipped } from './shipped.ts';

/** The most that a further volume may take, ms. */
const furtherVolumeMs = 150;
export const underRootKey = 'under a root key';

export interface RowsToRun extends AsyncDisposable {
  readonly rows: readonly Row[];
}

/** What differs between rows of a guest and of this machine. */
export interface Place {
  /** In front of each row's name. */
  readonly prefix: string;
  readonly ours: string;
  readonly theirs: string;
  readonly repetitions: number;
  /** Both sides have opened volumes there before. */
  readonly isWarm: boolean;
}

type Given = Omit<Row, 'name' | 'calls' | 'repetitions'>;
export const rowIn =
  ({ prefix, repetitions, isWarm }: Place) =>
  (name: string, rest: Given): Row => ({
    name: `${prefix}${name}`,
    repetitions,
    isWarm,
    calls: 1,
    reported: true,
    ...rest,
  });

/** One volume, and many. */
export const openingRows = (
  bench: Bench,
  place: Place,
  given: {
    readonly kind: string;
    readonly one: Contract;
    readonly many: Contract;
    readonly limits?: { readonly one: Limit; readonly many: Limit };
  },
): readonly Row[] => {
  const { kind, one, many, limits } = given;
  const count = many.volumes.length;
  const row = rowIn(place);
  let singleMs = 0;
  return [
    row(`boot, a volume ${kind}`, {
      subject: `triseed boot ${place.ours}, from its start to its end: mounted and handed over`,
      baseline: `open-by-hand.sh ${place.theirs}`,
      ...(limits === undefined ? {} : { limit: limits.one }),
      measured: () => bench.byAgent(one),
      compared: async () => (await bench.byHand(one)).ms,
      remark: ({ ours }) => {
        singleMs = ours.median;
        return 'triseed runs cryptsetup twice: once to prove the passphrase before anything is opened';
      },
    }),
    row(`boot, ${count} volumes ${kind}`, {
      subject: 'triseed boot, the same',
      baseline: `open-by-hand.sh, ${count} times in turn`,
      ...(limits === undefined ? {} : { limit: limits.many }),
      measured: () => bench.byAgent(many),
      compared: async () => (await bench.byHand(many)).ms,
      remark: ({ ours }) =>
        `each further volume: ${((ours.median - singleMs) / (count - 1)).toFixed(0)} ms (at most ${furtherVolumeMs})`,
    }),
  ];
};

/** Throws an Error for a part that the script did not report: a difference with nothing taken off looks like a measurement, too. */
const sumOf = (parts: ReadonlyMap<string, number>, names: readonly string[]): number =>
  names.reduce((sum, name) => {
    const ms = parts.get(name);
    if (ms === undefined || !(ms > 0)) throw new Error(`open-by-hand.sh did not say what ${name} took`);
    return sum + ms;
  }, 0);

/**
 * What is the agent's own: a difference of two runs, which in a single repetition on a busy machine may be anything. Of cryptsetup both
 * runs count as cryptsetup's: the one that opens, and the one before it that proves the passphrase.
 */
export const beyondRow = (bench: Bench, place: Place, one: Contract, limit?: Limit): Row => {
  let others = 0;
  const [proofs, starts]: [number[], number[]] = [[], []];
  return rowIn(place)('boot, beyond cryptsetup, key service and mount', {
    subject: 'triseed boot of one volume, less what the script takes for these three: twice for cryptsetup',
    baseline: 'the rest of open-by-hand.sh --prove: contract and keyfile',
    ...(limit === undefined ? {} : { limit }),
    measured: async () => {
      const { parts } = await bench.byHand(one, '--prove');
      proofs.push(sumOf(parts, ['proof']));
      starts.push(await bench.startOfAgent());
      others = sumOf(parts, ['contract', 'keyfile']);
      return (await bench.byAgent(one)) - sumOf(parts, ['key-service', 'proof', 'cryptsetup', 'mount']);
    },
    compared: async () => others,
    remark: ({ ours }) => {
      const [proofMs, startMs] = [quantile(proofs, 0.5), quantile(starts, 0.5)];
      const withProof = `${(ours.median + proofMs).toFixed(0)} ms with the ${proofMs.toFixed(0)} of proving the passphrase`;
      return `${withProof}, which the script does here only to be compared; triseed --version alone: ${startMs.toFixed(0)} ms`;
    },
  });
};

/** `many` volumes for the contract `many`, the first of them alone for the contract `one`. */
export const contractsFor = (
  many: number,
  disk: (at: number) => string,
): { readonly one: Contract; readonly many: Contract } => {
  const volumes = Array.from({ length: many }, (_, at) => ({ key: `volume_${at}`, disk: disk(at) }));
  return { one: { name: 'one', volumes: volumes.slice(0, 1) }, many: { name: 'many', volumes } };
};

/** Blank disks for all volumes of `many`, and the files of a machine that boots `one` or `many` with the shipped executable. */
export const makeDisksAndFiles = async (
  stage: Stage,
  scratch: Scratch,
  shipped: Shipped,
  given: {
    readonly seeds: 2 | 3;
    readonly one: Contract;
    readonly many: Contract;
    readonly program: string;
    readonly settings?: Parameters<Stage['deployment']['guestFiles']>[1];
  },
): Promise<{ readonly disks: readonly Disk[]; readonly files: GuestFiles }> => {
  const { seeds, one, many, program, settings } = given;
  const made: MadeVolume[] = [];
  for (const { key } of many.volumes)
    made.push(await makeVolume(stage, scratch, { key, ...(seeds === 3 ? { kms: () => [stage.entry('main')] } : {}) }));
  const texts = made.map(({ volume }) => volumeText(stage, volume));
  const common = stage.deployment.guestFiles(stage.service, settings);
  const plain = String(common['/etc/triseed/agent.yaml']);
  const own: Record<string, string> = {};
  for (const contract of [one, many]) {
    const named = texts.filter(({ key }) => contract.volumes.some((volume) => volume.key === key));
    own[contractOf(contract)] = await stage.deployment.seal(contractText(named));
    own[configurationOf(contract)] = plain.replace('nocloud: cidata', `file: ${contractOf(contract)}`);
  }
  const files = {
    ...common,
    ...own,
    [program]: { content: readFileSync(shipped.executable), mode: 0o755 },
    [script]: { content: readFileSync(join(import.meta.dirname, 'open-by-hand.sh')), mode: 0o755 },
  };
  return { disks: made.flatMap(({ disks }) => disks), files };
};
