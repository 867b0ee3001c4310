import t from 'tap';
import { describeKey, keyViewOf } from '../../../agent/keyd/key-view.ts';
import type { Kept } from '../../../agent/keyd/state.ts';

const watched = { volume: 'data', key: 'key-1', kmsTimeoutMs: 60_000, wrapped: 'w', keyVersion: 'v' };
const watch = { bootId: 'this', volumes: [watched, { ...watched, volume: 'other', key: 'key-2' }] };
const entry = { volume: 'data', grace: null, wrapped: 'w', keyVersion: 'v' };
const kept: Kept = {
  version: 1,
  bootId: 'this',
  pollMs: 60_000,
  onRevoked: 'grace',
  keys: [
    { key: 'key-1', lastGoodMs: 90_000, intervalMs: 60_000 },
    { key: 'key-2', lastGoodMs: 1_000, intervalMs: 60_000 },
  ],
  volumes: [entry, { ...entry, volume: 'other' }],
  revocation: null,
};
const grace = { sinceMs: 95_000, deadlineMs: 160_000, attempts: 1, refused: true };

t.test('what status says of a root key', async (t) => {
  const cases = {
    active: [kept, { state: 'active', activeSecondsAgo: 10, closesInSeconds: null }],
    grace: [
      { ...kept, volumes: [{ ...entry, grace }] },
      { state: 'grace', activeSecondsAgo: 10, closesInSeconds: 60 },
    ],
    revoking: [{ ...kept, revocation: { volume: 'other', reason: 'r' } }, { state: 'revoking' }],
    'no record yet': [null, { state: 'not watched yet', activeSecondsAgo: null }],
    'a record of another boot': [
      { ...kept, bootId: 'before' },
      { state: 'not watched yet', activeSecondsAgo: null },
    ],
  } as const;
  for (const [name, [record, expected]] of Object.entries(cases))
    t.match(keyViewOf(watch, record as Kept | null, 'data', 100_000), expected, name);
  t.equal(keyViewOf(watch, kept, 'two-seeds', 100_000), null);
});

t.test('in words', async (t) => {
  const view = { state: 'grace', activeSecondsAgo: 10, closesInSeconds: 60 } as const;
  t.equal(describeKey(view), 'grace, last known to be active 10 s ago, the guest restarts in 60 s');
  t.equal(
    describeKey({ state: 'active', activeSecondsAgo: 0, closesInSeconds: null }),
    'active, last known to be active 0 s ago',
  );
});
