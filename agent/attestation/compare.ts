/**
 * A record against the contract that was deployed. The guest hashes the values as they stand in the contract. Whether
 * line breaks of plain sections count is not documented, so both readings are tried, and the one that matched is told.
 */
import { createHash } from 'node:crypto';
import type { DeliveredContract } from '../contract/delivered.ts';
import { type HashedSection, hashedSections, type RecordHash } from './record.ts';

export type Reading = 'exact' | 'withoutLineBreaks';

export type SectionComparison =
  | { readonly section: HashedSection; readonly result: 'matches'; readonly reading: Reading }
  /** In the contract with another value than the guest had. */
  | { readonly section: HashedSection; readonly result: 'differs' }
  /** The guest had it, the contract has it not. */
  | { readonly section: HashedSection; readonly result: 'notInContract' }
  | { readonly section: HashedSection; readonly result: 'notInRecord' }
  /** A mapping has no text of its own that could be hashed. */
  | { readonly section: HashedSection; readonly result: 'notComparable' };

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

const readingOf = (text: string, expected: string): Reading | null => {
  if (sha256(text) === expected) return 'exact';
  return sha256(text.replace(/[\r\n]/g, '')) === expected ? 'withoutLineBreaks' : null;
};

const valueIn = ({ sections, attestationPublicKey, envWorkloadSignature }: DeliveredContract, name: HashedSection) => {
  if (name === 'attestationPublicKey') return attestationPublicKey;
  if (name === 'envWorkloadSignature') return envWorkloadSignature;
  return sections[name].form === 'nested' ? undefined : sections[name].text;
};

/** Every section that the record or the contract has. A name that the record has twice never matches. */
export const compareSections = (
  hashes: readonly RecordHash[],
  delivered: DeliveredContract,
): readonly SectionComparison[] =>
  hashedSections.flatMap((section): readonly SectionComparison[] => {
    const recorded = hashes.filter(({ name }) => name === `contract:${section}`);
    const value = valueIn(delivered, section);
    const [first] = recorded;
    if (value === undefined) return [{ section, result: 'notComparable' }];
    if (value === null) return first === undefined ? [] : [{ section, result: 'notInContract' }];
    if (first === undefined) return [{ section, result: 'notInRecord' }];
    const reading = recorded.length === 1 ? readingOf(value, first.sha256) : null;
    return [reading === null ? { section, result: 'differs' } : { section, result: 'matches', reading }];
  });

/** Whether the file itself is what the guest read as its user data; null when the record does not say. */
export const isSameUserData = (hashes: readonly RecordHash[], bytes: Uint8Array): boolean | null => {
  const recorded = hashes.filter(({ name }) => name === 'cidata/user-data');
  if (recorded.length === 0) return null;
  return recorded.every(({ sha256: expected }) => expected === sha256(bytes));
};
