/** Content findings of a workload section, as `triseed contract validate` gets them. */
import { checkSectionContent } from '../../../../agent/contract/content/check-content.ts';
import { contentFindings } from '../../../../agent/contract/content/content-findings.ts';
import { parseGround } from '../../../../agent/contract/parse-ground.ts';
import type { Finding, Profile } from '../../../../agent/contract/types.ts';
import { archiveOf } from './tar-blocks.ts';

export const at = new Date('2026-06-01T00:00:00Z');
export const digest = `@sha256:${'0'.repeat(64)}`;

const ground = (text: string, section: 'workload' | 'env') => {
  const read = parseGround(text, section);
  if (read.kind === 'refused') throw new Error(`${section}: ${read.findings[0]?.message}`);
  return read.value;
};

/** `env` null: the deployer's section is closed. */
export const contentOf = (
  workload: string,
  env: Readonly<Record<string, string>> | null = {},
  profile: Profile = 'hpvs',
): Promise<readonly Finding[]> => {
  const sections = {
    workload: ground(`type: workload\n${workload}`, 'workload'),
    env: env === null ? null : ground(JSON.stringify({ type: 'env', env }), 'env'),
  };
  return contentFindings(sections, { profile, at });
};

/** Findings as `CODE message`. */
export const told = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ code, message }) => `${code} ${message}`);

export const composeOf = (
  files: Readonly<Record<string, string>>,
  more = '',
  env: Readonly<Record<string, string>> | null = {},
): Promise<readonly Finding[]> => contentOf(`compose:\n  archive: ${archiveOf(files)}\n${more}`, env);

export const sectionOf = (text: string): Promise<readonly Finding[]> =>
  checkSectionContent(Buffer.from(text), 'workload', { profile: 'hpvs', minimumSerial: 0, at });
