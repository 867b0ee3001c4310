/**
 * Every combination of what a disk can be, what the contract says and what was proven has one plan or one refusal, and whatever the
 * plan is, it keeps these promises.
 */
import t from 'tap';
import { bootsOf } from '../../../agent/contract/inspect-boots.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { GatedHeader } from '../../../agent/volumes/gate.ts';
import {
  type Observation,
  partitionings,
  seedFacts,
  type TargetFact,
  targetFacts,
} from '../../../agent/volumes/observation.ts';
import {
  destructive,
  type Plan,
  type PlannedVolume,
  type ProvenFacts,
  planVolume,
} from '../../../agent/volumes/plan.ts';
import { kmsFacts, seedSources, table } from '../../../agent/volumes/scenarios.ts';

const both = [false, true] as const;
const identities = { diskGuid: 'd', metadataGuid: 'm', dataGuid: 'p', luksUuid: 'u' };
const entries = { none: [], one: ['crn'], several: ['crn', 'crn'] } as const;
const mebibyte = 1 << 20;
const bytes = { disk: 200 * mebibyte, data: 100 * mebibyte, grown: 400 * mebibyte };
const partitions = {
  diskGuid: 'dd',
  metadata: { path: '/dev/vdb1', guid: 'mm', startBytes: mebibyte, sizeBytes: 99 * mebibyte },
  data: { path: '/dev/vdb2', guid: 'pp', startBytes: 100 * mebibyte, sizeBytes: bytes.data },
};
const stored = { wrapped: 'w', keyVersion: 'v', mac: 'x' };

interface Case {
  readonly volume: PlannedVolume;
  readonly observation: Observation;
  readonly proven: ProvenFacts;
  readonly target: TargetFact;
  readonly hasToken: boolean;
}

const headerOf = (hasToken: boolean, kms: boolean, isWhole: boolean): Observation['header'] => {
  const token = { volume: 'data', scheme: 'interim', keyslot: '0', stored: kms ? stored : null };
  const gated = { token: hasToken ? token : null } as GatedHeader;
  return { gated, primaryIsCurrent: true, secondaryIsCurrent: isWhole };
};

const everyCase = function* (): Generator<Case> {
  for (const seedSource of seedSources)
    for (const partitioning of partitionings)
      for (const seed of seedFacts)
        for (const kms of kmsFacts)
          for (const target of targetFacts)
            for (const hasToken of target === 'luks' ? both : [false])
              for (const isWhole of target === 'luks' ? both : [true])
                for (const grows of both)
                  for (const seedWasRewrapped of both)
                    for (const opensWithPrevious of both) {
                      const two = partitioning === 'two';
                      const path = two ? '/dev/vdb2' : '/dev/vdb';
                      yield {
                        target,
                        hasToken,
                        proven: { seedWasRewrapped, opensWithPrevious },
                        volume: {
                          key: 'data',
                          mount: '/mnt/data',
                          filesystem: 'ext4',
                          intent: 'auto',
                          kms: entries[kms],
                          unsupportedSeedSource: seedSource === 'other' ? 'grep11' : null,
                        },
                        observation: {
                          volume: 'data',
                          disk: {
                            path: '/dev/vdb',
                            sizeBytes: bytes.disk,
                            serial: 'data',
                            readOnly: false,
                            sectorBytes: 512,
                            inUseBy: [],
                          },
                          partitioning,
                          partitions: two ? partitions : null,
                          metadata: two ? 'ours' : null,
                          resume: null,
                          growsTo: grows ? bytes.grown : null,
                          target: { fact: target, path, sizeBytes: two ? bytes.data : bytes.disk, detail: '' },
                          ...{ luks1: null },
                          header: target === 'luks' ? headerOf(hasToken, kms !== 'none', isWhole) : null,
                          seed: { fact: seed, wrapped: seed === 'present' ? ['w'] : [], mirrorIsCurrent: true },
                        },
                      };
                    }
};

/** The plan, or the name of the refusal. Anything else that is thrown fails the test. */
const planOrRefusal = ({ volume, observation, proven }: Case): Plan | string => {
  try {
    return planVolume(volume, observation, proven, identities);
  } catch (error) {
    if (error instanceof AgentError) return error.code;
    throw error;
  }
};

