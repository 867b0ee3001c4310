import t from 'tap';
import { prepare, step } from '../../../agent/keyd/machine.ts';
import { parseKept, renderKept } from '../../../agent/keyd/record.ts';
import type { Effect, Event, Kept, PollAnswer, State, WatchConfiguration } from '../../../agent/keyd/state.ts';

const second = 1000;
const minute = 60 * second;
const active = (keyVersion: string | null = 'v1'): PollAnswer => ({ kind: 'active', keyVersion });
const suspended: PollAnswer = { kind: 'notActive', state: 'suspended' };
const silent: PollAnswer = { kind: 'retryable', reason: 'connect', afterMs: null };

const configuration = (given: Partial<WatchConfiguration> & { readonly kmsTimeoutMs?: number } = {}) => ({
  bootId: 'boot-1',
  pollMs: minute,
  onRevoked: 'grace' as const,
  provenAtMs: 0,
  volumes: [
    {
      volume: 'data',
      key: 'key-1',
      kmsTimeoutMs: given.kmsTimeoutMs ?? 10 * minute,
      wrapped: 'old',
      keyVersion: 'v1',
    },
  ],
  ...given,
});

/** A machine that is told one event after the other. */
const machine = (given: WatchConfiguration, kept: Kept | null = null, startMs = 0) => {
  let state: State = prepare(given);
  const tell = (event: Event): readonly Effect[] => {
    const answered = step(state, event);
    state = answered.state;
    return answered.effects;
  };
  const first = tell({ kind: 'started', atMs: startMs, kept });
  return {
    first,
    tell,
    poll: (atMs: number, answer: PollAnswer, key = 'key-1') =>
      tell({ kind: 'pollFinished', atMs, key, answer, jitter: 0 }),
    tick: (atMs: number) => tell({ kind: 'tick', atMs }),
    state: () => state,
  };
};

const names = (effects: readonly Effect[]): readonly string[] =>
  effects.map((effect) => (effect.kind === 'message' ? effect.name : effect.kind));
const nextTick = (effects: readonly Effect[]): number | undefined =>
  effects.find((effect) => effect.kind === 'schedule')?.atMs;
const pollLimit = (effects: readonly Effect[]): number | undefined =>
  effects.find((effect) => effect.kind === 'poll')?.limitMs;

t.test('an undisturbed daemon polls once an interval and says nothing', async (t) => {
  const daemon = machine(configuration());
  t.strictSame(names(daemon.first), ['keep', 'KEY_DAEMON_STARTED', 'poll', 'schedule']);
  t.strictSame(names(daemon.poll(200, active())), ['keep', 'notify', 'schedule']);
  t.strictSame(names(daemon.tick(minute)), ['poll', 'schedule']);
  t.equal(nextTick(daemon.poll(minute + 200, active())), 2 * minute);
});

t.test('a suspended key: warning, faster polls, revocation exactly at the deadline', async (t) => {
  const daemon = machine(configuration());
  daemon.poll(100, active());
  daemon.tick(minute);
  const warned = daemon.poll(minute + 100, suspended);
  t.strictSame(names(warned), ['keep', 'KEY_NOT_VALID', 'notify', 'schedule']);
  const warning = warned.find((effect) => effect.kind === 'message');
  // Last good poll began at 0: restart at 1 min + 10 min, and the next boot waits another 10 min.
  t.match(warning, { facts: { volume: 'data', restartInMs: 10 * minute - 100, powerOffInMs: 20 * minute - 100 } });
  t.equal(nextTick(warned), minute + 10 * second, 'grace polls every ten seconds');
  for (let at = minute + 10 * second; at < 11 * minute; at += 10 * second) {
    daemon.tick(at);
    t.notOk(names(daemon.poll(at + 10, suspended)).includes('revoke'), `no revocation at ${at}`);
  }
  t.strictSame(names(daemon.tick(11 * minute)), ['keep', 'REBOOT_WARNING', 'revoke']);
  t.strictSame(daemon.poll(11 * minute + 1, active()), [], 'nothing brings a revoked guest back');
});

t.test('active again in time: told once, then regular polls', async (t) => {
  const daemon = machine(configuration());
  daemon.poll(100, suspended);
  daemon.tick(10 * second);
  const back = daemon.poll(10 * second + 100, { ...active(), correlationId: 'c-1' } as PollAnswer);
  t.strictSame(names(back), ['keep', 'KEY_REACHABLE', 'notify', 'schedule']);
  t.match(back, [{}, { facts: { volume: 'data', correlationId: 'c-1' } }], 'the record names the request');
  t.equal(nextTick(daemon.poll(10 * second + 200, active())), undefined, 'an answer nobody waits for is ignored');
});

