/** Surveys: what is kept of an observation, the plans they lead to, and the strict reading of the document. */
import t from 'tap';
import type { ContractVolume } from '../../../agent/contract/types.ts';
import { Secret } from '../../../agent/secret.ts';
import { boxesAfter, boxesNow, drawBoxes, sizeText } from '../../../agent/volumes/drawing.ts';
import type { GatedHeader } from '../../../agent/volumes/gate.ts';
import type { Observation } from '../../../agent/volumes/observation.ts';
import { parseObservations, renderObservations } from '../../../agent/volumes/observation-file.ts';
import { answerOf, keptObservation, keptVolume, refusalAmong, type Survey } from '../../../agent/volumes/survey.ts';
import { volumeWith } from '../../fakes/volume.ts';

const guid = (digit: string): string =>
  `${digit.repeat(8)}-${digit.repeat(4)}-${digit.repeat(4)}-${digit.repeat(4)}-${digit.repeat(12)}`;
const secret = (text: string): Secret => Secret.fromText(text);
const kmsEntry = { crn: 'crn', type: 'public', apiKey: secret('planted-api-key') } as const;
const volume = (changes: Partial<ContractVolume> = {}): ContractVolume =>
  volumeWith({ envSeed: secret('planted-env-seed'), workloadSeed: secret('planted-workload-seed'), ...changes });

const blank: Observation = {
  volume: 'data',
  disk: { path: '/dev/vdb', sizeBytes: 10 * 2 ** 30, serial: 'data', readOnly: false, sectorBytes: 512, inUseBy: [] },
  partitioning: 'none',
  partitions: null,
  metadata: null,
  resume: null,
  growsTo: null,
  target: { fact: 'blank', path: '/dev/vdb', sizeBytes: 10 * 2 ** 30, detail: 'all sampled bytes are zero' },
  header: null,
  luks1: null,
  seed: { fact: 'none', wrapped: [], mirrorIsCurrent: true },
};
const mebibytes = (count: number): number => count * 2 ** 20;
const partitions = {
  diskGuid: guid('d'),
  metadata: { path: '/dev/vdb1', guid: guid('e'), startBytes: mebibytes(1), sizeBytes: mebibytes(99) },
  data: { path: '/dev/vdb2', guid: guid('f'), startBytes: mebibytes(100), sizeBytes: mebibytes(900) },
};
const stored = { wrapped: 'planted-wrapped-seed', keyVersion: 'version-1', mac: '0'.repeat(64) };
const gated = {
  copy: { uuid: guid('1'), sequence: 7n, bytes: Buffer.from('planted-header-bytes'), json: {} },
  profile: 'triseed',
  keyslots: [{ id: '0', areaOffsetBytes: 32768, areaSizeBytes: 258048, kdf: 'pbkdf2', ours: true }],
  segment: { offsetBytes: mebibytes(16), sectorBytes: 4096, cipher: 'aes-xts-plain64', keyBytes: 64 },
  token: { volume: 'data', scheme: 'interim', keyslot: '0', stored },
} as unknown as GatedHeader;
const opened: Observation = {
  ...blank,
  partitioning: 'two',
  partitions,
  metadata: 'ours',
  growsTo: mebibytes(10_239),
  target: { fact: 'luks', path: '/dev/vdb2', sizeBytes: mebibytes(900), detail: 'LUKS2 triseed' },
  header: { gated, primaryIsCurrent: true, secondaryIsCurrent: true },
  seed: { fact: 'present', wrapped: [stored.wrapped], mirrorIsCurrent: true },
};

const luks1: Observation = {
  ...blank,
  target: { ...blank.target, fact: 'luks1', detail: 'LUKS1 aes-xts-plain64' },
  luks1: {
    profile: 'luks1',
    copy: { uuid: guid('8'), bytes: Buffer.from('planted-header-bytes') },
    keyslots: [{ id: '0', area: { offset: 4096, length: 256_000 } }],
    segment: { offsetBytes: mebibytes(2), sectorBytes: 512, cipher: 'aes-xts-plain64', keyBytes: 64 },
    token: null,
  } as unknown as Observation['luks1'],
};
const essiv = {
  ...gated,
  profile: 'cbc-essiv',
  segment: { ...gated.segment, cipher: 'aes-cbc-essiv:sha256', keyBytes: 32 },
};

