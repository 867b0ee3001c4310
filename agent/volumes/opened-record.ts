/**
 * What a boot opened, left in the run folder for the commands that look at a running guest: names and places, no secret.
 * It lies in memory and is gone with the boot.
 */
import { array, exact, one, read, text, type Wrong } from './exact-json.ts';

export interface OpenedRecord {
  /** Volume key of the contract. */
  readonly volume: string;
  readonly mount: string;
  /** Device-mapper name. */
  readonly mapping: string;
  /** The data partition, or the whole disk. */
  readonly device: string;
  readonly luksUuid: string;
  /** Row of the scenario table that opened it. */
  readonly scenario: string;
}

export const openedPath = (run: string): string => `${run}/opened.json`;
/** Longest record that is read; a volume takes a few hundred bytes. */
export const openedMaxBytes = 1024 * 1024;

export const renderOpened = (volumes: readonly OpenedRecord[]): string => {
  const records = volumes.map(({ volume, mount, mapping, device, luksUuid, scenario }) => {
    return { volume, mount, mapping, device, luksUuid, scenario };
  });
  return `${JSON.stringify({ version: 1, volumes: records })}\n`;
};

const record = exact({
  version: one(1),
  volumes: array(exact({ volume: text, mount: text, mapping: text, device: text, luksUuid: text, scenario: text })),
});

/** Reads a record of `renderOpened`, or says what is wrong with it. */
export const parseOpened = (bytes: string): readonly OpenedRecord[] | Wrong => {
  const parsed = read(record, bytes);
  return 'wrong' in parsed ? parsed : parsed.volumes;
};
