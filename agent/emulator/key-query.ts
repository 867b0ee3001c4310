/**
 * Which keys a list asks for, and in which order. Sources: Key Protect API documentation, "List keys"; IBM Cloud
 * documentation, Key Protect "Retrieving a list of keys"; the query builders of IBM's Go client. Pure.
 */
import { dateOf, type KeyRecord, stateAt } from './key-record.ts';
import { flagFrom } from './query.ts';
import { badQuery, type Refusal, refuse } from './refusals.ts';

type Test = (key: KeyRecord) => boolean;
type Order = (one: KeyRecord, other: KeyRecord) => number;

export interface KeyQuery {
  readonly kind: 'query';
  readonly matches: Test;
  /** Null: no search in names and aliases. */
  readonly search: Test | null;
  readonly order: Order | null;
}

/** "The search capability is limited to a volume of 5,000 keys." */
export const MAX_SEARCHED = 5000;
const MAX_TEXT = 512;

const DATES: Readonly<Record<string, (key: KeyRecord) => number | null>> = {
  creationDate: (key) => key.createdMs,
  expirationDate: (key) => key.expiresMs,
  lastRotateDate: (key) => key.rotatedMs,
  deletionDate: (key) => key.deletedMs,
  lastUpdateDate: (key) => key.updatedMs,
};

const statesIn = (text: string): readonly number[] | null =>
  /^[01235](,[01235])*$/.test(text) ? text.split(',').map(Number) : null;

/** Truth of the comparison with whole seconds, as the API shows dates. */
const dateTest = (dateOfKey: (key: KeyRecord) => number | null, text: string): Test | null => {
  if (text === 'none') return (key) => dateOfKey(key) === null;
  const [, relation = '', quoted = ''] = /^(gt:|gte:|lt:|lte:|)"([^"]{10,40})"$/.exec(text) ?? [];
  const wanted = Date.parse(quoted);
  if (Number.isNaN(wanted)) return null;
  const compare: Readonly<Record<string, (given: number) => boolean>> = {
    '': (given) => dateOf(given) === dateOf(wanted),
    'gt:': (given) => given > wanted,
    'gte:': (given) => given >= wanted,
    'lt:': (given) => given < wanted,
    'lte:': (given) => given <= wanted,
  };
  const holds = compare[relation];
  if (holds === undefined) return null;
  return (key) => {
    const given = dateOfKey(key);
    return given !== null && holds(given);
  };
};

const filterTest = (name: string, text: string, nowMs: number): Test | null => {
  const dateOfKey = Object.hasOwn(DATES, name) ? DATES[name] : undefined;
  if (dateOfKey !== undefined) return dateTest(dateOfKey, text);
  if (name === 'extractable') return /^(true|false)$/.test(text) ? (key) => String(key.extractable) === text : null;
  const states = name === 'state' ? statesIn(text) : null;
  return states === null ? null : (key) => states.includes(stateAt(key, nowMs));
};

/** `creationDate=gt:"2026-01-01T00:00:00Z" state=1,2 extractable=true`: all of them must hold. */
const filterOf = (text: string, nowMs: number): Test | null => {
  const tests = text
    .trim()
    .split(/\s+/)
    .map((part) => filterTest(part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1), nowMs));
  return tests.includes(null) ? null : (key) => tests.every((test) => test?.(key) === true);
};

/** `not:exact:name:payroll`: options until one is none, the rest is the text. Without a scope both are searched. */
const searchOf = (text: string): Test => {
  let rest = text;
  let isNegated = false;
  let isExact = false;
  const scopes = new Set<'name' | 'alias'>();
  for (;;) {
    const [option, name = ''] = /^(not|exact|escape|name|alias):/.exec(rest) ?? [];
    if (option === undefined) break;
    // "exact:not:foobar looks for exactly not:foobar"
    if (isExact && name === 'not') break;
    rest = rest.slice(option.length);
    if (name === 'escape') break;
    if (name === 'not') isNegated = true;
    else if (name === 'exact') isExact = true;
    else scopes.add(name as 'name' | 'alias');
  }
  const holds = (value: string): boolean => (isExact ? value === rest : value.includes(rest));
  const inName = scopes.size === 0 || scopes.has('name');
  const inAlias = scopes.size === 0 || scopes.has('alias');
  return (key) => ((inName && holds(key.name)) || (inAlias && key.aliases.some(holds))) !== isNegated;
};

