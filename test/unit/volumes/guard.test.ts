/** The guard looks for itself: plans as a wrong table might make them, on devices in memory. Real files: lost-table.test.ts. */
import t from 'tap';
import type { BlockDevice, DiskEntry, Host } from '../../../agent/ports.ts';
import { mebibyte } from '../../../agent/volumes/device-bytes.ts';
import { renderMarker } from '../../../agent/volumes/formatting-marker.ts';
import { guardPlan, objection, type Sight } from '../../../agent/volumes/guard.ts';
import { metadataWrites } from '../../../agent/volumes/metadata.ts';
import { renderOurTable } from '../../../agent/volumes/partition-table.ts';
import type { Plan, Step } from '../../../agent/volumes/plan.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { headerBytes, headerJson } from '../../fakes/luks-header.ts';
import { luks1Bytes, luks1Fields } from '../../fakes/luks1-header.ts';

const guids = {
  diskGuid: '11111111-1111-4111-8111-111111111111',
  metadataGuid: '22222222-2222-4222-8222-222222222222',
  dataGuid: '33333333-3333-4333-8333-333333333333',
};
const sizeBytes = 256 * mebibyte;
const dataStart = 100 * mebibyte;
const dataBytes = 32 * mebibyte;

const mark: Step = { do: 'mark-formatting', partitionGuid: guids.dataGuid };
const formatting: readonly Step[] = [
  mark,
  { do: 'format', luksUuid: 'u', kdf: 'pbkdf2', sectorBytes: 4096, scheme: 'interim' },
  { do: 'open', mapping: 'triseed-data' },
  { do: 'make-filesystem', filesystem: 'ext4' },
  { do: 'commit-header' },
  { do: 'make-metadata' },
  { do: 'mount', filesystem: 'ext4', mount: '/mnt/data' },
];
const partitioning: readonly Step[] = [{ do: 'partition', ...guids, sizeBytes, sectorSize: 512 }, ...formatting];
const opening: readonly Step[] = [
  { do: 'open', mapping: 'triseed-data' },
  { do: 'mount', filesystem: 'ext4', mount: '/mnt/data' },
];

type Bytes = readonly [offset: number, bytes: Uint8Array | string];

/** A disk, and its two partitions as the kernel would show them. */
interface World {
  readonly disk?: readonly Bytes[];
  readonly metadata?: readonly Bytes[];
  readonly data?: readonly Bytes[];
  readonly diskBytes?: number;
  readonly dataBytes?: number;
  readonly entry?: Partial<DiskEntry>;
  /** What wipefs lists, of every device. */
  readonly signatures?: string;
  readonly gone?: true;
}

interface Made {
  readonly host: Host;
  readonly whole: (steps: readonly Step[], change?: Partial<Plan>) => Plan;
  readonly onData: (steps: readonly Step[], change?: Partial<Plan>) => Plan;
  readonly counted: { opened: number; closed: number; bytesRead: number };
}

/** A device in memory: zeros, with `pieces` put over them. It cannot be written to. */
const device = (path: string, length: number, pieces: readonly Bytes[]): BlockDevice => {
  const never = async () => {
    throw new Error('the guard writes');
  };
  const read = async (offset: number, count: number): Promise<Buffer> => {
    if (offset + count > length) throw new Error(`${path} ends before`);
    const bytes = Buffer.alloc(count);
    for (const [at, piece] of pieces) {
      const whole = Buffer.from(piece as Uint8Array);
      const [start, end] = [Math.max(at, offset), Math.min(at + whole.length, offset + count)];
      if (start < end) whole.copy(bytes, start - offset, start - at, end - at);
    }
    return bytes;
  };
  return { path, sizeBytes: length, read, write: never, flush: never, close: async () => undefined };
};

