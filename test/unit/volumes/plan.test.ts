import t from 'tap';
import { Secret } from '../../../agent/secret.ts';
import type { GatedHeader } from '../../../agent/volumes/gate.ts';
import { objection, type Sight } from '../../../agent/volumes/guard.ts';
import type { Observation } from '../../../agent/volumes/observation.ts';
import { destructive, type Plan, planVolume } from '../../../agent/volumes/plan.ts';
import { volumeWith } from '../../fakes/volume.ts';

const identities = { diskGuid: 'd', metadataGuid: 'm', dataGuid: 'p', luksUuid: 'u' };
const kmsEntry = { crn: 'crn', type: 'public', apiKey: Secret.fromText('throw-away') } as const;

const partitions = {
  diskGuid: 'dd',
  metadata: { path: '/dev/vdb1', guid: 'mm', startBytes: 1 << 20, sizeBytes: 99 << 20 },
  data: { path: '/dev/vdb2', guid: 'pp', startBytes: 100 << 20, sizeBytes: 100 << 20 },
};

const observation = (changes: Partial<Observation> = {}): Observation => ({
  volume: 'data',
  disk: { path: '/dev/vdb', sizeBytes: 200 << 20, serial: 'data', readOnly: false, sectorBytes: 512, inUseBy: [] },
  partitioning: 'none',
  partitions: null,
  metadata: null,
  resume: null,
  growsTo: null,
  target: { fact: 'blank', path: '/dev/vdb', sizeBytes: 200 << 20, detail: '' },
  header: null,
  luks1: null,
  seed: { fact: 'none', wrapped: [], mirrorIsCurrent: true },
  ...changes,
});

const luksOnData = (token: GatedHeader['token']): Partial<Observation> => ({
  partitioning: 'two',
  partitions,
  target: { fact: 'luks', path: '/dev/vdb2', sizeBytes: 100 << 20, detail: '' },
  metadata: 'ours',
  header: { gated: { token } as GatedHeader, primaryIsCurrent: true, secondaryIsCurrent: true },
});

const stepsOf = (plan: Plan): string => plan.steps.map((step) => step.do).join(' ');
const same = { seedWasRewrapped: false, opensWithPrevious: false };

t.test('a fresh disk: everything is in place before the header is committed', async (t) => {
  const plan = planVolume(volumeWith(), observation(), same, identities);
  t.equal(stepsOf(plan), 'partition mark-formatting format open make-filesystem commit-header make-metadata mount');
  t.match(plan, { scenario: 'fresh', seeds: 2, partitions: { disk: 'd', metadata: 'm', data: 'p' } });
  t.match(plan.steps[2], { do: 'format', kdf: 'argon2id', scheme: 'two-seed', sectorBytes: 4096 });
});

t.test('the key derivation follows the entropy', async (t) => {
  const plan = planVolume(volumeWith({ kms: [kmsEntry] }), observation(), same, identities);
  t.match(plan.steps[2], { do: 'format', kdf: 'pbkdf2', scheme: 'interim' });
});

t.test('a cut-off table is finished with its own GUIDs', async (t) => {
  const resume = { diskGuid: null, metadataGuid: 'found-m', dataGuid: 'found-p' };
  const plan = planVolume(volumeWith(), observation({ partitioning: 'halfWritten', resume }), same, identities);
  t.match(plan.steps[0], { do: 'partition', diskGuid: 'd', metadataGuid: 'found-m', dataGuid: 'found-p' });
  t.match(plan.steps[1], { do: 'mark-formatting', partitionGuid: 'found-p' });
});

t.test('opening changes nothing but what the proof asks for', async (t) => {
  const stored = { wrapped: 'w', keyVersion: 'v', mac: 'x' };
  const token = { volume: 'data', scheme: 'interim', keyslot: '0', stored } as const;
  const opening = observation({
    ...luksOnData(token),
    seed: { fact: 'present', wrapped: ['w'], mirrorIsCurrent: true },
  });
  const owner = volumeWith({ kms: [kmsEntry] });
  t.equal(stepsOf(planVolume(owner, opening, same, identities)), 'open mount');
  t.equal(
    stepsOf(planVolume(owner, opening, { ...same, seedWasRewrapped: true }, identities)),
    'commit-token open make-metadata mount',
  );
  const stale = { ...opening, seed: { ...opening.seed, mirrorIsCurrent: false } };
  t.equal(stepsOf(planVolume(owner, stale, same, identities)), 'open make-metadata mount');
  const foreign = { ...opening, ...luksOnData(null) };
  t.equal(stepsOf(planVolume(owner, foreign, same, identities)), 'commit-token open mount');
  for (const step of planVolume(owner, opening, same, identities).steps) t.notOk(destructive.has(step.do));
});

t.test('a header with a stale place is mended before the volume is mounted', async (t) => {
  const token = { volume: 'data', scheme: 'two-seed', keyslot: '0', stored: null } as const;
  const torn = { gated: { token } as GatedHeader, primaryIsCurrent: false, secondaryIsCurrent: true };
  const plan = (header: Observation['header']) =>
    stepsOf(planVolume(volumeWith(), observation({ ...luksOnData(token), header }), same, identities));
  t.equal(plan(torn), 'mend-header open mount');
  t.equal(plan({ ...torn, primaryIsCurrent: true, secondaryIsCurrent: false }), 'mend-header open mount');
  t.equal(plan({ ...torn, gated: { token: null } as GatedHeader }), 'open mount', 'made elsewhere: left as it is');
});