t.test('a request that hangs across the deadline does not delay the revocation', async (t) => {
  const daemon = machine(configuration({ kmsTimeoutMs: minute }));
  daemon.poll(100, silent);
  daemon.tick(2 * minute - 5 * second);
  t.equal(pollLimit(daemon.tick(2 * minute - 4 * second)), undefined, 'no second poll beside the first');
  t.strictSame(names(daemon.tick(2 * minute)), ['keep', 'REBOOT_WARNING', 'revoke']);
});

t.test('a poll may not take longer than what is left of the grace', async (t) => {
  const daemon = machine(configuration({ kmsTimeoutMs: minute }));
  daemon.poll(100, silent);
  t.equal(pollLimit(daemon.tick(2 * minute - 7 * second)), 7 * second);
});

t.test('kmsTimeout 0', async (t) => {
  t.test('a definite answer acts after one more poll', async (t) => {
    const daemon = machine(configuration({ kmsTimeoutMs: 0 }));
    t.notOk(names(daemon.poll(100, suspended)).includes('revoke'));
    daemon.tick(10 * second);
    t.ok(names(daemon.poll(10 * second + 100, silent)).includes('revoke'));
  });
  t.test('unreachable acts after three attempts within thirty seconds', async (t) => {
    const daemon = machine(configuration({ kmsTimeoutMs: 0 }));
    t.equal(pollLimit(daemon.first), 10 * second, 'three of them fit');
    t.notOk(names(daemon.poll(10 * second, silent)).includes('revoke'));
    daemon.tick(10 * second);
    t.notOk(names(daemon.poll(20 * second, silent)).includes('revoke'));
    daemon.tick(20 * second);
    t.ok(names(daemon.poll(30 * second, silent)).includes('revoke'));
  });
});

t.test('onRevoked: immediate', async (t) => {
  const refusals: readonly PollAnswer[] = [
    suspended,
    { kind: 'gone' },
    { kind: 'denied', by: 'iam' },
    { kind: 'denied', by: 'kms' },
    { kind: 'badConfiguration', reason: 'not a root key' },
  ];
  for (const answer of refusals) {
    const effects = machine(configuration({ onRevoked: 'immediate' })).poll(100, answer);
    t.strictSame(names(effects), ['keep', 'KEY_NOT_VALID', 'REBOOT_WARNING', 'revoke'], answer.kind);
  }
  const unreachable = machine(configuration({ onRevoked: 'immediate' })).poll(100, silent);
  t.notOk(names(unreachable).includes('revoke'), 'no answer is no decision of the owner');
});

t.test('two volumes under one key share its poll; the shorter timeout acts for the guest', async (t) => {
  const [volume] = configuration().volumes;
  if (volume === undefined) throw new Error('no volume');
  const volumes = [
    { ...volume, volume: 'patient' },
    { ...volume, volume: 'hasty', kmsTimeoutMs: minute },
    { ...volume, volume: 'other', key: 'key-2' },
  ];
  const daemon = machine(configuration({ volumes }));
  t.equal(daemon.first.filter(({ kind }) => kind === 'poll').length, 2);
  t.match(
    daemon.poll(50, suspended).find(({ kind }) => kind === 'notify'),
    { ready: false },
  );
  t.match(
    daemon.poll(60, active(), 'key-2').find(({ kind }) => kind === 'notify'),
    { ready: true },
  );
  const revoked = daemon.tick(2 * minute).find((effect) => effect.kind === 'revoke');
  t.match(revoked, { volume: 'hasty' });
});

t.test('rotation: rewrap, then store, then tell; the record is renewed before it is told', async (t) => {
  const daemon = machine(configuration());
  const seen = daemon.poll(100, active('v2'));
  t.match(
    seen.find(({ kind }) => kind === 'rewrap'),
    { volume: 'data', key: 'key-1', wrapped: 'old' },
  );
  const outcome = { kind: 'done', wrapped: 'new', keyVersion: 'v2', correlationId: 'c-2' } as const;
  const renewed = daemon.tell({ kind: 'rewrapFinished', atMs: 200, volume: 'data', outcome });
  t.match(
    renewed.find(({ kind }) => kind === 'store'),
    { volume: 'data', wrapped: 'new', keyVersion: 'v2' },
  );
  const stored = daemon.tell({ kind: 'storeFinished', atMs: 300, volume: 'data', outcome: { kind: 'done' } });
  t.strictSame(names(stored), ['keep', 'KEY_ROTATED', 'schedule']);
  t.match(stored[1], { facts: { correlationId: 'c-2' } }, 'the record names the request');
  daemon.tick(minute);
  t.notOk(names(daemon.poll(minute + 100, active('v2'))).includes('rewrap'), 'once is enough');
});