const SORTS: Readonly<Record<string, (key: KeyRecord, nowMs: number) => string | number>> = {
  id: (key) => key.id,
  state: stateAt,
  extractable: (key) => Number(key.extractable),
  imported: (key) => Number(key.imported),
  ...Object.fromEntries(
    Object.entries(DATES).map(([name, date]) => [name, (key: KeyRecord) => date(key) ?? Number.POSITIVE_INFINITY]),
  ),
};

/** `state,-creationDate`: a minus sorts downwards; equal keys stay in the order of their making. */
const orderOf = (text: string, nowMs: number): Order | null => {
  const orders: Order[] = [];
  for (const part of text.split(',')) {
    const name = part.replace(/^-/, '');
    const value = Object.hasOwn(SORTS, name) ? SORTS[name] : undefined;
    if (value === undefined) return null;
    const sign = part.startsWith('-') ? -1 : 1;
    orders.push((one, other) => {
      const [left, right] = [value(one, nowMs), value(other, nowMs)];
      return left === right ? 0 : left < right ? -sign : sign;
    });
  }
  return (one, other) => orders.reduce((decided, order) => (decided === 0 ? order(one, other) : decided), 0);
};

/** Destroyed keys are only found when `state` or `filter` names them. `ring` is the X-Kms-Key-Ring header. */
export const parseKeyQuery = (
  failed: string,
  query: URLSearchParams,
  ring: string | undefined,
  nowMs: number,
): KeyQuery | Refusal => {
  const [stateText, filterText, searchText, sortText] = ['state', 'filter', 'search', 'sort'].map((name) =>
    query.get(name),
  );
  const states = stateText == null ? [0, 1, 2, 3] : statesIn(stateText);
  if (states === null) return badQuery(failed, 'state', 'a list of 0, 1, 2, 3, 5');
  const extractable = flagFrom(failed, query, 'extractable');
  if (typeof extractable === 'object' && extractable !== null) return extractable;
  const filter = filterText == null ? () => true : filterOf(filterText.slice(0, MAX_TEXT), nowMs);
  if (filter === null) return badQuery(failed, 'filter', 'property=value, separated by blanks');
  const order = sortText == null ? null : orderOf(sortText.slice(0, MAX_TEXT), nowMs);
  if (sortText != null && order === null) return badQuery(failed, 'sort', Object.keys(SORTS).join(', '));
  const namesState = filterText != null && /(^|\s)state=/.test(filterText);
  return {
    kind: 'query',
    matches: (key) =>
      ((namesState && stateText === null) || states.includes(stateAt(key, nowMs))) &&
      (extractable === null || key.extractable === extractable) &&
      (ring === undefined || key.keyRing === ring) &&
      filter(key),
    // IBM's Go client ends the text with a comma.
    search: searchText == null || searchText === '' ? null : searchOf(searchText.slice(0, MAX_TEXT).replace(/,$/, '')),
    order,
  };
};

/** The keys of the query in its order. */
export const selectKeys = (
  failed: string,
  keys: readonly KeyRecord[],
  query: KeyQuery,
): readonly KeyRecord[] | Refusal => {
  const found = keys.filter(query.matches);
  if (query.search !== null && found.length > MAX_SEARCHED) return refuse('KEY_SEARCH_TOO_BROAD', failed);
  const searched = query.search === null ? found : found.filter(query.search);
  return query.order === null ? searched : searched.toSorted(query.order);
};
