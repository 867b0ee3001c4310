/** Old forms as cryptsetup makes them: LUKS1 and aes-cbc-essiv, sound, forged and scratched, from a plain file to a guarded plan. */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { LegacyProfile } from '../../../agent/configuration.ts';
import type { ContractVolume } from '../../../agent/contract/types.ts';
import { runCommand } from '../../../agent/host/exec.ts';
import type { DiskEntry } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import { changePassphrase } from '../../../agent/volumes/change-passphrase.ts';
import { luksOpen } from '../../../agent/volumes/commands.ts';
import { guardPlan } from '../../../agent/volumes/guard.ts';
import { observe } from '../../../agent/volumes/inspect.ts';
import { gateLuks1 } from '../../../agent/volumes/luks1-gate.ts';
import { parseLuks1Header } from '../../../agent/volumes/luks1-header.ts';
import type { Observation } from '../../../agent/volumes/observation.ts';
import { decide, type Plan, planVolume } from '../../../agent/volumes/plan.ts';
import { type Proof, proveOpening } from '../../../agent/volumes/prove.ts';
import { mixOfTwo } from '../../e2e/cases/by-hand.ts';
import { fingerprint, take } from '../../e2e/cases/image.ts';
import { cryptsetup, luksFormat, opensWith } from '../../e2e/cases/luks-file.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { volumeWith } from '../../fakes/volume.ts';

t.setTimeout(180_000);
const work = t.testdir({ headers: {} });
const sizeBytes = 24 << 20;
const seeds = { env: 'seed of the env', workload: 'seed of the workload', third: null };
const passphrase = mixOfTwo(seeds);
const both: readonly LegacyProfile[] = ['luks1', 'cbc-essiv'];
const essiv = ['--cipher=aes-cbc-essiv:sha256'];
const luks1 = ['--type=luks1', '--pbkdf-force-iterations=1000'];
const luks2 = ['--type=luks2', '--pbkdf=pbkdf2', '--pbkdf-force-iterations=1000'];

const volume = (changes: Partial<ContractVolume> = {}): ContractVolume =>
  volumeWith({ envSeed: Secret.fromText(seeds.env), workloadSeed: Secret.fromText(seeds.workload), ...changes });

const made = (name: string, settings: readonly string[]): string => {
  const path = join(work, name.replaceAll(/\W/g, '-'));
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  luksFormat(path, passphrase, settings);
  return path;
};

const entryOf = (path: string): DiskEntry => ({
  name: 'device',
  path,
  sizeBytes,
  serial: 'data',
  readOnly: false,
  sectorBytes: 512,
  partitions: [],
  holders: [],
  mountPoints: [],
});

const place = (path: string, bytes: Buffer): void => {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
};

const look = (path: string, legacy: readonly LegacyProfile[] = both): Promise<Observation> =>
  observe(hostOnFiles(), volume(), entryOf(path), legacy);

const noSeed = async (): Promise<never> => {
  throw new Error('nobody asks for a third seed');
};

/** What a boot does until it would write: the plan, and the header copy that cryptsetup is given. */
const prepare = async (path: string, legacy = both, given = volume()) => {
  const host = { ...hostOnFiles() };
  const all = { ...host, disks: { ...host.disks, list: async () => [entryOf(path)] } };
  const observation = await observe(all, given, entryOf(path), legacy);
  const outcome = decide(given, observation);
  if (outcome.kind === 'formats') throw new Error('would format');
  const proof = await proveOpening(all, given, outcome, observation, work, noSeed);
  const identities = { diskGuid: 'd', metadataGuid: 'm', dataGuid: 'p', luksUuid: randomUUID() };
  const proven = { seedWasRewrapped: false, opensWithPrevious: proof.renewal !== null };
  const plan = await guardPlan(all, planVolume(given, observation, proven, identities), legacy);
  return { host: all, observation, proof, plan, header: proof.headerFile };
};