t.test('LUKS1 is opened with two seeds, and nothing else becomes of it', async (t) => {
  const luks1 = { profile: 'luks1', token: null } as unknown as Observation['luks1'];
  const target = { fact: 'luks1', path: '/dev/vdb', sizeBytes: 200 << 20, detail: '' } as const;
  const whole = observation({ target, luks1 });
  const onData = observation({ ...luksOnData(null), header: null, luks1, target: { ...target, path: '/dev/vdb2' } });
  for (const found of [whole, onData]) {
    const plan = planVolume(volumeWith(), found, same, identities);
    t.equal(stepsOf(plan), 'open mount');
    t.match(plan, { scenario: 'open-luks1', seeds: 2, kind: 'opens' });
    t.throws(() => planVolume(volumeWith(), found, { ...same, opensWithPrevious: true }, identities), {
      code: 'VOLUME_LUKS1_UNCHANGED',
    });
    t.throws(() => planVolume(volumeWith({ intent: 'create' }), found, same, identities), {
      code: 'VOLUME_INTENT_REFUSED',
    });
  }
  t.equal(
    stepsOf(planVolume(volumeWith(), { ...onData, growsTo: 400 << 20 }, same, identities)),
    'grow-partition open mount',
  );
  const owner = volumeWith({ kms: [kmsEntry] });
  const seed = { fact: 'present', wrapped: ['w'], mirrorIsCurrent: true } as const;
  t.throws(() => planVolume(owner, onData, same, identities), { code: 'VOLUME_LUKS1_WITH_KMS' });
  t.throws(() => planVolume(owner, { ...onData, seed }, same, identities), { code: 'VOLUME_LUKS1_WITH_KMS' });
  t.throws(() => planVolume(volumeWith(), { ...onData, seed }, same, identities), { code: 'VOLUME_LUKS1_WITH_KMS' });
});

t.test('a metadata partition is made when a cut prevented it, and never over something foreign', async (t) => {
  const token = { volume: 'data', scheme: 'two-seed', keyslot: '0', stored: null } as const;
  const seed = { fact: 'none', wrapped: [], mirrorIsCurrent: false } as const;
  const plan = (metadata: Observation['metadata']) =>
    stepsOf(planVolume(volumeWith(), observation({ ...luksOnData(token), seed, metadata }), same, identities));
  t.equal(plan('blank'), 'open make-metadata mount');
  t.equal(plan('scrap'), 'open make-metadata mount');
  t.equal(plan('foreign'), 'open mount');
  const target = { fact: 'blank', path: '/dev/vdb2', sizeBytes: 100 << 20, detail: '' } as const;
  for (const metadata of ['foreign', 'scrap'] as const) {
    const blank = observation({ partitioning: 'two', partitions, target, metadata });
    t.throws(() => planVolume(volumeWith(), blank, same, identities), { code: 'VOLUME_FOREIGN_DATA' });
  }
});

t.test('intent turns formatting or opening into a refusal', async (t) => {
  const open = { ...luksOnData(null) };
  t.throws(() => planVolume(volumeWith({ intent: 'open' }), observation(), same, identities), {
    code: 'VOLUME_INTENT_REFUSED',
    facts: { intent: 'open', scenario: 'fresh' },
  });
  t.throws(() => planVolume(volumeWith({ intent: 'create' }), observation(open), same, identities), {
    code: 'VOLUME_INTENT_REFUSED',
    facts: { intent: 'create', scenario: 'open' },
  });
  t.equal(planVolume(volumeWith({ intent: 'create' }), observation(), same, identities).scenario, 'fresh');
  t.equal(planVolume(volumeWith({ intent: 'open' }), observation(open), same, identities).scenario, 'open');
});

t.test('a passphrase is changed when only a previous seed opens the volume, and not otherwise', async (t) => {
  const rolling = volumeWith({ previousEnvSeed: Secret.fromText('throw-away old') });
  const old = { ...same, opensWithPrevious: true };
  const plan = planVolume(rolling, observation(luksOnData(null)), old, identities);
  t.equal(stepsOf(plan), 'change-passphrase open mount');
  t.match(plan.steps[0], { why: 'roll', kdf: 'argon2id' });
  for (const step of plan.steps) t.notOk(destructive.has(step.do));
  t.equal(stepsOf(planVolume(rolling, observation(luksOnData(null)), same, identities)), 'open mount');
  t.equal(planVolume(rolling, observation(), same, identities).scenario, 'fresh');

  const stored = { wrapped: 'w', keyVersion: 'v', mac: 'x' };
  const token = { volume: 'data', scheme: 'interim', keyslot: '0', stored } as const;
  const seed = { fact: 'present', wrapped: ['w'], mirrorIsCurrent: true } as const;
  const three = observation({ ...luksOnData(token), seed });
  const changed = planVolume({ ...rolling, kms: [kmsEntry] }, three, old, identities);
  t.equal(stepsOf(changed), 'change-passphrase open mount');
  t.match(changed.steps[0], { why: 'roll', kdf: 'pbkdf2' });
  const both = planVolume({ ...rolling, kms: [kmsEntry] }, three, { ...old, seedWasRewrapped: true }, identities);
  t.equal(stepsOf(both), 'change-passphrase open make-metadata mount', 'one commit carries both');
});

