/**
 * Every prefix of the writes of a header commit, and every subset of the writes between two flushes, torn at sector
 * boundaries too, is replayed onto a plain file: each state must hold the old header or the new one, whole, and
 * cryptsetup must open it with the passphrase that belongs to it.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { disks } from '../../../agent/host/disks.ts';
import { runCommand } from '../../../agent/host/exec.ts';
import { Secret } from '../../../agent/secret.ts';
import { luksFormat, luksOpen } from '../../../agent/volumes/commands.ts';
import type { DeviceWrite } from '../../../agent/volumes/device-bytes.ts';
import { markerBytes, parseMarker, renderMarker } from '../../../agent/volumes/formatting-marker.ts';
import { type GatedHeader, gateHeader } from '../../../agent/volumes/gate.ts';
import {
  type HeaderImage,
  insistUnchanged,
  planHeaderCommit,
  planHeaderMend,
  readAreas,
  writeInOrder,
} from '../../../agent/volumes/header-commit.ts';
import { onDevice, withToken } from '../../../agent/volumes/header-file.ts';
import { readLuksHeader } from '../../../agent/volumes/luks-header.ts';
import { cutStates, replayed } from '../../fakes/power-cut-states.ts';

/** Both header copies and the one keyslot area: all that a commit ever writes. */
const size = 32_768 + 258_048;
const deviceSize = 17 * 1024 * 1024;
const passphrase = Secret.fromText('throw-away passphrase');
const readerOf = (bytes: Buffer) => async (offset: number, length: number) =>
  Buffer.from(bytes.subarray(offset, offset + length));

const gatedOf = async (
  bytes: Buffer,
): Promise<{ gated: GatedHeader; primaryIsCurrent: boolean; secondaryIsCurrent: boolean } | null> => {
  const found = await readLuksHeader(readerOf(bytes), bytes.length);
  if (found.kind !== 'luks2') return null;
  const gate = gateHeader(found.current);
  return gate.kind === 'passed'
    ? {
        gated: gate.header,
        primaryIsCurrent: found.primary === 'current',
        secondaryIsCurrent: found.secondary === 'current',
      }
    : null;
};

/** A volume's header area in memory, as cryptsetup formats it, with our token. */
const formatted = async (t: Test, name: string): Promise<{ disk: Buffer; gated: GatedHeader }> => {
  const folder = t.testdir({});
  const device = join(folder, 'device');
  writeFileSync(device, Buffer.alloc(deviceSize));
  const header = join(folder, name);
  const luksUuid = '11111111-2222-4333-8444-555555555555';
  await runCommand(luksFormat({ header, device, luksUuid, sectorBytes: 4096, kdf: 'pbkdf2' }, passphrase));
  const file = await disks.open(header, 'read');
  const disk = await file.read(0, size);
  await file.close();
  const found = await gatedOf(disk);
  if (found === null) throw new Error('the formatted header does not pass');
  return { disk, gated: found.gated };
};

const token = (keyVersion: string) => ({
  volume: 'data',
  scheme: 'interim' as const,
  keyslot: '0',
  stored: { wrapped: Buffer.from(keyVersion).toString('base64'), keyVersion, mac: 'ab'.repeat(32) },
});

const salts = [Buffer.alloc(64, 3), Buffer.alloc(64, 4)] as const;
/** Every state that a power cut can leave of `disk`. */
const states = function* (disk: Buffer, writes: readonly DeviceWrite[]): Generator<Buffer> {
  for (const written of cutStates(writes)) yield replayed(disk, written);
};

const rewrapped = async (disk: Buffer, keyVersion: string) => {
  const found = await gatedOf(disk);
  if (found === null) throw new Error('no header');
  const present = await onDevice(readerOf(disk), found);
  const image = withToken(present.image, found.gated.copy, token(keyVersion), salts);
  if (image === null) throw new Error('does not fit');
  return { present, image, writes: planHeaderCommit(present, image) };
};

t.test('a token-only commit leaves the old or the new seed, and a second cut while mending does too', async (t) => {
  const { disk: bare } = await formatted(t, 'header');
  const first = await rewrapped(bare, 'version-1');
  const disk = replayed(bare, first.writes);
  const second = await rewrapped(disk, 'version-2');
  let count = 0;
  let torn = 0;
  const seen = new Map<string, number>();
  for (const state of states(disk, second.writes)) {
    count += 1;
    const found = await gatedOf(state);
    const version = found?.gated.token?.stored?.keyVersion ?? 'lost';
    seen.set(version, (seen.get(version) ?? 0) + 1);
    if (found === null || found.primaryIsCurrent) continue;
    torn += 1;
    if (torn % 5 !== 0) continue;
    const third = await rewrapped(state, 'version-3');
    for (const again of states(state, third.writes)) {
      count += 1;
      const after = (await gatedOf(again))?.gated.token?.stored?.keyVersion ?? 'lost';
      if (after !== version && after !== 'version-3') seen.set('lost', (seen.get('lost') ?? 0) + 1);
    }
  }
  t.comment(`${count} states, ${seen.get('lost') ?? 0} losses`);
  t.notOk(seen.has('lost'), 'no state without a header');
  t.ok((seen.get('version-1') ?? 0) > 0 && (seen.get('version-2') ?? 0) > 0, 'both outcomes occur');
  t.ok(torn > 0, 'states with a stale primary copy occur');
});