const make = (world: World = {}): Made => {
  const path = '/dev/vdb';
  const [metadata, data] = [`${path}1`, `${path}2`];
  const diskBytes = world.diskBytes ?? sizeBytes;
  const devices = [
    device(path, diskBytes, world.disk ?? []),
    device(metadata, 99 * mebibyte, world.metadata ?? []),
    device(data, world.dataBytes ?? dataBytes, world.data ?? []),
  ];
  const entry: DiskEntry = {
    name: 'vdb',
    path,
    sizeBytes: diskBytes,
    serial: 'data',
    readOnly: false,
    sectorBytes: 512,
    partitions: [
      { name: 'vdb1', path: metadata, number: 1, startBytes: mebibyte, sizeBytes: 99 * mebibyte },
      { name: 'vdb2', path: data, number: 2, startBytes: dataStart, sizeBytes: dataBytes },
    ],
    holders: [],
    mountPoints: [],
    ...world.entry,
  };
  const counted = { opened: 0, closed: 0, bytesRead: 0 };
  const stdout = Buffer.from(world.signatures ?? '');
  const host: Host = {
    ...hostOnFiles(),
    run: async () => ({ exit: 0, signal: null, timedOut: false, stdout, stderr: '', elapsedMs: 1 }),
    // Windows of samples begin where their strip does: 100 MiB is in none of them.
    entropy: { ...hostOnFiles().entropy, fraction: () => 0 },
    disks: {
      list: async () => (world.gone ? [] : [{ ...entry, path: '/dev/vda', serial: 'other' }, entry]),
      open: async (wanted, access) => {
        if (access !== 'read') throw new Error(`the guard opens ${wanted} to ${access}`);
        const found = devices.find((candidate) => candidate.path === wanted);
        if (found === undefined) throw new Error(`there is no ${wanted}`);
        counted.opened += 1;
        return {
          ...found,
          read: (offset, length) => {
            counted.bytesRead += length;
            return found.read(offset, length);
          },
          close: async () => {
            counted.closed += 1;
          },
        };
      },
    },
  };
  const plan = (target: Plan['target'], steps: readonly Step[], change: Partial<Plan>): Plan => ({
    volume: 'data',
    scenario: 'any',
    seeds: 3,
    kind: steps.includes(mark) ? 'formats' : 'opens',
    disk: path,
    serial: 'data',
    target,
    partitions: null,
    steps,
    digest: '0123456789abcdef',
    ...change,
  });
  return {
    host,
    counted,
    whole: (steps, change = {}) => plan({ path, sizeBytes: diskBytes }, steps, change),
    onData: (steps, change = {}) => plan({ path: data, sizeBytes: world.dataBytes ?? dataBytes }, steps, change),
  };
};

const writes = (withSize: number): readonly Bytes[] => {
  const table = renderOurTable({ sizeBytes: withSize, ...guids });
  if (table.kind !== 'table') throw new Error('too small');
  return table.writes.map(({ offset, bytes }) => [offset, bytes]);
};
const ourTable = writes(sizeBytes);
const ourMark = (volume: string, partitionGuid: string) => renderMarker({ volume, partitionGuid });
const header = headerBytes(headerJson());
const nullCipher = headerJson();
nullCipher.segments['0'].encryption = 'cipher_null-ecb';
const mirror = metadataWrites({
  sizeBytes: 99 * mebibyte,
  wrapped: 'd3JhcHBlZA==',
  uuid: guids.diskGuid,
  at: new Date(0),
}).map(({ offset, bytes }): Bytes => [offset, bytes]);
/** The beginning of an ext4 superblock: nothing but its magic. */
const ext4Magic: Bytes = [1024 + 56, Buffer.from([0x53, 0xef])];
const grow: Step = { do: 'grow-partition', endBytes: sizeBytes - mebibyte };
const grown = writes(160 * mebibyte);

type Case = readonly [name: string, world: World, plan: (made: Made) => Plan];

const allowed: readonly Case[] = [
  ['a blank disk is partitioned', {}, (made) => made.whole(partitioning)],
  ...[1, 2, 3, 4].map(
    (count): Case => [
      `a table of ours is finished after ${count} of its writes`,
      { disk: ourTable.slice(0, count) },
      (made) => made.whole(partitioning),
    ],
  ),
  [
    'its own signatures are no obstacle then',
    { disk: ourTable.slice(0, 4), signatures: 'gpt\nPMBR\n' },
    (made) => made.whole(partitioning),
  ],
  ['blank partitions are formatted', {}, (made) => made.onData(formatting)],
  ['beside a mirror of ours', { metadata: mirror }, (made) => made.onData(formatting)],
  [
    'an interrupted format starts over',
    {
      data: [
        [0, ourMark('data', guids.dataGuid)],
        [3 * mebibyte, 'left over'],
      ],
    },
    (made) => made.onData(formatting),
  ],
  [
    'on the smallest device that holds a mark',
    { dataBytes: 4096, data: [[0, ourMark('data', guids.dataGuid)]] },
    (made) => made.onData(formatting),
  ],
  ['a sound header is opened', { data: [[0, header]] }, (made) => made.onData(opening)],
  ['a sound header of a whole disk too', { disk: [[0, header]] }, (made) => made.whole(opening)],
  [
    'data elsewhere is none of its business when opening',
    {
      data: [
        [0, header],
        [20 * mebibyte, 'data'],
      ],
      metadata: [ext4Magic],
    },
    (made) => made.onData(opening),
  ],
  [
    'a mirror is rewritten after a cut left scraps of it',
    { data: [[0, header]], metadata: [[5000, 'scraps']] },
    (made) => made.onData([...opening, { do: 'make-metadata' }]),
  ],
  [
    'a partition grows to where there is room',
    { disk: grown, data: [[0, header]] },
    (made) => made.onData([grow, ...opening]),
  ],
];

