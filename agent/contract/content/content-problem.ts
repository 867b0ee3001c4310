/** What is wrong with something inside a value, before it is known where the value stands. */
import type { FindingDetail } from '../finding.ts';
import type { FindingCode } from '../finding-rules.ts';

export interface ContentProblem extends FindingDetail {
  readonly code: FindingCode;
}

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
