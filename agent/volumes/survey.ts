/**
 * What a boot would do with a volume, as facts that can be kept and looked at elsewhere: what was observed, what was
 * proven, and the identities a new volume would get. Planning is a function of them. Pure; holds no secret.
 */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { DataSegment } from './ciphers.ts';
import type { GatedHeader } from './gate.ts';
import type { GatedLuks1 } from './luks1-gate.ts';
import type { Observation, PlannableObservation } from './observation.ts';
import { decide, type NewIdentities, type Plan, type PlannedVolume, type ProvenFacts, planVolume } from './plan.ts';

type KeptSegment = Pick<DataSegment, 'offsetBytes' | 'sectorBytes' | 'cipher' | 'keyBytes'>;

/** An observation without the wrapped seeds and without the bytes of the header. */
export type KeptObservation = Omit<PlannableObservation, 'header' | 'seed'> & {
  readonly luks1: {
    readonly uuid: string;
    readonly keyslots: readonly string[];
    readonly segment: KeptSegment;
  } | null;
  readonly header: {
    readonly gated: {
      readonly uuid: string;
      readonly sequence: string;
      readonly profile: GatedHeader['profile'];
      readonly keyslots: readonly { readonly id: string; readonly kdf: string; readonly ours: boolean }[];
      readonly segment: KeptSegment;
      readonly token: { readonly volume: string; readonly scheme: string; readonly keyVersion: string | null } | null;
    };
    readonly primaryIsCurrent: boolean;
    readonly secondaryIsCurrent: boolean;
  } | null;
  readonly seed: Pick<Observation['seed'], 'fact' | 'mirrorIsCurrent'> & { readonly wrappedSeeds: number };
};

/** The volume's part of a contract without what opens it. */
export interface KeptVolume extends Omit<PlannedVolume, 'kms'> {
  readonly kmsEntries: number;
  /** One of the sections carries a previousSeed. */
  readonly rolls: boolean;
}

export type Finding =
  | { readonly kind: 'proven'; readonly seedWasRewrapped: boolean; readonly opensWithPrevious: boolean }
  /** Neither seeds nor key service were tried. */
  | { readonly kind: 'notAsked' }
  /** Seeds, key service or guard said no. */
  | { readonly kind: 'failed'; readonly id: string; readonly text: string };

export interface Survey {
  readonly volume: KeptVolume;
  readonly observation: KeptObservation;
  readonly finding: Finding;
  readonly identities: NewIdentities;
  /** The volume is open in this guest; planned is what the next boot does. */
  readonly isOpen: boolean;
}

export const keptVolume = (volume: ContractVolume): KeptVolume => {
  const { key, mount, filesystem, intent, unsupportedSeedSource } = volume;
  const rolls = volume.previousEnvSeed !== null || volume.previousWorkloadSeed !== null;
  return { key, mount, filesystem, intent, unsupportedSeedSource, kmsEntries: volume.kms.length, rolls };
};

const keptHeader = (header: NonNullable<Observation['header']>): NonNullable<KeptObservation['header']> => {
  const { copy, profile, keyslots, segment, token } = header.gated;
  const { primaryIsCurrent, secondaryIsCurrent } = header;
  const gated = {
    uuid: copy.uuid,
    sequence: String(copy.sequence),
    profile,
    keyslots: keyslots.map(({ id, kdf, ours }) => ({ id, kdf, ours })),
    segment,
    token: token && { volume: token.volume, scheme: token.scheme, keyVersion: token.stored?.keyVersion ?? null },
  };
  return { gated, primaryIsCurrent, secondaryIsCurrent };
};

const keptLuks1 = ({ copy, keyslots, segment }: GatedLuks1): NonNullable<KeptObservation['luks1']> => ({
  uuid: copy.uuid,
  keyslots: keyslots.map(({ id }) => id),
  segment,
});