const objected: readonly Case[] = [
  ['the disk is gone', { gone: true }, (made) => made.whole(partitioning)],
  ['another disk has the path', { entry: { serial: 'other' } }, (made) => made.whole(partitioning)],
  [
    'another disk has the path, when opening',
    { data: [[0, header]], entry: { serial: null } },
    (made) => made.onData(opening),
  ],
  ['read-only', { entry: { readOnly: true } }, (made) => made.whole(partitioning)],
  ['something is stacked on it', { entry: { holders: ['dm-0'] } }, (made) => made.whole(partitioning)],
  ['it is mounted', { entry: { mountPoints: ['/mnt'] } }, (made) => made.whole(partitioning)],
  [
    'it is mounted, when opening',
    { data: [[0, header]], entry: { mountPoints: ['/mnt'] } },
    (made) => made.onData(opening),
  ],
  [
    'another size than was inspected',
    {},
    (made) => made.whole(partitioning, { target: { path: made.whole([]).disk, sizeBytes: sizeBytes - 512 } }),
  ],
  ['one byte', { disk: [[3 * mebibyte, 'x']] }, (made) => made.whole(partitioning)],
  ['one byte at the end', { disk: [[sizeBytes - 1, 'x']] }, (made) => made.whole(partitioning)],
  ['one byte in the data partition', { data: [[3 * mebibyte, 'x']] }, (made) => made.onData(formatting)],
  ['what only libblkid recognises', { signatures: 'zfs_member\n' }, (made) => made.whole(partitioning)],
  [
    'what only libblkid recognises, beside a cut-off table',
    { disk: ourTable.slice(0, 3), signatures: 'gpt\nzfs_member\n' },
    (made) => made.whole(partitioning),
  ],
  ['a partition table without a cut', { signatures: 'gpt\n' }, (made) => made.whole(partitioning)],
  ['a finished table of ours', { disk: ourTable }, (made) => made.whole(partitioning)],
  [
    'a cut-off table of ours and data',
    { disk: [...ourTable.slice(0, 3), [3 * mebibyte, 'x']] },
    (made) => made.whole(partitioning),
  ],
  ['half a table that is not ours', { disk: ourTable.slice(2, 4) }, (made) => made.whole(partitioning)],
  [
    'our table inside a partition',
    { dataBytes: sizeBytes, data: ourTable.slice(0, 3), metadata: mirror },
    (made) => made.onData(formatting),
  ],
  ['a volume whose table was lost', { disk: [[dataStart, header]] }, (made) => made.whole(partitioning)],
  [
    'a mark where our data would be',
    { disk: [[dataStart, ourMark('data', guids.dataGuid)]] },
    (made) => made.whole(partitioning),
  ],
  [
    'a mark at the start of a whole disk',
    { disk: [[0, ourMark('data', guids.dataGuid)]] },
    (made) => made.whole(partitioning),
  ],
  ['a LUKS header', { data: [[0, header]] }, (made) => made.onData(formatting)],
  ['a LUKS header of a whole disk', { disk: [[0, header]] }, (made) => made.whole(partitioning)],
  ['the mark of another volume', { data: [[0, ourMark('other', guids.dataGuid)]] }, (made) => made.onData(formatting)],
  [
    'the mark of another partition',
    { data: [[0, ourMark('data', guids.diskGuid)]] },
    (made) => made.onData(formatting),
  ],
  [
    'our mark, and a whole copy of a header behind it',
    {
      data: [
        [0, header],
        [0, ourMark('data', guids.dataGuid)],
      ],
    },
    (made) => made.onData(formatting),
  ],
  [
    'our mark, and a plan that names no partition',
    { data: [[0, ourMark('data', guids.dataGuid)]] },
    (made) => made.onData(formatting.slice(1), { kind: 'formats' }),
  ],
  [
    'no room for a mark',
    { dataBytes: 4095, data: [[0, ourMark('data', guids.dataGuid).subarray(0, 4095)]] },
    (made) => made.onData(formatting),
  ],
  ['scraps in the metadata partition', { metadata: [[5000, 'scraps']] }, (made) => made.onData(formatting)],
  [
    'scraps in the metadata partition, and our mark',
    { data: [[0, ourMark('data', guids.dataGuid)]], metadata: [[5000, 'scraps']] },
    (made) => made.onData(formatting),
  ],
  ['a file system in the metadata partition', { metadata: [ext4Magic] }, (made) => made.onData(formatting)],
  [
    'a file system in the metadata partition, when opening',
    { data: [[0, header]], metadata: [ext4Magic] },
    (made) => made.onData([...opening, { do: 'make-metadata' }]),
  ],
  ['no metadata partition', { entry: { partitions: [] } }, (made) => made.onData(formatting)],
  [
    'a header that does not pass, when opening',
    { data: [[0, headerBytes(nullCipher)]] },
    (made) => made.onData(opening),
  ],
  ['no header at all, when opening', {}, (made) => made.onData(opening)],
  ['LUKS1', { data: [[0, Buffer.from('4c554b53babe0001', 'hex')]] }, (made) => made.onData(opening)],
  ['a device too small for anything', { dataBytes: 100 }, (made) => made.onData(opening)],
  [
    'a plan that opens and formats',
    { data: [[0, header]] },
    (made) => made.onData([...opening, ...formatting], { kind: 'opens' }),
  ],
  [
    'less room than the plan says',
    { disk: writes(250 * mebibyte), data: [[0, header]] },
    (made) => made.onData([{ ...grow, endBytes: sizeBytes }, ...opening]),
  ],
  ['no room', { disk: ourTable, data: [[0, header]] }, (made) => made.onData([grow, ...opening])],
  ['no table to grow in', { data: [[0, header]] }, (made) => made.onData([grow, ...opening])],
];

