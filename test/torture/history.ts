/** What a run of torture has done so far, kept after every round, so that another run can go on from there. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../e2e/guest/place.ts';
import { type ProtocolName, protocolNames } from './protocols.ts';

/** One power cut. */
export interface Cut {
  /** Milliseconds after the first write of that boot, or of the daemon, reached the disk of one volume. */
  readonly delayMs: number;
  /** Volumes whose change was under way: written before the cut, and not said to be done, or with work left for the next boot. */
  readonly underWay: readonly string[];
}

export interface Round {
  readonly number: number;
  readonly cuts: readonly Cut[];
  /** Boots, cut or not. */
  readonly boots: number;
  /** Files that were compared with what had been written. */
  readonly compared: number;
  /** Files that were gone or different, and volumes that did not come back by themselves. */
  readonly losses: readonly string[];
  readonly seconds: number;
}

export interface History {
  readonly seed: string;
  /** From the first write to a volume to its last one, undisturbed. */
  readonly windowMs: number;
  readonly rounds: readonly Round[];
}

const folder = join(checkout, '.cache', 'torture');
const folderOf = (seed: string): string => join(folder, seed);

/** `name`: a protocol, or soak. */
export const logOf = (seed: string, name: string): string => join(folderOf(seed), `${name}.tap`);
export const historyFileOf = (seed: string, protocol: ProtocolName): string => join(folderOf(seed), `${protocol}.json`);

export const historyOf = (seed: string, protocol: ProtocolName): History => {
  const file = historyFileOf(seed, protocol);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as History) : { seed, windowMs: 0, rounds: [] };
};

/** Whole or not at all. */
export const keep = (protocol: ProtocolName, history: History): void => {
  mkdirSync(folderOf(history.seed), { recursive: true });
  const file = historyFileOf(history.seed, protocol);
  writeFileSync(`${file}.new`, JSON.stringify(history, null, 1));
  renameSync(`${file}.new`, file);
};

const lastFile = join(folder, 'last');

/** The seed of the run that was begun last, or null. */
export const lastSeed = (): string | null => (existsSync(lastFile) ? readFileSync(lastFile, 'utf8').trim() : null);

/** Remembers `seed` as the last one; without `goOn` whatever a run with it has done before is forgotten. */
export const begin = (seed: string, goOn: boolean): void => {
  mkdirSync(folderOf(seed), { recursive: true });
  writeFileSync(lastFile, `${seed}\n`);
  if (!goOn) for (const protocol of protocolNames) keep(protocol, { seed, windowMs: 0, rounds: [] });
};

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Power cuts by what they hit: guests, and volumes whose change was under way. */
export const sumsOf = (histories: readonly History[]) => {
  const rounds = histories.flatMap((history) => history.rounds);
  const cuts = rounds.flatMap((round) => round.cuts);
  return {
    guests: cuts.length,
    volumes: sum(cuts.map(({ underWay }) => underWay.length)),
    boots: sum(rounds.map(({ boots }) => boots)),
    compared: sum(rounds.map(({ compared }) => compared)),
    losses: sum(rounds.map(({ losses }) => losses.length)),
    seconds: sum(rounds.map(({ seconds }) => seconds)),
  };
};
