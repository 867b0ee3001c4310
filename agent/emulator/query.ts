/** Numbers and flags in the query of a request. Pure. */
import { badQuery, type Refusal } from './refusals.ts';

/** A whole number in the query, or `preset` when it is not there. */
const numberFrom = (
  failed: string,
  query: URLSearchParams,
  name: string,
  preset: number,
  [least, most]: readonly [number, number],
): number | Refusal => {
  const text = query.get(name) ?? String(preset);
  const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  return value >= least && value <= most ? value : badQuery(failed, name, `${least} to ${most}`);
};

/** `true` or `false`; null when it is not there. */
export const flagFrom = (failed: string, query: URLSearchParams, name: string): boolean | null | Refusal => {
  const text = query.get(name);
  if (text === null) return null;
  return text === 'true' || text === 'false' ? text === 'true' : badQuery(failed, name, 'true or false');
};

export interface Page<T> {
  readonly kind: 'page';
  readonly items: readonly T[];
  /** `{totalCount}` when the query asks for it. */
  readonly total: { readonly totalCount?: number };
}

/** `limit` (1 to 5000, 200 when not given), `offset` and `totalCount` of a list. Key Protect API documentation. */
export const pageOf = <T>(failed: string, query: URLSearchParams, items: readonly T[]): Page<T> | Refusal => {
  const limit = numberFrom(failed, query, 'limit', 200, [1, 5000]);
  if (typeof limit !== 'number') return limit;
  const offset = numberFrom(failed, query, 'offset', 0, [0, 999_999_999]);
  if (typeof offset !== 'number') return offset;
  const wantsTotal = flagFrom(failed, query, 'totalCount');
  if (typeof wantsTotal === 'object' && wantsTotal !== null) return wantsTotal;
  return {
    kind: 'page',
    items: items.slice(offset, offset + limit),
    total: wantsTotal === true ? { totalCount: items.length } : {},
  };
};
