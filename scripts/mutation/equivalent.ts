/** Faults that change nothing that the program does: no test of behaviour can notice them. Each has its reason. */

export interface Equivalent {
  readonly fault: string;
  /** The whole place as it reads in the source, blanks and line ends as one blank. */
  readonly place: string;
  /** A part of the line, where the same place is in several. */
  readonly within?: string;
  readonly because: string;
}

const absentIsFalse = 'absent and false mean the same to every reader: the field is only ever asked whether it is true';
const shortNames = 'names in a LUKS1 header have at most 31 printable characters, so that no reason is that long';

export const equivalents: Readonly<Record<string, readonly Equivalent[]>> = {
  'agent/volumes/guard.ts': [
    {
      fault: 'not null',
      place: 'null',
      within: "step.do === 'partition')) return null",
      because: 'the state of the metadata partition is only compared with foreign and scrap',
    },
    {
      fault: 'not null',
      place: 'null',
      within: "step.do === 'grow-partition')) return null",
      because: 'the room is only looked at for a plan that grows',
    },
    {
      fault: 'not null',
      place: 'null',
      within: 'disk.sectorBytes) : null',
      because: 'whether a table was cut off is told by kind, which a text has not',
    },
    {
      fault: 'not null',
      place: 'null',
      within: '< markerBytes ? null',
      because: 'whose mark it is is told by volume, which a text has not',
    },
  ],
  'agent/volumes/gate.ts': [
    {
      fault: 'count one higher',
      place: '/^(0|[1-9]\\d{0,14})$/',
      because:
        'no field of a header may have one digit (1 to 9 bytes fit no area) or sixteen (beyond the largest offset), so that a later check refuses both',
    },
    {
      fault: 'only the right',
      place: "typeof value === 'number' && Number.isInteger(value)",
      because: 'Number.isInteger is false for whatever is no number; the type is asked for the compiler',
    },
  ],
  'agent/volumes/luks1-gate.ts': [
    { fault: 'without slice', place: 'error.message.slice(0, 200)', because: shortNames },
    { fault: 'one higher', place: '200', because: shortNames },
    { fault: 'one lower', place: '200', because: shortNames },
  ],
  'agent/volumes/scenarios.ts': [
    { fault: 'only the left', place: 'how.partitions ?? false', because: absentIsFalse },
    { fault: 'only the left', place: 'how.storedSeed ?? false', because: absentIsFalse },
    { fault: 'only the left', place: 'how.rekeys ?? false', because: absentIsFalse },
  ],
};