/** Settings of cryptsetup luksFormat, and what the agent calls it; null for what is never opened. */
const forms: readonly (readonly [string, readonly string[], readonly LegacyProfile[] | null])[] = [
  ['LUKS1 as it comes', luks1, ['luks1']],
  ['LUKS1, 256 bits', [...luks1, '--cipher=aes-xts-plain64', '--key-size=256'], ['luks1']],
  ['LUKS1, 512 bits, SHA-512', [...luks1, '--key-size=512', '--hash=sha512'], ['luks1']],
  ['LUKS1, SHA-1', [...luks1, '--hash=sha1'], ['luks1']],
  ['LUKS1, data elsewhere', [...luks1, '--offset=8192'], ['luks1']],
  ['LUKS1, essiv, 256 bits', [...luks1, ...essiv, '--key-size=256'], both],
  ['LUKS1, essiv, 128 bits, SHA-1', [...luks1, ...essiv, '--key-size=128', '--hash=sha1'], both],
  ['LUKS1, essiv, 192 bits', [...luks1, ...essiv, '--key-size=192'], null],
  ['LUKS1, plain IV', [...luks1, '--cipher=aes-xts-plain'], null],
  ['LUKS1, Whirlpool', [...luks1, '--hash=whirlpool'], null],
  ['LUKS2, essiv, 256 bits', [...luks2, ...essiv, '--key-size=256'], ['cbc-essiv']],
  ['LUKS2, essiv, 128 bits', [...luks2, ...essiv, '--key-size=128', '--sector-size=512'], ['cbc-essiv']],
  [
    'LUKS2, essiv, keyslot with XTS',
    [...luks2, ...essiv, '--key-size=256', '--keyslot-cipher=aes-xts-plain64', '--keyslot-key-size=512'],
    ['cbc-essiv'],
  ],
  ['LUKS2, essiv, 192 bits', [...luks2, ...essiv, '--key-size=192'], null],
  ['LUKS2, plain IV', [...luks2, '--cipher=aes-cbc-plain64', '--key-size=256'], null],
];

const settings: readonly (readonly LegacyProfile[])[] = [[], ['luks1'], ['cbc-essiv'], both];

for (const [name, format, needs] of forms)
  t.test(name, async (t) => {
    const path = made(name, format);
    const before = fingerprint(path);
    for (const legacy of settings) {
      const mayOpen = needs?.every((one) => legacy.includes(one)) ?? false;
      const { target } = await look(path, legacy);
      const fact = name.startsWith('LUKS1') ? 'luks1' : 'luks';
      t.equal(target.fact, mayOpen ? fact : 'luks-damaged', `${target.detail} with ${JSON.stringify(legacy)}`);
      if (!mayOpen) await t.rejects(prepare(path, legacy), { code: 'VOLUME_HEADER_DAMAGED' });
    }
    if (needs === null) return;
    const { plan, proof, header, observation } = await prepare(path);
    proof.wipe();
    t.strictSame(
      plan.steps.map((step) => step.do),
      ['open', 'mount'],
    );
    t.equal(opensWith(header, passphrase), true, 'cryptsetup opens the header copy by itself');
    const { segment } = observation.luks1 ?? observation.header?.gated ?? {};
    const dump = cryptsetup(['luksDump', path]);
    const told = name.startsWith('LUKS1')
      ? Number(/Payload offset:\s+(\d+)/.exec(dump)?.[1]) * 512
      : Number(/offset: (\d+) \[bytes\]/.exec(dump)?.[1]);
    t.equal(segment?.offsetBytes, told, 'data where cryptsetup says');
    t.equal(fingerprint(path), before, 'the device is as it was');
  });

t.test(
  'LUKS1: what cryptsetup is given holds the header and the used keyslots, and nothing else of the device',
  async (t) => {
    const path = made('copy', [...luks1, '--key-size=512']);
    const second = 'the second passphrase';
    cryptsetup(
      ['luksAddKey', '-q', '--pbkdf-force-iterations=1000', '--key-file=-', `--keyfile-size=64`, path, '-'],
      passphrase + second,
    );
    const bytes = take(path, 0, 2 << 20);
    // Noise wherever nothing belongs: behind the header, in the area of an unused keyslot, before the data.
    bytes.fill(0xee, 592, 4096);
    bytes.fill(0xee, (8 + 3 * 504) * 512, (8 + 3 * 504) * 512 + 4096);
    bytes.fill(0xee, bytes.length - 512);
    place(path, bytes);
    const { proof, header } = await prepare(path);
    proof.wipe();
    const copy = readFileSync(header);
    t.equal(copy.length, 4096 * 512);
    const expected = Buffer.alloc(copy.length);
    bytes.copy(expected, 0, 0, 592);
    for (const sector of [8, 8 + 504]) bytes.copy(expected, sector * 512, sector * 512, sector * 512 + 256_000);
    t.ok(copy.equals(expected));
    t.equal(statSync(header).mode & 0o777, 0o600);
    t.equal(opensWith(header, second), true, 'every keyslot in use is there');
  },
);

