/** The whole reader over one document, and what has to hold whatever the document is. */
import type { KeyObject } from 'node:crypto';
import { checkContract } from '../../../agent/contract/check.ts';
import { checkSectionContent } from '../../../agent/contract/content/check-content.ts';
import { contentFindings } from '../../../agent/contract/content/content-findings.ts';
import { decryptContractAside } from '../../../agent/contract/decrypt.ts';
import { harmlessKeys } from '../../../agent/contract/excerpt.ts';
import { renderFindings } from '../../../agent/contract/finding.ts';
import { findingRules } from '../../../agent/contract/finding-rules.ts';
import type { Finding, Profile } from '../../../agent/contract/types.ts';
import { validateContract } from '../../../agent/contract/validate.ts';
import { verifyContract } from '../../../agent/contract/verify.ts';
import { AgentError, describeChain } from '../../../agent/errors.ts';

const at = new Date('2026-06-01T00:00:00Z');
const profiles: readonly Profile[] = ['hpvs', 'ccrt', 'ccrv', 'ccco'];

/** Refusals that only the guest has: it looks at the signature, and at the clock. */
const guestOnly = new Set([
  'CONTRACT_SIGNATURE_INVALID',
  'CONTRACT_SIGNATURE_INCOMPLETE',
  'CONTRACT_EXPIRED',
  'CONTRACT_NOT_YET_VALID',
]);

/** Errors for authors alone: a guest asks the disks themselves. */
const authorOnly = new Set(['VOLUME_DISK_REPEATED']);

/** Seeds and API keys of the fixtures. */
const secret = /_phrase_|not_a_real_api_key/;
/** Where mutation has put one under a key whose values are shown. */
const harmless = new RegExp(`(?:^|[\\s{,"'?])(?:${[...harmlessKeys].join('|')})["']? *:`);

const printsSecret = (text: string): boolean =>
  text.split('\n').some((line) => secret.test(line) && !harmless.test(line));

export interface Verdict {
  /** What must not be; empty when all is well. */
  readonly complaints: readonly string[];
  readonly codes: readonly string[];
  /** The guest would start from it. */
  readonly accepted: boolean;
  /**
   * Milliseconds for the slower of the guest's and the author's answer: this thread's time on a processor, which is what
   * a clock would show if nobody else used the machine.
   */
  readonly slowestMs: number;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these must not reach a terminal
const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/u;

const aboutFinding = (finding: Finding, lines: number): readonly string[] => {
  const { code, id, line, column, message, hint, path, excerpt } = finding;
  const wrong: string[] = [];
  if (findingRules[code as keyof typeof findingRules] !== id) wrong.push(`${code} has the id ${id}`);
  if (line < 1 || line > lines || column < 1) wrong.push(`${code} is at ${line}:${column} of ${lines} lines`);
  if (message === '' || hint === '') wrong.push(`${code} says nothing`);
  if (control.test(`${message}${hint}${path}${excerpt ?? ''}`)) wrong.push(`${code} prints a control character`);
  return wrong;
};

/** How the guest refuses it, or null when it goes on. */
const guest = async (
  bytes: Buffer,
  profile: Profile,
  key: KeyObject,
): Promise<{ code: string; said: string } | null> => {
  try {
    const opened = await decryptContractAside({ kind: 'sealed', bytes, source: 'fuzz', localHostname: null }, key);
    validateContract(verifyContract(opened, { trustedSigners: [], at }), { profile, minimumSerial: 0 });
    return null;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { code: error.code, said: describeChain(error) };
  }
};

const threadMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

export const judge = async (bytes: Buffer, index: number, key: KeyObject): Promise<Verdict> => {
  const profile = profiles[index % profiles.length] ?? 'hpvs';
  const rules = { profile, minimumSerial: 0, key, at };
  const complaints: string[] = [];
  const start = threadMs();
  const outcome = await guest(bytes, profile, key);
  const between = threadMs();
  const { findings, sections } = checkContract(bytes, rules);
  const all = [...findings, ...(await contentFindings(sections, rules))];
  const slowestMs = Math.max(between - start, threadMs() - between);
  if (index % 8 === 0) all.push(...(await checkSectionContent(bytes, 'workload', rules)));
  if (index % 8 === 4) all.push(...(await checkSectionContent(bytes, 'env', rules)));
  const lines = bytes.toString('latin1').split('\n').length;
  for (const finding of all) complaints.push(...aboutFinding(finding, lines));
  if (printsSecret(`${renderFindings(all, 'fuzz')}\n${outcome?.said ?? ''}`)) complaints.push('a secret is printed');
  const refused = findings.some(({ severity, code }) => severity === 'error' && !authorOnly.has(code));
  if (outcome === null && refused) complaints.push('the guest accepts what the author is refused');
  if (outcome !== null && !guestOnly.has(outcome.code) && !refused) {
    complaints.push(`the guest refuses (${outcome.code}) what the author is told is valid`);
  }
  return { complaints, codes: all.map(({ code }) => code), accepted: outcome === null, slowestMs };
};
