/**
 * The commit of a new passphrase, cut everywhere: every prefix of its writes, every subset between two flushes, torn between sectors
 * too. Stock cryptsetup, which knows nothing of us, opens each state with exactly one of the two passphrases.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { runCommand } from '../../../agent/host/exec.ts';
import { Secret } from '../../../agent/secret.ts';
import { changePassphrase } from '../../../agent/volumes/change-passphrase.ts';
import { luksAddKey, luksFormat } from '../../../agent/volumes/commands.ts';
import type { DeviceWrite } from '../../../agent/volumes/device-bytes.ts';
import { type GatedHeader, gateHeader } from '../../../agent/volumes/gate.ts';
import { type HeaderOnDevice, planHeaderCommit, planHeaderMend } from '../../../agent/volumes/header-commit.ts';
import { onDevice } from '../../../agent/volumes/header-file.ts';
import { readLuksHeader } from '../../../agent/volumes/luks-header.ts';
import type { Plan, Step } from '../../../agent/volumes/plan.ts';
import type { Proof } from '../../../agent/volumes/prove.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { cutStates, replayed } from '../../fakes/power-cut-states.ts';
import { readerOf } from '../../fakes/sample-device.ts';

t.setTimeout(180_000);
const secret = (text: string): Secret => Secret.fromText(text.padEnd(64, '.'));
const [old, fresh, spare, third] = ['old', 'new', 'spare', 'third'].map((name) => secret(`throw-away ${name}`)) as [
  Secret,
  Secret,
  Secret,
  Secret,
];
/** Room for both copies and four keyslot areas: more than a commit writes. */
const headerBytes = 32_768 + 4 * 258_048;
const deviceBytes = 32 << 20;
const plan = { volume: 'data', partitions: { disk: 'd', metadata: 'm', data: 'p' } } as Plan;

interface Present {
  readonly gated: GatedHeader;
  readonly onDevice: HeaderOnDevice;
}

const presentOf = async (disk: Buffer): Promise<Present> => {
  const found = await readLuksHeader(readerOf(disk), disk.length);
  if (found.kind !== 'luks2') throw new Error(`the header is ${found.kind}`);
  const gate = gateHeader(found.current);
  if (gate.kind === 'refused') throw new Error(gate.reason);
  const primaryIsCurrent = found.primary === 'current';
  const secondaryIsCurrent = found.secondary === 'current';
  const { header: gated } = gate;
  return { gated, onDevice: await onDevice(readerOf(disk), { gated, primaryIsCurrent, secondaryIsCurrent }) };
};

interface Change {
  readonly name: string;
  /** Keyslots before. */
  readonly slots: 1 | 2;
  readonly step: Extract<Step, { do: 'change-passphrase' }>;
  readonly seed3: Secret | null;
  /** Of how many states cryptsetup opens one: argon2id is slow on purpose. */
  readonly oneOf: number;
}

const changes: readonly Change[] = [
  {
    name: 'a third seed joins two',
    slots: 1,
    step: { do: 'change-passphrase', kdf: 'pbkdf2', why: 'rekey' },
    seed3: third,
    oneOf: 1,
  },
  {
    name: 'a seed is rolled under a root key, and a second keyslot goes',
    slots: 2,
    step: { do: 'change-passphrase', kdf: 'pbkdf2', why: 'roll' },
    seed3: third,
    oneOf: 3,
  },
  {
    name: 'a seed of two is rolled',
    slots: 1,
    step: { do: 'change-passphrase', kdf: 'argon2id', why: 'roll' },
    seed3: null,
    oneOf: 9,
  },
];

const proofOf = ({ seed3 }: Change, headerFile: string, passphrase: Secret, present: HeaderOnDevice): Proof => ({
  headerFile,
  passphrase,
  scheme: 'two-seed',
  renewal: { passphrase: fresh, scheme: seed3 === null ? 'two-seed' : 'interim' },
  keyslot: null,
  obtained: seed3 && { seed3, wrapped: 'd3JhcHBlZA==', keyVersion: 'v', rewrapped: false, entryIndex: 0, askedAtMs: 0 },
  present,
  wipe: () => {},
});

