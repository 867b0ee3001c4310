/**
 * The whole check for an author: the contract, then what its workload holds. What `triseed contract validate` and
 * `seal` run; check.ts alone is enough where archives and signers' keys do not matter.
 */
import { type Check, type CheckRules, checkContract, checkSection } from '../check.ts';
import { readDocument } from '../delivered.ts';
import type { ValidationRules } from '../rules.ts';
import type { Finding, SectionName } from '../types.ts';
import { contentFindings } from './content-findings.ts';

export interface DatedRules {
  /** The time that dates of signers' keys are compared with. */
  readonly at: Date;
}

/** As checkContract, with findings about archives, images, templates and signers' keys. */
export const checkContractContent = async (bytes: Uint8Array, rules: CheckRules & DatedRules): Promise<Check> => {
  const check = checkContract(bytes, rules);
  return { ...check, findings: [...check.findings, ...(await contentFindings(check.sections, rules))] };
};

/** As checkSection, with findings about archives, images, templates and signers' keys. */
export const checkSectionContent = async (
  bytes: Uint8Array,
  section: SectionName,
  rules: ValidationRules & DatedRules,
): Promise<readonly Finding[]> => {
  const findings = checkSection(bytes, section, rules);
  const read = section === 'workload' ? readDocument(bytes, section) : null;
  if (read?.kind !== 'read') return findings;
  return [...findings, ...(await contentFindings({ workload: read.value, env: null }, rules))];
};