const clear: Sight = {
  readOnly: false,
  inUseBy: [],
  blank: true,
  markedForThis: false,
  signatures: [],
  sizeBytes,
  hidden: null,
  opensSafely: true,
  luks1: false,
  growsTo: null,
  serial: 'data',
  metadata: null,
};

t.test('each objection by itself, with nothing else to object to', async (t) => {
  const made = make();
  const formats = made.whole(partitioning);
  const opens = made.whole(opening);
  const cases: readonly (readonly [Plan, Partial<Sight>, boolean])[] = [
    [formats, {}, false],
    [opens, { blank: false, signatures: ['crypto_LUKS'], hidden: 'x', sizeBytes: 1, metadata: 'scrap' }, false],
    [formats, { blank: false, markedForThis: true, signatures: ['crypto_LUKS'], hidden: 'x' }, false],
    [formats, { opensSafely: false }, false],
    [opens, { luks1: true }, false],
    [{ ...opens, steps: [grow, ...opening] }, { luks1: true, growsTo: sizeBytes - mebibyte }, false],
    [formats, { metadata: 'blank' }, false],
    [formats, { metadata: 'ours' }, false],
    [formats, { readOnly: true }, true],
    [formats, { inUseBy: ['/mnt'] }, true],
    [formats, { serial: null }, true],
    [{ ...formats, serial: null }, { serial: null }, false],
    [formats, { metadata: 'foreign' }, true],
    [formats, { metadata: 'foreign', markedForThis: true }, true],
    [formats, { metadata: 'scrap' }, true],
    [formats, { metadata: 'scrap', markedForThis: true }, true],
    [formats, { sizeBytes: sizeBytes + 1 }, true],
    [formats, { sizeBytes: sizeBytes + 1, markedForThis: true }, true],
    [formats, { hidden: 'a LUKS header' }, true],
    [formats, { blank: false }, true],
    [formats, { signatures: ['ext4'] }, true],
    [opens, { opensSafely: false }, true],
    [opens, { metadata: 'foreign' }, true],
    [{ ...opens, steps: partitioning }, {}, true],
    [{ ...opens, steps: partitioning }, { markedForThis: true }, true],
    [{ ...opens, steps: [grow, ...opening] }, {}, true],
    [{ ...opens, steps: [grow, ...opening] }, { growsTo: sizeBytes - mebibyte }, false],
    [{ ...opens, steps: [grow, ...opening] }, { growsTo: sizeBytes }, true],
  ];
  for (const [plan, seen, objects] of cases)
    t.equal(objection(plan, { ...clear, ...seen }) !== null, objects, `${plan.kind} ${JSON.stringify(seen)}`);
  for (const step of partitioning.slice(0, 4)) {
    const alone = objection({ ...opens, steps: [step] }, clear);
    t.equal(alone !== null, step.do !== 'open', `${step.do} is ${step.do === 'open' ? 'not ' : ''}destructive`);
  }
});