const identities = { diskGuid: guid('2'), metadataGuid: guid('3'), dataGuid: guid('4'), luksUuid: guid('5') };
const survey = (observation: Observation, of: Partial<ContractVolume> = {}, changes: Partial<Survey> = {}): Survey => ({
  volume: keptVolume(volume(of)),
  observation: keptObservation(observation),
  finding: { kind: 'notAsked' },
  identities,
  isOpen: false,
  ...changes,
});
const three = { kms: [kmsEntry] };
const halfWritten: Observation = {
  ...blank,
  partitioning: 'halfWritten',
  resume: { diskGuid: null, metadataGuid: guid('6'), dataGuid: guid('7') },
};
const samples: Readonly<Record<string, Survey>> = {
  blank: survey(blank),
  open: survey(opened, three),
  proven: survey(opened, three, { finding: { kind: 'proven', seedWasRewrapped: true, opensWithPrevious: false } }),
  failed: survey(opened, three, { finding: { kind: 'failed', id: 'HPL02003E', text: 'the seeds do not open it' } }),
  halfWritten: survey(halfWritten),
  luks1: survey(luks1),
  essiv: survey({ ...opened, header: { ...opened.header, gated: essiv } } as Observation, three),
  elsewhere: survey({
    ...opened,
    header: { ...opened.header, gated: { ...gated, token: null } } as Observation['header'],
  }),
};

t.test('a survey comes back from its document as it was', async (t) => {
  const all = Object.values(samples);
  t.strictSame(parseObservations(renderObservations(all)), all);
  for (const [name, one] of Object.entries(samples)) {
    const [back] = parseObservations(renderObservations([one])) as readonly Survey[];
    t.strictSame(back && answerOf(back), answerOf(one), `${name}: the same answer`);
  }
  t.notMatch(renderObservations(all), /planted/, 'neither seeds nor keys nor wrapped seeds nor header bytes are in it');
});

t.test('every field counts: one that is missing, of another kind or new makes the document unusable', async (t) => {
  const whole = JSON.parse(renderObservations(Object.values(samples)));
  type Node = { [key: string]: Node };
  const places = (node: unknown, path: readonly string[] = []): readonly (readonly string[])[] =>
    node === null || typeof node !== 'object'
      ? []
      : Object.entries(node).flatMap(([name, value]) => [[...path, name], ...places(value, [...path, name])]);
  const changed = (path: readonly string[], change: (parent: Node, name: string) => void): string => {
    const copy = structuredClone(whole);
    const parent = path.slice(0, -1).reduce((node: Node, name) => node[name] as Node, copy);
    change(parent, path.at(-1) ?? '');
    return JSON.stringify(copy);
  };
  let looked = 0;
  for (const path of places(whole)) {
    const where = path.join('.');
    const refused = (what: string, text: string): void => {
      const parsed = parseObservations(text);
      if (!('wrong' in parsed)) t.fail(`${where}: ${what}`);
      looked += 1;
    };
    refused(
      'another kind',
      changed(path, (parent, name) => Object.assign(parent, { [name]: [[]] })),
    );
    if (/^\d+$/.test(path.at(-1) ?? '')) continue;
    refused(
      'missing',
      changed(path, (parent, name) => delete parent[name]),
    );
    refused(
      'one more beside it',
      changed(path, (parent) => Object.assign(parent, { more: 1 })),
    );
  }
  t.ok(looked > 500, `${looked} documents refused`);
});

t.test('documents that contradict themselves', async (t) => {
  const bad: Readonly<Record<string, Survey>> = {
    'of another volume': {
      ...samples.blank,
      observation: { ...samples.blank?.observation, volume: 'other' },
    } as Survey,
    'two partitions without any': survey({ ...opened, partitions: null }, three),
    'luks without a header': survey({ ...opened, header: null }, three),
    'a header on a blank disk': survey({ ...blank, header: opened.header }),
    'LUKS1 without a header': survey({ ...luks1, luks1: null }),
    'a LUKS1 header on a blank disk': survey({ ...blank, luks1: luks1.luks1 }),
    'half-written without GUIDs': survey({ ...halfWritten, resume: null }),
  };
  for (const [name, one] of Object.entries(bad))
    t.match(parseObservations(renderObservations([one])), { wrong: String }, name);
  for (const text of ['', '[]', '{}', '{"kind":"triseed volume observation","version":2,"volumes":[]}'])
    t.match(parseObservations(text), { wrong: String }, text);
});

const scenarios = (one: Survey): readonly string[] => {
  const answer = answerOf(one);
  return answer.kind === 'refused'
    ? [answer.id]
    : answer.plans.map(({ plan }) => `${plan.scenario}: ${plan.steps.map((step) => step.do).join(' ')}`);
};

t.test('what was not asked leads to every plan it may lead to', async (t) => {
  const grown = 'grow-partition ';
  t.strictSame(scenarios(survey(opened, three)), [
    `open-kms: ${grown}open mount`,
    `open-kms: ${grown}commit-token open make-metadata mount`,
  ]);
  t.strictSame(scenarios(survey(opened, { ...three, previousEnvSeed: secret('planted') })), [
    `open-kms: ${grown}open mount`,
    `open-kms: ${grown}commit-token open make-metadata mount`,
    `open-kms: ${grown}change-passphrase open mount`,
  ]);
  t.strictSame(scenarios(survey(luks1)), ['open-luks1: open mount']);
  t.strictSame(scenarios(survey(luks1, { previousEnvSeed: secret('planted') })), ['open-luks1: open mount']);
  t.strictSame(scenarios(samples.proven as Survey), [`open-kms: ${grown}commit-token open make-metadata mount`]);
  t.strictSame(scenarios(survey(blank)).length, 1, 'a blank disk is formatted whatever the key service says');
});