t.test('a failed rewrap and a failed store are told and tried again, later each time', async (t) => {
  const daemon = machine(configuration());
  daemon.poll(100, active('v2'));
  const failed = { kind: 'failed', reason: 'scripted' } as const;
  const told = daemon.tell({ kind: 'rewrapFinished', atMs: 200, volume: 'data', outcome: failed });
  t.match(told[0], { name: 'REWRAP_FAILED', facts: { retryInMs: minute } });
  daemon.tick(minute);
  t.notOk(names(daemon.poll(minute + 100, active('v2'))).includes('rewrap'), 'not before its time');
  daemon.tick(2 * minute);
  t.ok(names(daemon.poll(2 * minute + 100, active('v2'))).includes('rewrap'));
  const outcome = { kind: 'done', wrapped: 'new', keyVersion: 'v2' } as const;
  const atMs = 2 * minute + 200;
  daemon.tell({ kind: 'rewrapFinished', atMs, volume: 'data', outcome });
  const unsaved = daemon.tell({ kind: 'storeFinished', atMs, volume: 'data', outcome: failed });
  t.match(unsaved[0], { name: 'SAVE_KEY_FAILED', facts: { retryInMs: minute } });
  t.match(
    daemon.tick(atMs + minute).find(({ kind }) => kind === 'store'),
    { wrapped: 'new' },
    'stored without asking the service again',
  );
  const again = daemon.tell({ kind: 'storeFinished', atMs: atMs + minute, volume: 'data', outcome: failed });
  t.match(again[0], { facts: { retryInMs: 2 * minute } });
});

t.test('a service that names versions in two ways is asked to rewrap once, not at every poll', async (t) => {
  const daemon = machine(configuration());
  daemon.poll(100, active('name-of-v2'));
  const outcome = { kind: 'done', wrapped: 'new', keyVersion: 'v2' } as const;
  daemon.tell({ kind: 'rewrapFinished', atMs: 200, volume: 'data', outcome });
  daemon.tell({ kind: 'storeFinished', atMs: 300, volume: 'data', outcome: { kind: 'done' } });
  daemon.tick(minute);
  t.notOk(names(daemon.poll(minute + 100, active('name-of-v2'))).includes('rewrap'));
  daemon.tick(2 * minute);
  t.ok(names(daemon.poll(2 * minute + 100, active('name-of-v3'))).includes('rewrap'));
});

const recordOf = (effects: readonly Effect[]): Kept => {
  const kept = effects.find((effect) => effect.kind === 'keep')?.kept;
  const read = kept === undefined ? null : parseKept(renderKept(kept));
  if (read === null) throw new Error('nothing was kept');
  return read;
};

t.test('a restarted daemon', async (t) => {
  t.test('goes on in the same grace', async (t) => {
    const before = machine(configuration());
    const kept = recordOf(before.poll(100, suspended));
    const after = machine(configuration(), kept, 5 * minute);
    t.strictSame(names(after.first), ['KEY_DAEMON_STARTED', 'poll', 'schedule']);
    t.ok(names(after.tick(11 * minute)).includes('revoke'));
  });
  t.test('revokes at once when the grace ended without it', async (t) => {
    const kept = recordOf(machine(configuration()).poll(100, suspended));
    t.ok(names(machine(configuration(), kept, 12 * minute).first).includes('revoke'));
  });
  t.test('finishes a revocation', async (t) => {
    const before = machine(configuration({ onRevoked: 'immediate' }));
    const kept = recordOf(before.poll(100, suspended));
    t.ok(names(machine(configuration(), kept, 200).first).includes('revoke'));
  });
  t.test('knows the wrapping it stored', async (t) => {
    const before = machine(configuration());
    before.poll(100, active('v2'));
    const outcome = { kind: 'done', wrapped: 'new', keyVersion: 'v2' } as const;
    before.tell({ kind: 'rewrapFinished', atMs: 200, volume: 'data', outcome });
    const kept = recordOf(before.tell({ kind: 'storeFinished', atMs: 300, volume: 'data', outcome: { kind: 'done' } }));
    const after = machine(configuration(), kept, minute);
    t.notOk(names(after.poll(minute + 100, active('v2'))).includes('rewrap'));
  });
  t.test('ignores what another boot left behind', async (t) => {
    const kept = { ...recordOf(machine(configuration()).poll(100, suspended)), bootId: 'boot-0' };
    const after = machine(configuration({ provenAtMs: 12 * minute }), kept, 12 * minute);
    t.notOk(names(after.first).includes('revoke'));
  });
});

