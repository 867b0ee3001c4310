/** Interleaved measuring: subject and baseline take turns, so that whatever the machine does hits both alike. */

export type Unit = 'ms' | 'MiB';

export interface Row {
  readonly name: string;
  /** What is measured, and against what. */
  readonly subject: string;
  readonly baseline: string;
  readonly repetitions: number;
  /** Both sides have run in this place before. */
  readonly isWarm?: boolean;
  /** Calls within one repetition, for work too short to be timed alone. */
  readonly calls: number;
  readonly measured: () => Promise<unknown>;
  readonly compared: () => Promise<unknown>;
  /** Each side answers its own number, such as the milliseconds by a clock of its own; `unit` is 'ms' unless given. */
  readonly reported?: true;
  readonly unit?: Unit;
  /** The most that the ratio, or the subject itself, may be. */
  readonly limit?: Limit;
  /** What else the numbers say. */
  readonly remark?: (numbers: Pick<Result, 'ours' | 'theirs'>) => string;
}

export type Limit = { readonly ratio: number } | { readonly subject: number };

/** Of one call. */
export interface Spread {
  readonly median: number;
  readonly lowerQuartile: number;
  readonly upperQuartile: number;
}

export interface Result {
  readonly name: string;
  readonly subject: string;
  readonly baseline: string;
  readonly repetitions: number;
  readonly unit: Unit;
  readonly ours: Spread;
  readonly theirs: Spread;
  /** Median of the subject by median of the baseline. */
  readonly ratio: number;
  /** Ratios of the single repetitions, quartiles: how far to trust `ratio`. */
  readonly ratioSpread: readonly [number, number];
  readonly limit?: Limit;
  /** Whether the limit is kept. */
  readonly isKept?: boolean;
  readonly remark?: string;
}

/** The value below which the part `fraction` of `values` lies, between neighbours by weight. Throws on no values. */
export const quantile = (values: readonly number[], fraction: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * fraction;
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  if (below === undefined || above === undefined) throw new RangeError('no values');
  return below + (above - below) * (place - Math.floor(place));
};

const spreadOf = (values: readonly number[]): Spread => ({
  median: quantile(values, 0.5),
  lowerQuartile: quantile(values, 0.25),
  upperQuartile: quantile(values, 0.75),
});

const timed = async (work: () => Promise<unknown>, { calls, reported }: Row): Promise<number> => {
  const start = performance.now();
  let own = 0;
  for (let call = 0; call < calls; call += 1) own += Number(await work());
  return (reported === true ? own : performance.now() - start) / calls;
};

/** Runs one row: a warm-up of each side unless both are warm, then the repetitions, each side first in turn. */
export const run = async (row: Row): Promise<Result> => {
  const { name, subject, baseline, repetitions, limit } = row;
  const [subjects, baselines]: [number[], number[]] = [[], []];
  if (repetitions > 1 && row.isWarm !== true) for (const work of [row.measured, row.compared]) await timed(work, row);
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    const first = repetition % 2 === 0;
    if (first) subjects.push(await timed(row.measured, row));
    baselines.push(await timed(row.compared, row));
    if (!first) subjects.push(await timed(row.measured, row));
  }
  const [ours, theirs] = [spreadOf(subjects), spreadOf(baselines)];
  const ratios = subjects.map((value, at) => value / (baselines[at] ?? Number.NaN));
  const ratio = ours.median / theirs.median;
  return {
    name,
    subject,
    baseline,
    repetitions,
    unit: row.unit ?? 'ms',
    ours,
    theirs,
    ratio,
    ratioSpread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    ...(limit === undefined
      ? {}
      : { limit, isKept: 'ratio' in limit ? ratio <= limit.ratio : ours.median <= limit.subject }),
    ...(row.remark === undefined ? {} : { remark: row.remark({ ours, theirs }) }),
  };
};