/** A header area as cryptsetup makes it, in memory, and a function that answers the writes of the change made to a disk. */
const prepared = async (t: Test, change: Change) => {
  const run = t.testdir({});
  const device = `${run}/device`;
  const header = `${run}/header`;
  writeFileSync(device, '');
  truncateSync(device, deviceBytes);
  const luksUuid = '11111111-2222-4333-8444-555555555555';
  await runCommand(luksFormat({ header, device, luksUuid, sectorBytes: 4096, kdf: 'pbkdf2' }, old));
  if (change.slots === 2)
    await runCommand(luksAddKey({ header, device, kdf: 'pbkdf2' }, Secret.join([old, spare]), 64));
  const host = hostOnFiles();
  const file = await host.disks.open(header, 'read');
  const disk = await file.read(0, headerBytes);
  await file.close();
  const writesOn = async (state: Buffer): Promise<readonly DeviceWrite[]> => {
    const { gated, onDevice: present } = await presentOf(state);
    const proof = proofOf(change, header, old, present);
    const changed = await changePassphrase(host, { plan, proof, step: change.step, present, gated, device });
    return planHeaderCommit(present, changed.image);
  };
  const opens = async (state: Buffer, passphrase: Secret): Promise<boolean> => {
    writeFileSync(device, state);
    truncateSync(device, deviceBytes);
    const args = ['open', '--test-passphrase', '--key-file=-', `--keyfile-size=${passphrase.length}`, device];
    return (
      (await runCommand({ program: '/usr/sbin/cryptsetup', args, stdin: passphrase, timeoutMs: 60_000 })).exit === 0
    );
  };
  /** Which passphrases open a state. */
  const openedBy = async (state: Buffer): Promise<string> =>
    [(await opens(state, old)) ? 'old' : [], (await opens(state, fresh)) ? 'new' : []].flat().join(' and ');
  return { disk, writesOn, openedBy };
};

for (const change of changes) {
  t.test(change.name, async (t) => {
    const { disk, writesOn, openedBy } = await prepared(t, change);
    t.equal(await openedBy(disk), 'old');
    const writes = await writesOn(disk);
    const seen = new Map<string, number>();
    let count = 0;
    for (const written of cutStates(writes)) {
      count += 1;
      const state = replayed(disk, written);
      const { gated } = await presentOf(state);
      const tells = gated.token === null ? 'old' : 'new';
      if (count % change.oneOf === 0) {
        const opened = await openedBy(state);
        seen.set(opened, (seen.get(opened) ?? 0) + 1);
        if (opened !== tells) t.fail(`state ${count} opens with ${opened || 'nothing'}, our record says ${tells}`);
      }
    }
    const after = replayed(disk, writes);
    t.equal(await openedBy(after), 'new');
    for (const { areaOffsetBytes, areaSizeBytes } of (await presentOf(disk)).gated.keyslots)
      t.notOk(
        after.subarray(areaOffsetBytes, areaOffsetBytes + areaSizeBytes).some((byte) => byte !== 0),
        'wiped',
      );
    t.strictSame([...seen.keys()].sort(), ['new', 'old'], 'both outcomes occur, and no third');
    t.comment(
      `${count} states, ${[...seen].map(([name, times]) => `${times} open with ${name}`).join(', ')}; losses: 0`,
    );
  });
}

t.test('cut, and cut again while the next boot changes or mends', async (t) => {
  const change = changes[0] as Change;
  const { disk, writesOn, openedBy } = await prepared(t, change);
  let [count, at] = [0, 0];
  for (const written of cutStates(await writesOn(disk), 2)) {
    const state = replayed(disk, written);
    const { gated, onDevice: present } = await presentOf(state);
    at += 1;
    if (gated.token === null && at % 3 !== 1) continue;
    const { image, primaryIsCurrent: primary, secondaryIsCurrent: secondary } = present;
    const next = gated.token === null ? await writesOn(state) : planHeaderMend(image, { primary, secondary });
    for (const again of cutStates(next, 2)) {
      count += 1;
      const opened = await openedBy(replayed(state, again));
      const allowed = gated.token === null ? ['old', 'new'] : ['new'];
      if (!allowed.includes(opened))
        t.fail(`cut ${at}, then ${again.length} writes: opens with ${opened || 'nothing'}`);
    }
    t.equal(await openedBy(replayed(state, next)), 'new');
  }
  t.comment(`${count} states after two cuts`);
  t.ok(count > 50);
});

t.test('without its flushes the commit loses the volume: the check above can fail', async (t) => {
  const { disk, writesOn, openedBy } = await prepared(t, changes[0] as Change);
  const writes = await writesOn(disk);
  const withoutArea = writes.filter(({ offset }) => offset < 32_768);
  t.equal(await openedBy(replayed(disk, withoutArea)), '', 'a header whose keyslot area never came');
});