t.test('a guest that stood still past the deadline gets one prompt poll before it is judged', async (t) => {
  const daemon = machine(configuration());
  daemon.poll(100, active());
  const woken = daemon.tick(60 * minute);
  t.strictSame(names(woken), ['keep', 'KEY_NOT_VALID', 'poll', 'schedule']);
  t.equal(pollLimit(woken), 10 * second);
  const good = machine(configuration(), recordOf(woken), 60 * minute + 1);
  t.ok(names(good.poll(60 * minute + 50, active())).includes('KEY_REACHABLE'));
  t.ok(names(daemon.tick(60 * minute + 10 * second)).includes('revoke'), 'and no more than one');
});

t.test(
  'the first daemon after a boot that took longer than kmsTimeout gets one prompt poll, and only the first',
  async (t) => {
    const slow = configuration({ kmsTimeoutMs: minute });
    const startMs = 2 * minute + second;
    const daemon = machine(slow, null, startMs);
    t.strictSame(names(daemon.first), ['keep', 'KEY_DAEMON_STARTED', 'KEY_NOT_VALID', 'poll', 'schedule']);
    t.ok(names(daemon.poll(startMs + 50, active())).includes('KEY_REACHABLE'));
    const killed = machine(slow, recordOf(daemon.first), startMs + 10 * second);
    t.ok(names(killed.first).includes('revoke'), 'killed before its poll was answered: it bought no time');
  },
);

t.test('a service that asks for patience gets it, up to one interval', async (t) => {
  const asked = (afterMs: number) =>
    nextTick(machine(configuration()).poll(100, { kind: 'retryable', reason: '429', afterMs }));
  t.equal(asked(45 * second), 100 + 45 * second);
  t.equal(asked(24 * 60 * minute), 100 + minute);
});

t.test('the end of the service is not a reason to revoke', async (t) => {
  const daemon = machine(configuration());
  daemon.poll(100, suspended);
  t.strictSame(names(daemon.tell({ kind: 'terminated', atMs: 200 })), ['end']);
  t.strictSame(daemon.tick(20 * minute), []);
});

t.test('a record that is none is recognised', async (t) => {
  for (const bytes of ['', '{}', '[]', 'null', '{"version":2}', '{"version":1,"bootId":1}']) {
    t.equal(parseKept(bytes), null, bytes);
  }
});

t.test('settings read again', async (t) => {
  const reload = (atMs: number, pollMs: number, onRevoked: 'grace' | 'immediate' = 'grace'): Event => ({
    kind: 'reloaded',
    atMs,
    pollMs,
    onRevoked,
  });
  const keptBy = (effects: readonly Effect[]): Kept | null =>
    effects.findLast((effect) => effect.kind === 'keep')?.kept ?? null;

  t.test('a shorter interval judges no poll that was asked by the longer one', async (t) => {
    for (const kmsTimeoutMs of [0, minute]) {
      for (let after = 1; after < 60; after += 1) {
        const daemon = machine(configuration({ pollMs: 10 * minute, kmsTimeoutMs }));
        daemon.poll(100, active());
        const atMs = after * 10 * second;
        t.strictSame(names(daemon.tell(reload(atMs, 10 * second))), ['keep', 'SETTINGS_RELOADED', 'poll', 'schedule']);
        t.strictSame(names(daemon.poll(atMs + 100, active())), ['keep', 'notify', 'schedule'], `${after * 10} s`);
      }
    }
  });
  t.test('from its first good poll on the new interval counts', async (t) => {
    const daemon = machine(configuration({ pollMs: 10 * minute, kmsTimeoutMs: minute }));
    daemon.poll(100, active());
    daemon.tell(reload(minute, 10 * second));
    daemon.poll(minute + 100, active());
    daemon.tick(minute + 10 * second);
    t.strictSame(names(daemon.tick(2 * minute + 10 * second)), ['keep', 'KEY_NOT_VALID', 'REBOOT_WARNING', 'revoke']);
  });
  t.test('a daemon that is started again goes on with them', async (t) => {
    const given = configuration({ kmsTimeoutMs: minute });
    const before = machine(given);
    before.poll(100, active());
    before.tell(reload(second, 60 * minute, 'immediate'));
    const kept = keptBy(before.poll(second + 100, active()));
    const after = machine(given, kept, 30 * minute);
    t.strictSame(names(after.first), ['KEY_DAEMON_STARTED', 'poll', 'schedule'], 'half an interval is no loss');
    t.match(after.state(), { pollMs: 60 * minute, onRevoked: 'immediate' });
    t.ok(names(after.poll(30 * minute + 100, suspended)).includes('revoke'), 'refused, and that is immediate');
    t.strictSame(parseKept(renderKept(kept as Kept)), kept);
  });
  t.test('they are on record before they are told', async (t) => {
    const daemon = machine(configuration());
    daemon.poll(100, active());
    const kept = keptBy(daemon.tell(reload(second, 60 * minute, 'immediate')));
    t.match(kept, { pollMs: 60 * minute, onRevoked: 'immediate', keys: [{ intervalMs: minute }] });
  });
});
