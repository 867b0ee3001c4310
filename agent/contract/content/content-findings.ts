/**
 * What the workload holds, as far as its author can be told: archives, images, pods, templates, signers. For authors
 * only: the guest does not load this folder to open a volume.
 */
import { finding, type ParsedGround } from '../finding.ts';
import { isMapping, type YamlMapping, type YamlPath, type YamlValue } from '../strict-yaml.ts';
import type { Finding, Profile } from '../types.ts';
import { mappingAt } from '../volume-rules.ts';
import { readArchive } from './archive-read.ts';
import { composeProblems } from './compose-file.ts';
import { type ContentProblem, firstOf } from './content-problem.ts';
import { contentTrustKeyProblems } from './content-trust-key.ts';
import type { TrustedImages } from './image-policy.ts';
import type { Member } from './members.ts';
import { openpgpKeyProblems } from './openpgp-key.ts';
import { playArchiveProblems } from './play-archive.ts';
import { type PodContext, resourceProblems, templatedProblems } from './pod-content.ts';
import type { Variables } from './variables.ts';

export interface ContentSections {
  readonly workload: ParsedGround | null;
  readonly env: ParsedGround | null;
}

export interface ContentRules {
  readonly profile: Profile;
  /** The time that dates of keys are compared with. */
  readonly at: Date;
}

/** Schema and placeholder rules have their own findings for values that are no archive at all. */
const looksLikeArchive = (value: YamlValue | undefined): value is string =>
  typeof value === 'string' && /^[-A-Za-z0-9+/]{3,}={0,3}$/.test(value) && !/^REPLACE[_+]/.test(value);

/** The variables the workload sees: its own section wins. null while a section is closed. */
const variablesOf = ({ workload, env }: ContentSections): Variables => {
  if (workload === null || env === null) return null;
  const entries = [env, workload].flatMap(({ document }) => Object.entries(mappingAt(document.value, 'env')));
  return new Map(entries.flatMap(([name, value]) => (typeof value === 'string' ? [[name, value] as const] : [])));
};

const trustedImages = (workload: YamlValue): TrustedImages => ({
  dct: Object.keys(mappingAt(workload, 'images', 'dct')),
  rhs: Object.keys(mappingAt(workload, 'images', 'rhs')),
});

const at = (ground: ParsedGround, path: YamlPath, problems: readonly ContentProblem[]): readonly Finding[] =>
  problems.map(({ code, message, hint }) => finding(code, ground, path, { message, hint }));

const archiveFindings = (
  ground: ParsedGround,
  kind: 'compose' | 'play',
  look: (members: readonly Member[]) => readonly ContentProblem[],
): readonly Finding[] => {
  const { archive } = mappingAt(ground.document.value, kind);
  if (!looksLikeArchive(archive)) return [];
  const read = readArchive(archive);
  return at(ground, [kind, 'archive'], read.kind === 'read' ? look(read.value) : read.problems);
};

const itemsOf = (value: YamlValue | undefined): readonly YamlValue[] => (Array.isArray(value) ? value : []);

/** Descriptors in the contract itself: `resources` as they stand, `templates` with their expressions. */
const descriptorFindings = (workload: ParsedGround, context: PodContext): readonly Finding[] => {
  const play = mappingAt(workload.document.value, 'play');
  const look = (key: 'resources' | 'templates', problemsOf: typeof resourceProblems): readonly Finding[] =>
    firstOf(
      itemsOf(play[key]).flatMap((item, index) =>
        problemsOf(item, context).map((problem) => ({ ...problem, path: ['play', key, index, ...problem.path] })),
      ),
    ).map(({ code, path, at: side, message, hint }) => finding(code, workload, path, { message, hint }, side));
  return [...look('resources', resourceProblems), ...look('templates', templatedProblems)];
};

const emptyPlay = (workload: ParsedGround): readonly Finding[] => {
  const root = workload.document.value;
  const play = mappingAt(root, 'play');
  const isGiven = isMapping(root) && isMapping(root.play);
  if (!isGiven || 'archive' in play || itemsOf(play.resources).length + itemsOf(play.templates).length > 0) return [];
  const detail = { message: 'play is empty, so nothing is started', hint: 'add resources, templates or an archive' };
  return [finding('PLAY_EMPTY', workload, ['play'], detail, 'key')];
};

/** A text that is a key at least by its form; the schema speaks about others. */
const looksLikeKey = (value: YamlValue | undefined): value is string =>
  typeof value === 'string' && value.length >= 4 && !/^REPLACE[_+]/.test(value);

const signerFindings = async (workload: ParsedGround, signedAt: Date): Promise<readonly Finding[]> => {
  const root = workload.document.value;
  const found: Finding[] = [];
  for (const kind of ['dct', 'rhs'] as const) {
    for (const [image, entry] of Object.entries(mappingAt(root, 'images', kind)).slice(0, maximumSigners)) {
      const { publicKey } = mappingAt(entry);
      if (!looksLikeKey(publicKey)) continue;
      const problems =
        kind === 'dct' ? contentTrustKeyProblems(publicKey, signedAt) : await openpgpKeyProblems(publicKey, signedAt);
      found.push(...at(workload, ['images', kind, image, 'publicKey'], problems));
    }
  }
  return found;
};

/** Each costs some milliseconds. */
const maximumSigners = 50;

/**
 * Findings about what the workload holds; `env` gives the deployer's half of the variables. Nothing is thrown for what
 * the sections hold.
 */
export const contentFindings = async (sections: ContentSections, rules: ContentRules): Promise<readonly Finding[]> => {
  const { workload } = sections;
  if (workload === null || !isMapping(workload.document.value)) return [];
  const root: YamlMapping = workload.document.value;
  const context = { variables: variablesOf(sections), trusted: trustedImages(root) };
  const { resources, templates } = mappingAt(root, 'play');
  const isAlone = itemsOf(resources).length + itemsOf(templates).length === 0;
  const found = [
    ...archiveFindings(workload, 'compose', (members) => composeProblems(members, context.variables, context.trusted)),
    ...archiveFindings(workload, 'play', (members) => playArchiveProblems(members, rules.profile, context, isAlone)),
    ...descriptorFindings(workload, context),
    ...emptyPlay(workload),
  ];
  return [...firstOf(found), ...(await signerFindings(workload, rules.at))];
};
