/** What a handler gives back, and what it is given. */
import type { Entropy } from '../ports.ts';
import type { Role } from './access.ts';
import type { KeyRecord, Naming } from './key-record.ts';
import type { Refusal } from './refusals.ts';
import type { Store } from './store.ts';

/** Members of an audit event that only the handler knows; never a secret. */
export type AuditData = Readonly<Record<string, string | number | boolean>>;

export interface Done {
  readonly kind: 'result';
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly audit?: AuditData;
}

export type Result = Refusal | Done;

export const result = (
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
  audit: AuditData = {},
): Done => ({ kind: 'result', status, body, headers, audit });

export const collectionOf = (type: string, resources: readonly object[], more: object = {}): string =>
  JSON.stringify({ metadata: { collectionType: type, collectionTotal: resources.length, ...more }, resources });

/** One authorized request. */
export interface Context {
  readonly store: Store;
  readonly entropy: Pick<Entropy, 'bytes' | 'uuid'>;
  readonly nowMs: number;
  readonly naming: Naming;
  readonly instance: string;
  /** IAM id of the caller. */
  readonly caller: string;
  readonly roles: readonly Role[];
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Decoded segments of the path by name; `key` is what the caller called the key. */
  readonly path: Readonly<Record<string, string>>;
  /** Rules of the account that instance policies must follow: policy → must be enabled. */
  readonly rules: ReadonlyMap<string, boolean>;
}

export type Handler = (context: Context) => Result | Promise<Result>;
export type KeyHandler = (context: Context, key: KeyRecord) => Result | Promise<Result>;

/** The `Prefer` header; null when it says neither. */
export const preferenceOf = (context: Context): 'minimal' | 'representation' | null => {
  const [, preference] = /(?:^|[,;\s])return=(minimal|representation)\b/i.exec(context.headers.prefer ?? '') ?? [];
  return (preference?.toLowerCase() as 'minimal' | 'representation' | undefined) ?? null;
};