t.test('LUKS1: whatever a plan says, its header and what lies beside it stay as they are', async (t) => {
  const made = make();
  const opens = made.onData(opening);
  const steps: readonly Step[] = [
    { do: 'mend-header' },
    { do: 'commit-token' },
    { do: 'commit-header' },
    { do: 'make-metadata' },
    { do: 'change-passphrase', kdf: 'argon2id', why: 'roll' },
    { do: 'change-passphrase', kdf: 'pbkdf2', why: 'rekey' },
    ...partitioning.slice(0, 2),
  ];
  for (const step of steps)
    t.type(objection({ ...opens, steps: [step, ...opening] }, { ...clear, luks1: true }), 'string', step.do);
  for (const step of steps.slice(0, 6)) t.equal(objection({ ...opens, steps: [step, ...opening] }, clear), null);
});

t.test('LUKS1 on the disk is judged under the setting', async (t) => {
  const data: readonly Bytes[] = [[0, luks1Bytes(luks1Fields())]];
  const null1 = luks1Bytes({ ...luks1Fields(), cipherName: 'cipher_null', cipherMode: 'ecb' });
  const refused = { code: 'VOLUME_GUARD_OBJECTS' };
  const made = make({ data });
  const wanted = made.onData(opening);
  t.equal(await guardPlan(made.host, wanted, ['luks1']), wanted);
  t.equal(made.counted.closed, made.counted.opened, 'no device is left open');
  await t.rejects(guardPlan(made.host, wanted), refused, 'not without it');
  await t.rejects(guardPlan(made.host, wanted, ['cbc-essiv']), refused, 'not with another one');
  const mending = made.onData([{ do: 'mend-header' }, ...opening]);
  await t.rejects(guardPlan(made.host, mending, ['luks1']), refused, 'opened only');
  const forged = make({ data: [[0, null1]] });
  await t.rejects(guardPlan(forged.host, forged.onData(opening), ['luks1']), refused, 'a null cipher');
  const small = make({ data, dataBytes: 4096 * 512 });
  await t.rejects(guardPlan(small.host, small.onData(opening), ['luks1']), refused, 'no room for data');
});

t.test('cbc-essiv on the disk is judged under the setting', async (t) => {
  const json = headerJson();
  json.segments['0'].encryption = 'aes-cbc-essiv:sha256';
  json.keyslots['0'].key_size = 32;
  json.keyslots['0'].area.size = '131072';
  const made = make({ data: [[0, headerBytes(json)]] });
  const wanted = made.onData([{ do: 'mend-header' }, ...opening]);
  t.equal(await guardPlan(made.host, wanted, ['cbc-essiv']), wanted, 'LUKS2 is LUKS2');
  await t.rejects(guardPlan(made.host, wanted), { code: 'VOLUME_GUARD_OBJECTS' });
  await t.rejects(guardPlan(made.host, wanted, ['luks1']), { code: 'VOLUME_GUARD_OBJECTS' });
});

for (const [name, world, plan] of allowed)
  t.test(`allowed: ${name}`, async (t) => {
    const made = make(world);
    const wanted = plan(made);
    t.equal(await guardPlan(made.host, wanted), wanted, 'the very plan');
    t.equal(made.counted.closed, made.counted.opened, 'no device is left open');
  });

for (const [name, world, plan] of objected)
  t.test(`objected: ${name}`, async (t) => {
    const made = make(world);
    await t.rejects(guardPlan(made.host, plan(made)), {
      code: 'VOLUME_GUARD_OBJECTS',
      facts: { volume: 'data', detail: String },
    });
    t.equal(made.counted.closed, made.counted.opened, 'no device is left open');
  });

t.test('a disk is found by its path', async (t) => {
  const made = make();
  await t.rejects(guardPlan(made.host, { ...made.whole(partitioning), disk: '/dev/vdc' }), {
    code: 'VOLUME_GUARD_OBJECTS',
  });
});

t.test('opening a volume costs no search for data', async (t) => {
  const made = make({ data: [[0, header]] });
  await guardPlan(made.host, made.onData(opening));
  t.ok(made.counted.bytesRead < mebibyte, `${made.counted.bytesRead} bytes read`);
  t.equal(made.counted.opened, 1, 'and no other device is looked at');
});