t.test('a grown disk: the partition follows before anything else', async (t) => {
  const plan = planVolume(volumeWith(), observation({ ...luksOnData(null), growsTo: 400 << 20 }), same, identities);
  t.equal(stepsOf(plan), 'grow-partition open mount');
  t.match(plan.steps[0], { endBytes: 400 << 20 });
  for (const step of plan.steps) t.notOk(destructive.has(step.do));
  const target = { fact: 'blank', path: '/dev/vdb2', sizeBytes: 100 << 20, detail: '' } as const;
  const blank = observation({ partitioning: 'two', partitions, target, metadata: 'blank', growsTo: 400 << 20 });
  t.match(stepsOf(planVolume(volumeWith(), blank, same, identities)), /^mark-formatting/, 'formatting does not grow');
});

t.test('a third seed joins two in one commit, and the metadata partition follows', async (t) => {
  const plan = planVolume(volumeWith({ kms: [kmsEntry] }), observation(luksOnData(null)), same, identities);
  t.match(plan, { scenario: 'rekey', seeds: 3, kind: 'opens' });
  t.equal(stepsOf(plan), 'change-passphrase open make-metadata mount');
  t.match(plan.steps[0], { why: 'rekey', kdf: 'pbkdf2' });
});

t.test('a disk without room is refused before anything is asked or written', async (t) => {
  const small = observation();
  const disk = { ...small.disk, sizeBytes: 127 << 20 };
  t.throws(() => planVolume(volumeWith(), { ...small, disk }, same, identities), { code: 'VOLUME_DISK_TOO_SMALL' });
  const target = { fact: 'blank', path: '/dev/vdb2', sizeBytes: 23 << 20, detail: '' } as const;
  const data = observation({ partitioning: 'two', partitions, target });
  t.throws(() => planVolume(volumeWith(), data, same, identities), { code: 'VOLUME_DISK_TOO_SMALL' });
  const cut = { ...target, fact: 'formatting', sizeBytes: 27 << 20 } as const;
  const ours = observation({ partitioning: 'two', partitions, target: cut });
  t.equal(
    planVolume(volumeWith(), ours, same, identities).scenario,
    'format',
    'our own cut-off start on the smallest disk',
  );
});

t.test('the digest tells plans apart', async (t) => {
  const first = planVolume(volumeWith(), observation(), same, identities);
  t.equal(planVolume(volumeWith(), observation(), same, identities).digest, first.digest);
  t.not(planVolume(volumeWith({ mount: '/mnt/other' }), observation(), same, identities).digest, first.digest);
});

t.test('the guard objects by what it sees, whatever the table said', async (t) => {
  const formatting = planVolume(volumeWith(), observation(), same, identities);
  const opening = planVolume(volumeWith(), observation(luksOnData(null)), same, identities);
  const clear: Sight = {
    readOnly: false,
    inUseBy: [],
    blank: true,
    markedForThis: false,
    signatures: [],
    sizeBytes: 200 << 20,
    hidden: null,
    opensSafely: true,
    luks1: false,
    growsTo: null,
    serial: 'data',
    metadata: null,
  };
  t.equal(objection(formatting, clear), null);
  t.equal(objection(formatting, { ...clear, blank: false, markedForThis: true, signatures: ['crypto_LUKS'] }), null);
  t.equal(objection(opening, { ...clear, blank: false, signatures: ['crypto_LUKS'] }), null);
  const cases: readonly (readonly [string, Plan, Partial<Sight>])[] = [
    ['data', formatting, { blank: false }],
    ['a signature', formatting, { signatures: ['ext4'] }],
    ['a lost volume', formatting, { hidden: 'a LUKS header at 100 MiB' }],
    ['another disk', formatting, { serial: 'other' }],
    ['another disk when opening', opening, { serial: null }],
    ['foreign metadata', opening, { metadata: 'foreign' }],
    ['cut metadata', formatting, { metadata: 'scrap' }],
    ['in use', formatting, { inUseBy: ['/mnt'] }],
    ['read-only', formatting, { readOnly: true }],
    ['another size', formatting, { sizeBytes: 100 << 20 }],
    ['a header that does not pass', opening, { opensSafely: false }],
    ['room that is not there', { ...opening, steps: [{ do: 'grow-partition', endBytes: 1 }, ...opening.steps] }, {}],
    ['in use when opening', opening, { inUseBy: ['dm-0'] }],
    ['a forged plan', { ...opening, steps: formatting.steps }, {}],
  ];
  for (const [name, plan, seen] of cases) t.type(objection(plan, { ...clear, ...seen }), 'string', name);
});