export const keptObservation = (observation: Observation): KeptObservation => {
  const { fact, mirrorIsCurrent, wrapped } = observation.seed;
  return {
    ...observation,
    header: observation.header && keptHeader(observation.header),
    luks1: observation.luks1 && keptLuks1(observation.luks1),
    seed: { fact, mirrorIsCurrent, wrappedSeeds: wrapped.length },
  };
};

export type Answer =
  /** One plan, or, where nothing was proven, one for each thing that may turn out. */
  | { readonly kind: 'plans'; readonly plans: readonly { readonly when: string | null; readonly plan: Plan }[] }
  | { readonly kind: 'refused'; readonly id: string; readonly text: string };

const plannedVolume = ({ kmsEntries, rolls: _, ...volume }: KeptVolume): PlannedVolume => ({
  ...volume,
  kms: Array.from({ length: kmsEntries }, () => null),
});

/** Everything that could turn out when the key service and the seeds are asked. */
const branches = ({
  volume,
  observation,
}: Survey): readonly { readonly when: string; readonly proven: ProvenFacts }[] => [
  {
    when: 'seeds and root key are as they were',
    proven: { seedWasRewrapped: false, opensWithPrevious: false },
  },
  {
    when: 'the stored seed has to be wrapped anew',
    proven: { seedWasRewrapped: true, opensWithPrevious: false },
  },
  // LUKS1 is never changed, so no seed of it is rolled.
  ...(volume.rolls && observation.luks1 === null
    ? [
        {
          when: 'only a previous seed opens it',
          proven: { seedWasRewrapped: false, opensWithPrevious: true },
        },
      ]
    : []),
];

const refused = (error: unknown): Answer => {
  if (error instanceof AgentError) return { kind: 'refused', id: error.id, text: error.message };
  throw error;
};

/** The plans of a survey, or why there is none: the table's refusal before anything that was found out later. */
export const answerOf = (survey: Survey): Answer => {
  const { observation, finding, identities } = survey;
  const volume = plannedVolume(survey.volume);
  const plan = (proven: ProvenFacts): Plan => planVolume(volume, observation, proven, identities);
  try {
    const { kind } = decide(volume, observation);
    if (finding.kind === 'failed') return { kind: 'refused', id: finding.id, text: finding.text };
    if (finding.kind === 'proven') return { kind: 'plans', plans: [{ when: null, plan: plan(finding) }] };
    if (kind === 'formats') {
      const nothing = { seedWasRewrapped: false, opensWithPrevious: false };
      return { kind: 'plans', plans: [{ when: null, plan: plan(nothing) }] };
    }
    const all = branches(survey).map(({ when, proven }) => ({ when, plan: plan(proven) }));
    const first = (at: number): number => all.findIndex(({ plan }) => plan.digest === all[at]?.plan.digest);
    const plans = all.filter((_, at) => first(at) === at);
    return { kind: 'plans', plans: plans.length > 1 ? plans : plans.map(({ plan }) => ({ when: null, plan })) };
  } catch (error) {
    return refused(error);
  }
};

/** Why a boot would refuse volumes that are fine one by one, or null: two on one disk, two that are copies of one another. */
export const refusalAmong = (surveys: readonly Survey[]): AgentError | null => {
  const groups = (keyOf: (survey: Survey) => string | undefined) =>
    surveys.flatMap((survey) => {
      const key = keyOf(survey);
      const alike = surveys.filter((other) => key !== undefined && keyOf(other) === key);
      return key === undefined || alike.length < 2
        ? []
        : [{ key, volumes: alike.map(({ volume }) => volume.key).join(', ') }];
    });
  const [shared] = groups(({ observation }) => observation.disk.path);
  if (shared !== undefined) return new AgentError('VOLUME_DISK_SHARED', { volumes: shared.volumes, path: shared.key });
  const [copied] = groups(({ observation: { header, luks1 } }) => (header?.gated ?? luks1)?.uuid);
  return copied === undefined ? null : new AgentError('VOLUME_COPIED', { volumes: copied.volumes, uuid: copied.key });
};