t.test('a place that a cut left behind is mended from the other, at no risk', async (t) => {
  const { disk: bare } = await formatted(t, 'header');
  const disk = replayed(bare, (await rewrapped(bare, 'version-1')).writes);
  const { writes } = await rewrapped(disk, 'version-2');
  let mended = 0;
  for (const state of states(disk, writes)) {
    const found = await gatedOf(state);
    if (found === null || (found.primaryIsCurrent && found.secondaryIsCurrent)) continue;
    const version = found.gated.token?.stored?.keyVersion;
    const { image } = await onDevice(readerOf(state), found);
    const current = { primary: found.primaryIsCurrent, secondary: found.secondaryIsCurrent };
    const mending = planHeaderMend(image, current);
    for (const cut of states(state, mending))
      if ((await gatedOf(cut))?.gated.token?.stored?.keyVersion !== version)
        t.fail('a cut while mending lost the header');
    const after = await gatedOf(replayed(state, mending));
    if (!after?.primaryIsCurrent || !after.secondaryIsCurrent) t.fail('a place was not mended');
    mended += 1;
  }
  t.ok(mended > 10);
});

t.test('a header is only written over the one that was proven', async (t) => {
  const { disk } = await formatted(t, 'header');
  const file = join(t.testdir({}), 'device');
  const { present, writes } = await rewrapped(disk, 'version-1');
  writeFileSync(file, disk);
  const device = await disks.open(file, 'write');
  await t.resolves(insistUnchanged(device, present));
  await writeInOrder(device, writes);
  await t.rejects(insistUnchanged(device, present), { code: 'VOLUME_HEADER_CHANGED' });
  await device.close();
});

t.test('a wrong order loses the header: the check above can fail', async (t) => {
  const { disk: bare } = await formatted(t, 'header');
  const disk = replayed(bare, (await rewrapped(bare, 'version-1')).writes);
  const { writes } = await rewrapped(disk, 'version-2');
  const unflushed = writes.map((write) => ({ ...write, flushAfter: false }));
  let lost = 0;
  for (const state of states(disk, unflushed)) if ((await gatedOf(state)) === null) lost += 1;
  const bothTorn = replayed(
    disk,
    writes.map((write) => ({ ...write, bytes: write.bytes.subarray(0, 1024) })),
  );
  if ((await gatedOf(bothTorn)) === null) lost += 1;
  t.ok(lost > 0);
});

t.test('formatting: our mark stays until the whole header is there, and then the volume opens', async (t) => {
  const { disk: made, gated } = await formatted(t, 'header');
  const areas = await readAreas(readerOf(made), gated.keyslots);
  const bare: HeaderImage = { primary: Buffer.alloc(0), secondary: Buffer.alloc(0), areas };
  const image = withToken(bare, gated.copy, token('version-1'), salts);
  if (image === null) throw new Error('does not fit');
  const marked = Buffer.alloc(size);
  renderMarker({ volume: 'data', partitionGuid: '99999999-2222-4333-8444-555555555555' }).copy(marked);
  let complete = 0;
  let unfinished = 0;
  const file = join(t.testdir({}), 'device');
  for (const state of states(marked, planHeaderCommit(null, image))) {
    const found = await gatedOf(state);
    if (found === null) {
      unfinished += 1;
      const whole = parseMarker(state.subarray(0, markerBytes)) !== null;
      if (!whole) t.fail('neither the mark nor a header');
      continue;
    }
    complete += 1;
    if (complete % 40 !== 1) continue;
    writeFileSync(file, state);
    truncateSync(file, deviceSize);
    const opened = await runCommand(luksOpen({ header: file, device: file, name: null, keyslot: '0' }, passphrase));
    t.equal(opened.exit, 0, 'the state with a header opens');
  }
  t.comment(`${complete + unfinished} states, ${unfinished} start over`);
  t.ok(complete > 0 && unfinished > 0);
});

t.test('writing to a real file gives what was planned, and read-back notices a device that lies', async (t) => {
  const { disk } = await formatted(t, 'header');
  const file = join(t.testdir({}), 'device');
  writeFileSync(file, disk);
  const { writes, image } = await rewrapped(disk, 'version-1');
  const device = await disks.open(file, 'write');
  await writeInOrder(device, writes);
  t.ok((await device.read(0, image.primary.length)).equals(image.primary));
  const liar = { ...device, write: async () => {} };
  await t.rejects(writeInOrder(liar, (await rewrapped(disk, 'version-2')).writes), { code: 'FILE_UNWRITABLE' });
  await device.close();
});

t.test('a new keyslot area over one in use is refused', async (t) => {
  const { disk, gated } = await formatted(t, 'header');
  const present = await onDevice(readerOf(disk), { gated, primaryIsCurrent: true, secondaryIsCurrent: true });
  const [area] = present.image.areas;
  if (area === undefined) throw new Error('no area');
  const changed = {
    ...present.image,
    areas: [{ offset: area.offset + 4096, bytes: Buffer.alloc(area.bytes.length, 1) }],
  };
  t.throws(() => planHeaderCommit(present, changed), TypeError);
});