t.test('LUKS1: present seeds only, in either order, and no root key', async (t) => {
  const path = made('seeds', luks1);
  const before = fingerprint(path);
  const other = (text: string) => Secret.fromText(text);
  const swapped = volume({ envSeed: other(seeds.workload), workloadSeed: other(seeds.env) });
  const { proof } = await prepare(path, both, swapped);
  t.equal(proof.scheme, 'two-seed-swapped');
  t.strictSame([proof.renewal, proof.present, proof.obtained], [null, null, null], 'nothing to write');
  proof.wipe();
  await t.rejects(prepare(path, both, volume({ envSeed: other('wrong') })), { code: 'LUKS_OPEN_FAILED' });
  const rolled = { envSeed: other('a new one'), previousEnvSeed: other(seeds.env) };
  await t.rejects(prepare(path, both, volume(rolled)), { code: 'VOLUME_LUKS1_UNCHANGED' });
  const kept = await prepare(path, both, volume({ previousEnvSeed: other('an older one') }));
  kept.proof.wipe();
  t.equal(kept.plan.scenario, 'open-luks1', 'an older seed beside the present one is no obstacle');
  const kms = [{}] as unknown as ContractVolume['kms'];
  await t.rejects(prepare(path, both, volume({ kms })), { code: 'VOLUME_KMS_NOT_WANTED' });
  t.equal(fingerprint(path), before, 'the device is as it was');
});

t.test('LUKS1: a header exchanged between looks is never the one that cryptsetup gets', async (t) => {
  const path = made('exchanged', luks1);
  const sound = take(path, 0, 4096);
  const forged = Buffer.from(sound);
  forged.fill(0, 8, 72);
  forged.write('cipher_null', 8);
  forged.write('ecb', 40);
  const observation = await look(path);
  place(path, forged);
  const outcome = decide(volume(), observation);
  if (outcome.kind === 'formats') throw new Error('would format');
  const host = hostOnFiles();
  const proof = await proveOpening(host, volume(), outcome, observation, work, noSeed);
  proof.wipe();
  t.ok(take(proof.headerFile, 0, 592).equals(sound.subarray(0, 592)));
  await t.rejects(prepare(path), { code: 'VOLUME_HEADER_DAMAGED' }, 'and a later look sees it');
});

const slotAt = (at: number): number => 208 + at * 48;
/** Forgeries that nothing in the header would show. */
const forgeries: readonly (readonly [string, (bytes: Buffer) => unknown, RegExp])[] = [
  ['null cipher', (b) => b.fill(0, 8, 72) && b.write('cipher_null', 8) && b.write('ecb', 40), /cipher_null-ecb/],
  ['ECB', (b) => b.fill(0, 40, 72) && b.write('ecb', 40), /aes-ecb/],
  ['minutes of derivation', (b) => b.writeUInt32BE(0xffff_ffff, slotAt(0) + 4), /keyslot 0 iterations/],
  ['minutes for the digest', (b) => b.writeUInt32BE(0xffff_ffff, 164), /digest iterations/],
  ['data moved over the keyslots', (b) => b.writeUInt32BE(8, 104), /into the data/],
  ['data at the start', (b) => b.writeUInt32BE(0, 104), /into the data/],
  ['data beyond the end', (b) => b.writeUInt32BE(0xffff_0000, 104), /beyond|reach/],
  ['one keyslot over another', (b) => b.writeUInt32BE(b.readUInt32BE(slotAt(0) + 40), slotAt(1) + 40), /overlaps/],
  ['a keyslot over the header', (b) => b.writeUInt32BE(0, slotAt(0) + 40), /overlaps/],
  ['a keyslot in the data', (b) => b.writeUInt32BE(30_000, slotAt(7) + 40), /into the data/],
  ['one stripe', (b) => b.writeUInt32BE(1, slotAt(0) + 44), /1 stripes/],
  ['no stripes', (b) => b.writeUInt32BE(0, slotAt(0) + 44), /0 stripes/],
  ['a keyslot in no state', (b) => b.writeUInt32BE(7, slotAt(5)), /neither/],
  ['no keyslot in use', (b) => b.writeUInt32BE(0xdead, slotAt(0)), /no keyslot/],
  ['half a key', (b) => b.writeUInt32BE(16, 108), /16 bytes/],
  ['MD5', (b) => b.fill(0, 72, 104) && b.write('md5', 72), /md5/],
  ['a word behind the cipher', (b) => b.write('x', 8 + 10), /printable/],
];

