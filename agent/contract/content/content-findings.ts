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
import type { ContentProblem } from './content-problem.ts';
import type { TrustedImages } from './image-policy.ts';
import type { Member } from './members.ts';
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

/** Findings about the workload's content; `env` gives the deployer's half of the variables. */
export const contentFindings = async (sections: ContentSections, _rules: ContentRules): Promise<readonly Finding[]> => {
  const { workload } = sections;
  if (workload === null || !isMapping(workload.document.value)) return [];
  const root: YamlMapping = workload.document.value;
  const variables = variablesOf(sections);
  const trusted = trustedImages(root);
  return archiveFindings(workload, 'compose', (members) => composeProblems(members, variables, trusted));
};