t.test('refusals: the table speaks before seeds and guard', async (t) => {
  const failed = { finding: { kind: 'failed', id: 'HPL02003E', text: 'x' } } as const;
  t.strictSame(scenarios(samples.failed as Survey), ['HPL02003E']);
  t.strictSame(scenarios(survey(opened, {}, failed)), ['TSD07019E']);
  const foreign = { ...blank, target: { ...blank.target, fact: 'foreign', detail: 'signature xfs' } } as const;
  t.strictSame(scenarios(survey(foreign, {}, failed)), ['TSD07013E']);
  t.strictSame(scenarios(survey(blank, { intent: 'open' })), ['TSD07022E']);
  t.strictSame(scenarios(survey(blank, { unsupportedSeedSource: 'grep11' })), ['TSD07010E']);
});

t.test('volumes that are fine one by one', async (t) => {
  const other = { ...opened, disk: { ...opened.disk, path: '/dev/vdc' } };
  const [a, b] = [survey(opened, three), survey(other, { ...three, key: 'other' })];
  t.equal(refusalAmong([a]), null);
  t.equal(refusalAmong([a, survey(blank, { key: 'other' })])?.code, 'VOLUME_DISK_SHARED');
  t.equal(refusalAmong([a, b])?.code, 'VOLUME_COPIED');
  const apart = { ...blank, disk: { ...blank.disk, path: '/dev/vdc' } };
  t.equal(refusalAmong([survey(blank), survey(apart, { key: 'other' })]), null, 'two blank disks are no copies');
  const copy = { ...luks1, disk: apart.disk };
  t.equal(refusalAmong([survey(luks1), survey(copy, { key: 'other' })])?.code, 'VOLUME_COPIED', 'LUKS1 has a UUID too');
});

const draw = (one: Survey): string => {
  const answer = answerOf(one);
  const after = answer.kind === 'plans' ? answer.plans[0]?.plan : undefined;
  const now = drawBoxes('now', boxesNow(one.observation));
  return after === undefined ? now : now + drawBoxes('after', boxesAfter(one.observation, after));
};

t.test('LUKS1 is drawn as what it is, before and after', async (t) => {
  t.equal(draw(survey(luks1)).match(/LUKS1/g)?.length, 2);
  t.notMatch(draw(survey(luks1)), /LUKS2/);
});

t.test('drawings', async (t) => {
  t.equal(
    `\n${draw(survey(blank, three))}`,
    `
  now   ┌──────────────────────────────────────────────────────────────────┐
        │ whole disk, 10 GiB                                               │
        │ blank                                                            │
        └──────────────────────────────────────────────────────────────────┘
  after ┌════════════════════┬═════════════════════════════════════════════┐
        │ ! metadata, 99 MiB │ ! data, 9.9 GiB                             │
        │ keyfile            │ LUKS2, three seeds, ext4                    │
        └════════════════════┴═════════════════════════════════════════════┘
`,
  );
  t.equal(
    `\n${draw(survey(opened, three))}`,
    `
  now   ┌────────────────────┬────────────────────┬────────────────────────┐
        │ metadata, 99 MiB   │ data, 900 MiB      │ free, 9.0 GiB          │
        │ keyfile            │ LUKS2, three seeds │ not used               │
        └────────────────────┴────────────────────┴────────────────────────┘
  after ┌────────────────────┬─────────────────────────────────────────────┐
        │ metadata, 99 MiB   │ data, 9.9 GiB                               │
        │ keyfile            │ LUKS2, three seeds, ext4                    │
        └────────────────────┴─────────────────────────────────────────────┘
`,
  );
  const hostile = {
    ...blank,
    target: { ...blank.target, fact: 'foreign', detail: `\u001b[2J${'x'.repeat(200)}` },
  } as const;
  const lines = draw(survey(hostile)).trimEnd().split('\n');
  t.ok(
    lines.every((line) => line.length === 76),
    'whatever the disk says, the drawing keeps its width',
  );
  t.notMatch(lines.join(''), '\u001b', 'and nothing reaches the terminal that controls it');
});

t.test('sizes', async (t) => {
  const cases = [
    [0, '0 B'],
    [512, '512 B'],
    [1536, '1.5 KiB'],
    [mebibytes(99), '99 MiB'],
    [2 ** 40, '1 TiB'],
  ] as const;
  for (const [bytes, text] of cases) t.equal(sizeText(bytes), text);
});