/** What every plan promises, each as: what it is called, and whether this plan keeps it. */
const promises: Readonly<Record<string, (plan: Plan, given: Case) => boolean>> = {
  'nothing is destroyed unless the target is empty or our own cut-off start': ({ steps }, { target }) =>
    !steps.some((step) => destructive.has(step.do)) || target === 'blank' || target === 'formatting',
  'only a header that is there is opened': ({ kind }, { target }) => (kind === 'opens') === target.startsWith('luks'),
  'three seeds exactly for a contract with kms entries': ({ seeds }, { volume }) =>
    (seeds === 3) === volume.kms.length > 0,
  'it ends with a mount of a volume that was opened once': ({ steps }) =>
    steps.at(-1)?.do === 'mount' && steps.filter((step) => step.do === 'open').length === 1,
  'a table is made exactly where there is none': ({ steps }, { observation }) =>
    steps.some((step) => step.do === 'partition') === (steps.length > 5 && observation.partitions === null),
  'the mark is written first, the header last': ({ kind, steps }) => {
    const names = steps.map((step) => step.do);
    if (kind === 'opens') return !names.includes('commit-header');
    const [mark, filesystem, commit] = (['mark-formatting', 'make-filesystem', 'commit-header'] as const).map((name) =>
      names.indexOf(name),
    );
    return mark !== undefined && mark >= 0 && names.indexOf('format') > mark && Number(commit) > Number(filesystem);
  },
  'a passphrase changes exactly when a previous seed opens, or a third seed joins': (plan, { proven }) =>
    plan.steps.some((step) => step.do === 'change-passphrase') ===
    (plan.kind === 'opens' && (proven.opensWithPrevious || plan.scenario === 'rekey')),
  'a seed that was wrapped anew is stored, in one commit': ({ kind, seeds, steps }, { proven, hasToken }) => {
    const commits = steps.filter((step) => step.do === 'commit-token' || step.do === 'change-passphrase').length;
    const needed = kind === 'opens' && seeds === 3 && (proven.seedWasRewrapped || !hasToken);
    return needed ? commits === 1 : commits <= 1;
  },
  'the mirror follows a seed that was wrapped anew': ({ kind, seeds, partitions, steps }, { proven }) =>
    !(kind === 'opens' && seeds === 3 && proven.seedWasRewrapped && partitions !== null) ||
    steps.some((step) => step.do === 'make-metadata'),
  'a partition grows before everything else, and a half-written header is mended before it is opened': (
    { kind, steps },
    { observation, hasToken },
  ) => {
    const names = steps.map((step) => step.do);
    const grows = kind === 'opens' && observation.growsTo !== null;
    const mends = kind === 'opens' && hasToken && observation.header?.secondaryIsCurrent === false;
    const mendedAt = names.indexOf('mend-header');
    return (
      names.indexOf('grow-partition') === (grows ? 0 : -1) &&
      mendedAt === (mends ? Number(grows) : -1) &&
      mendedAt < names.indexOf('open')
    );
  },
};

const all = [...everyCase()].map((given) => ({ given, found: planOrRefusal(given) }));

t.test('every combination has one plan or one refusal', async (t) => {
  const facts = [seedSources, partitionings, seedFacts, kmsFacts].reduce((product, list) => product * list.length, 1);
  const headers = targetFacts.length - 1 + 2 * 2;
  t.equal(all.length, facts * headers * 2 * 2 * 2);
  const reached = new Set(all.flatMap(({ found }) => (typeof found === 'string' ? [] : [found.scenario])));
  const scenarios = table.flatMap(({ outcome }) => (outcome.kind === 'refuses' ? [] : [outcome.scenario]));
  t.strictSame([...reached].sort(), [...new Set<string>(scenarios)].sort(), 'every scenario is reached');
});

t.test('what was proven changes steps or refuses, and never what becomes of the disk', async (t) => {
  const plans = new Map<string, Set<string>>();
  for (const { given, found } of all) {
    const { volume, observation, target } = given;
    const { partitioning, seed } = observation;
    const facts = [volume.unsupportedSeedSource, partitioning, seed.fact, volume.kms.length, target].join();
    const known = plans.get(facts) ?? new Set();
    plans.set(facts, typeof found === 'string' ? known : known.add(`${found.kind}: ${found.scenario}`));
  }
  t.strictSame(
    [...plans].filter(([, found]) => found.size > 1).map(([facts, found]) => `${facts}: ${[...found].join(', ')}`),
    [],
  );
});

for (const [name, keeps] of Object.entries(promises)) {
  t.test(name, async (t) => {
    const plans = all.flatMap(({ given, found }) => (typeof found === 'string' ? [] : [{ given, plan: found }]));
    const broken = plans.filter(({ given, plan }) => !keeps(plan, given));
    t.equal(broken.length, 0, `${plans.length} plans`);
    for (const { given, plan } of broken.slice(0, 3)) t.comment(JSON.stringify({ plan, ...given }));
  });
}

t.test('a person who asks what a boot would do is told which state of the disk was refused', async (t) => {
  const subject = { intent: 'auto', rolls: false, filesystem: 'ext4', mount: '/mnt/data' } as const;
  const told = [0, 1, 2].flatMap((kmsEntries) =>
    both.flatMap((hasOtherSeedSource) => bootsOf({ ...subject, kmsEntries, hasOtherSeedSource })),
  );
  for (const { disk, scenario } of told) t.match(scenario, /^\w+/, `${disk}: ${scenario}`);
});
