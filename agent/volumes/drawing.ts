/** A disk as a small drawing, now and after a plan, for terminals of 80 columns. Pure. */
import { mebibyte } from './device-bytes.ts';
import type { Plan, Step } from './plan.ts';
import type { KeptObservation } from './survey.ts';

/** One box of the drawing. */
interface Box {
  readonly name: string;
  readonly sizeBytes: number;
  readonly holds: string;
  /** What was there before is gone. */
  readonly overwritten: boolean;
}

const innerColumns = 66;
const minimumColumns = 20;
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `31 MiB`, `9.9 GiB`: three digits at most. */
export const sizeText = (bytes: number): string => {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
};

const seedText = ({ seed, header }: KeptObservation): string => {
  const scheme = header?.gated.token?.scheme;
  if (scheme !== undefined) return scheme.startsWith('two-seed') ? ', two seeds' : ', three seeds';
  return seed.fact === 'present' ? ', three seeds' : '';
};

const targetText = (observation: KeptObservation): string => {
  const { fact, detail } = observation.target;
  if (fact === 'blank') return 'blank';
  if (fact === 'formatting') return 'an interrupted format';
  if (fact === 'luks1') return 'LUKS1';
  if (fact === 'luks') return `LUKS2${seedText(observation)}`;
  return `${fact === 'luks-damaged' ? 'damaged LUKS' : 'foreign'}: ${detail}`;
};

const metadataText = ({ metadata, seed }: KeptObservation): string => {
  if (metadata === 'blank') return 'blank';
  if (metadata === 'foreign') return 'foreign data';
  if (seed.fact === 'present' || seed.fact === 'bad') return seed.fact === 'bad' ? 'bad keyfile' : 'keyfile';
  return metadata === 'scrap' ? 'remains' : 'no keyfile';
};

/** The boxes of a disk as it is. */
export const boxesNow = (observation: KeptObservation): readonly Box[] => {
  const { partitions, disk } = observation;
  const holds = targetText(observation);
  const box = (name: string, sizeBytes: number, text: string): Box => {
    return { name, sizeBytes, holds: text, overwritten: false };
  };
  if (partitions === null) return [box('whole disk', disk.sizeBytes, holds)];
  const room = disk.sizeBytes - partitions.data.startBytes - partitions.data.sizeBytes;
  return [
    box('metadata', partitions.metadata.sizeBytes, metadataText(observation)),
    box('data', partitions.data.sizeBytes, holds),
    // Our own table leaves up to 2 MiB at the end.
    ...(room > 2 * mebibyte ? [box('free', room, 'not used')] : []),
  ];
};

const has = (plan: Plan, what: Step['do']): boolean => plan.steps.some((step) => step.do === what);

/** The boxes of the same disk when the plan has been carried out. */
export const boxesAfter = (observation: KeptObservation, plan: Plan): readonly Box[] => {
  const { disk, partitions } = observation;
  const seeds = plan.seeds === 3 ? 'three seeds' : 'two seeds';
  const mount = plan.steps.find((step) => step.do === 'mount');
  const version = observation.target.fact === 'luks1' ? 'LUKS1' : 'LUKS2';
  const luks = `${version}, ${seeds}${mount === undefined ? '' : `, ${mount.filesystem}`}`;
  const overwritten = has(plan, 'format');
  const keyfile = plan.seeds === 3 ? 'keyfile' : 'no keyfile';
  const table = plan.steps.find((step) => step.do === 'partition');
  if (table !== undefined || partitions === null) {
    const first = 99 * mebibyte;
    const whole = { name: 'whole disk', sizeBytes: disk.sizeBytes, holds: luks, overwritten };
    return table === undefined
      ? [whole]
      : [
          { name: 'metadata', sizeBytes: first, holds: keyfile, overwritten: true },
          { name: 'data', sizeBytes: disk.sizeBytes - first - 2 * mebibyte, holds: luks, overwritten: true },
        ];
  }
  const grown = plan.steps.find((step) => step.do === 'grow-partition');
  const dataEnd = grown?.endBytes ?? partitions.data.startBytes + partitions.data.sizeBytes;
  const rewritten = has(plan, 'make-metadata');
  const holds = rewritten ? keyfile : metadataText(observation);
  return [
    { name: 'metadata', sizeBytes: partitions.metadata.sizeBytes, holds, overwritten: rewritten && overwritten },
    { name: 'data', sizeBytes: dataEnd - partitions.data.startBytes, holds: luks, overwritten },
  ];
};

/** Columns of each box: by size, but never too narrow for its words, and together what fits. */
const columnsOf = (boxes: readonly Box[]): readonly number[] => {
  const room = innerColumns - (boxes.length - 1);
  const total = boxes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const spare = room - minimumColumns * boxes.length;
  const shares = boxes.map(({ sizeBytes }) => minimumColumns + Math.floor((spare * sizeBytes) / Math.max(total, 1)));
  const rest = room - shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share, at) => (at === shares.length - 1 ? share + rest : share));
};

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');

const cell = (text: string, columns: number): string => {
  const room = columns - 2;
  const shown = printable(text);
  return ` ${(shown.length > room ? `${shown.slice(0, room - 1)}…` : shown).padEnd(room)} `;
};

/** Four lines; the title stands before the first. Overwritten boxes are marked with `!` and a double line. */
export const drawBoxes = (title: string, boxes: readonly Box[]): string => {
  const columns = columnsOf(boxes);
  const width = (at: number): number => columns[at] ?? minimumColumns;
  const line = (left: string, between: string, right: string): string =>
    `${left}${boxes.map(({ overwritten }, at) => (overwritten ? '═' : '─').repeat(width(at))).join(between)}${right}`;
  const row = (text: (box: Box) => string): string =>
    `│${boxes.map((box, at) => cell(text(box), width(at))).join('│')}│`;
  const indent = ' '.repeat(8);
  return [
    `  ${title.padEnd(6)}${line('┌', '┬', '┐')}`,
    `${indent}${row(({ name, sizeBytes, overwritten }) => `${overwritten ? '! ' : ''}${name}, ${sizeText(sizeBytes)}`)}`,
    `${indent}${row(({ holds }) => holds)}`,
    `${indent}${line('└', '┴', '┘')}`,
    '',
  ].join('\n');
};
