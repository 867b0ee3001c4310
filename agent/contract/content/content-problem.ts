/** What is wrong with something inside a value, before it is known where the value stands. */
import type { FindingDetail } from '../finding.ts';
import { type FindingCode, findingRules } from '../finding-rules.ts';

export interface ContentProblem extends FindingDetail {
  readonly code: FindingCode;
}

/** Enough to see what is wrong; a hostile value has one fault for every line. */
export const maximumProblems = 50;

/** The first of `problems`, but no error is left out for a warning. */
export const firstOf = <Problem extends { readonly code: string }>(
  problems: readonly Problem[],
): readonly Problem[] => {
  if (problems.length <= maximumProblems) return problems;
  const isError = ({ code }: Problem): boolean => findingRules[code as FindingCode].endsWith('E');
  const [errors, others] = [problems.filter(isError), problems.filter((problem) => !isError(problem))];
  return [...errors, ...others].slice(0, maximumProblems);
};

/** Ends the reading of a value: nothing after it can be relied on. */
export class ContentRefusal extends Error {
  readonly problem: ContentProblem;
  constructor(code: FindingCode, message: string, hint: string) {
    super(message);
    this.name = 'ContentRefusal';
    this.problem = { code, message, hint };
  }
}

export type ContentReading<T> =
  | { readonly kind: 'read'; readonly value: T; readonly problems: readonly ContentProblem[] }
  | { readonly kind: 'refused'; readonly problems: readonly ContentProblem[] };