t.test('forged LUKS1 headers are refused, whatever cryptsetup makes of them', async (t) => {
  const path = made('forged', [...luks1, '--key-size=512']);
  const sound = take(path, 0, 4096);
  for (const [name, forge, reason] of forgeries) {
    const bytes = Buffer.from(sound);
    forge(bytes);
    t.notOk(bytes.equals(sound), `${name}: the forgery applies`);
    place(path, bytes);
    const { target, luks1: header } = await look(path);
    t.match([target.fact, target.detail], ['luks-damaged', reason], name);
    t.equal(header, null);
  }
  place(path, sound);
  t.equal((await look(path)).target.fact, 'luks1', 'the sound one still passes');
});

t.test('LUKS1: what passes says the same to cryptsetup', async (t) => {
  const path = made('agreement', luks1);
  const sound = take(path, 0, 4096);
  const places = [104, 108, 164, ...[0, 1, 7].flatMap((at) => [0, 4, 40, 44].map((field) => slotAt(at) + field))];
  const values = [0, 1, 2, 8, 16, 32, 64, 256, 1000, 2000, 4000, 4096, 8192, 0xdead, 0x00ac71f3, 0xffff_ffff];
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...places), fc.constantFrom(...values), async (offset, value) => {
      const bytes = Buffer.from(sound);
      bytes.writeUInt32BE(value, offset);
      const gate = gateLuks1(parseLuks1Header(bytes), sizeBytes, both);
      if (gate.kind === 'refused') return;
      passed += 1;
      place(path, bytes);
      const dump = cryptsetup(['luksDump', path]);
      const { segment, keyslots } = gate.header;
      t.match(dump, new RegExp(`Payload offset:\\s+${segment.offsetBytes / 512}\\n`));
      t.match(dump, new RegExp(`MK bits:\\s+${segment.keyBytes * 8}\\n`));
      t.strictSame(
        [...dump.matchAll(/Key Slot (\d): ENABLED/g)].map(([, id]) => id),
        keyslots.map(({ id }) => id),
      );
    }),
    { numRuns: 150, seed: 20_261_121 },
  );
  t.ok(passed > 10, `${passed} passed`);
});

t.test('LUKS2 with cbc-essiv: a rolled seed keeps data key and cipher, and gets our token', async (t) => {
  const path = made('rolled', [...luks2, ...essiv, '--key-size=256']);
  const rolled = volume({ envSeed: Secret.fromText('a new one'), previousEnvSeed: Secret.fromText(seeds.env) });
  const { host, plan, proof, observation, header } = await prepare(path, ['cbc-essiv'], rolled);
  t.strictSame(
    plan.steps.map((step) => step.do),
    ['change-passphrase', 'open', 'mount'],
  );
  const step = plan.steps.find((one) => one.do === 'change-passphrase');
  const { gated } = observation.header ?? {};
  if (step === undefined || gated === undefined || proof.present === null || proof.renewal === null)
    throw new Error('nothing to change');
  const given = {
    run: work,
    plan: plan as Plan,
    proof: proof as Proof,
    step,
    present: proof.present,
    gated,
    device: path,
  };
  const changed = await changePassphrase(host, given);
  t.match(changed.gated, {
    profile: 'cbc-essiv',
    segment: gated.segment,
    token: { volume: 'data', scheme: 'two-seed' },
  });
  const opened = await runCommand(
    luksOpen({ header, device: path, name: null, keyslot: changed.keyslot }, proof.renewal.passphrase),
  );
  t.equal(opened.exit, 0, opened.stderr);
  t.equal(opensWith(header, passphrase), false, 'the old passphrase does not');
  proof.wipe();
});
