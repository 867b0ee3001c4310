/** The rule when a volume may be opened, checked over every kind of answer and over random runs. */
import fc from 'fast-check';
import t from 'tap';
import type { KeyState, KmsRefusal } from '../../../agent/kms/backend.ts';
import {
  isActive,
  mayOpen,
  nextStep,
  type Pass,
  type StateAnswer,
  startPass,
  withFirstKey,
  withUnwrapRefusal,
} from '../../../agent/kms/fallback.ts';

const done = (state: KeyState): StateAnswer => ({ kind: 'done', value: { state }, correlationId: null });
const refused = (refusal: KmsRefusal): StateAnswer => ({ ...refusal, correlationId: null });

const refusals: readonly KmsRefusal[] = [
  { kind: 'notActive', state: 'suspended' },
  { kind: 'gone' },
  { kind: 'denied', by: 'iam' },
  { kind: 'denied', by: 'kms' },
  { kind: 'badCiphertext' },
  { kind: 'badConfiguration', reason: 'HTTP 400' },
  { kind: 'retryable', reason: 'timeout', afterMs: null },
];
const states: readonly KeyState[] = ['preActivation', 'active', 'suspended', 'deactivated', 'destroyed', 'unknown'];
const stateAnswers: readonly (StateAnswer | null)[] = [null, ...states.map(done), ...refusals.map(refused)];

t.test('only an active first key, an unwrapped seed, and its wrapping by entry 1 open', async (t) => {
  for (const firstKey of stateAnswers) {
    for (const unwrappedBy of [null, 0, 1, 4]) {
      for (const wrappedByFirst of [false, true]) {
        const active = firstKey?.kind === 'done' && firstKey.value.state === 'active';
        const expected = active && unwrappedBy !== null && (unwrappedBy === 0 || wrappedByFirst);
        const name = `${JSON.stringify(firstKey)} by ${unwrappedBy}, wrapped ${wrappedByFirst}`;
        t.equal(mayOpen({ firstKey, unwrappedBy, wrappedByFirst }), expected, name);
      }
    }
  }
});

t.test('what makes the daemon act never lets the next boot open', async (t) => {
  for (const poll of stateAnswers.filter((answer) => answer !== null)) {
    const daemonStays = mayOpen({ firstKey: poll, unwrappedBy: 0, wrappedByFirst: true });
    t.equal(daemonStays, isActive(poll));
    if (daemonStays) continue;
    for (const unwrappedBy of [0, 1, 4]) {
      const boot = withFirstKey(startPass('open', 5, unwrappedBy), poll);
      t.not(nextStep({ ...boot, wrappedByFirst: true }).do, 'open', JSON.stringify(poll));
    }
  }
});

const refusal = fc.constantFrom(...refusals);
const stateAnswer = fc.oneof(fc.constantFrom(...states).map(done), refusal.map(refused));

/** Plays one pass against random answers; gives every step it took. */
const play = (start: Pass, first: StateAnswer, unwraps: readonly (KmsRefusal | 'seed')[], wrap: KmsRefusal | 'ok') => {
  const steps: string[] = [];
  let pass = start;
  for (let turn = 0; turn < 20; turn += 1) {
    const step = nextStep(pass);
    steps.push(step.do === 'unwrap' ? `unwrap ${step.entry}` : step.do);
    if (step.do === 'readState') pass = withFirstKey(pass, first);
    else if (step.do === 'unwrap') {
      const answer = unwraps[step.entry] ?? 'seed';
      pass = answer === 'seed' ? { ...pass, unwrappedBy: step.entry } : withUnwrapRefusal(pass, step.entry, answer);
    } else if (step.do === 'wrap' || step.do === 'generate') {
      pass =
        wrap === 'ok'
          ? { ...pass, unwrappedBy: pass.unwrappedBy ?? 0, wrappedByFirst: true }
          : { ...pass, wrapRefusal: wrap };
    } else return { steps, step, pass };
  }
  throw new Error(`a pass does not end: ${steps.join(', ')}`);
};

t.test('every pass ends, asks nobody twice, and opens only by the rule', async (_t) => {
  const scene = fc.record({
    intent: fc.constantFrom<Pass['intent']>('open', 'create'),
    first: stateAnswer,
    unwraps: fc.array(fc.oneof(refusal, fc.constant<'seed'>('seed')), { minLength: 1, maxLength: 5 }),
    wrap: fc.oneof(refusal, fc.constant<'ok'>('ok')),
  });
  fc.assert(
    fc.property(scene, ({ intent, first, unwraps, wrap }) => {
      const { steps, step, pass } = play(startPass(intent, unwraps.length, null), first, unwraps, wrap);
      if (new Set(steps).size !== steps.length) return false;
      if (steps[0] !== 'readState') return false;
      if (intent === 'create' && steps.some((name) => name.startsWith('unwrap'))) return false;
      if (step.do === 'open') return mayOpen(pass) && isActive(first);
      // While the owner says no, the seed is not unwrapped at all.
      if (!isActive(first) && first.kind !== 'retryable') return steps.every((name) => !name.startsWith('unwrap'));
      return true;
    }),
    { numRuns: 2000 },
  );
});

t.test('a temporary trouble never ends the waiting before its time', async (_t) => {
  const waitable = fc.constantFrom(
    ...refusals.filter(({ kind }) => !['badCiphertext', 'badConfiguration'].includes(kind)),
  );
  fc.assert(
    fc.property(fc.array(refusal, { minLength: 1, maxLength: 5 }), waitable, fc.nat(), (unwraps, hopeful, place) => {
      const entry = place % unwraps.length;
      const answers = unwraps.with(entry, hopeful);
      if (answers[0]?.kind === 'badConfiguration') return true;
      return play(startPass('open', answers.length, null), done('active'), answers, 'ok').step.do === 'wait';
    }),
    { numRuns: 1000 },
  );
});

t.test('what can never work stops at once', async (t) => {
  const bad: KmsRefusal = { kind: 'badCiphertext' };
  const wrong: KmsRefusal = { kind: 'badConfiguration', reason: 'not a root key' };
  const away: KmsRefusal = { kind: 'retryable', reason: 'timeout', afterMs: null };
  const rows: [string, StateAnswer, KmsRefusal[], object][] = [
    ['every entry refuses the ciphertext', done('active'), [bad, bad, bad], { do: 'stop', why: 'everyEntryRefuses' }],
    ['one entry, wrong ciphertext', done('active'), [bad], { do: 'stop', why: 'everyEntryRefuses' }],
    ['entry 1 is not a root key', refused(wrong), [], { do: 'stop', why: 'configuration', entry: 0 }],
    ['entry 1 cannot unwrap by its kind', done('active'), [wrong, bad], { do: 'stop', why: 'configuration', entry: 0 }],
    [
      'an older entry is misconfigured, the first refuses',
      done('active'),
      [bad, wrong],
      { do: 'stop', why: 'everyEntryRefuses' },
    ],
    ['an older entry is misconfigured, the first is away', done('active'), [away, wrong], { do: 'wait', entry: 0 }],
  ];
  for (const [name, first, unwraps, expected] of rows) {
    t.match(play(startPass('open', unwraps.length || 1, null), first, unwraps, 'ok').step, expected, name);
  }
  const migrate = (wrap: KmsRefusal) =>
    play(startPass('open', 2, null), done('active'), [bad, 'seed' as never], wrap).step;
  t.match(migrate(bad), { do: 'stop', why: 'notTheSameSeed' }, 'what entry 1 wrapped does not come back');
  t.match(migrate(wrong), { do: 'stop', why: 'configuration', entry: 0 });
  t.match(migrate(away), { do: 'wait' });
});

t.test('a silent first entry is not asked to unwrap in the same pass', async (t) => {
  const away: KmsRefusal = { kind: 'retryable', reason: 'timeout', afterMs: 5000 };
  const { steps, step } = play(startPass('open', 3, null), refused(away), [], 'ok');
  t.same(steps, ['readState', 'unwrap 1', 'wait']);
  t.match(step, { do: 'wait', entry: 0, afterMs: 5000 }, 'the seed of entry 2 waits for entry 1');
});

t.test('what is final is not asked again in a later pass', async (t) => {
  const away: KmsRefusal = { kind: 'retryable', reason: 'timeout', afterMs: null };
  const bad: KmsRefusal = { kind: 'badCiphertext' };
  const wrong: KmsRefusal = { kind: 'badConfiguration', reason: 'not a root key' };
  const gone: KmsRefusal = { kind: 'gone' };
  const answers = [bad, away, wrong, gone];
  const first = play(startPass('open', 4, null), done('active'), answers, 'ok');
  t.same(first.steps, ['readState', 'unwrap 0', 'unwrap 1', 'unwrap 2', 'unwrap 3', 'wait']);
  const second = play(startPass('open', 4, null, first.pass), done('active'), answers, 'ok');
  t.same(second.steps, ['readState', 'unwrap 1', 'unwrap 3', 'wait']);
  const late = play(startPass('open', 4, null, second.pass), done('active'), [bad, bad, wrong, bad], 'ok');
  t.same(late.steps, ['readState', 'unwrap 1', 'unwrap 3', 'stop']);
  t.match(late.step, { why: 'everyEntryRefuses' });
  const silent = play(startPass('open', 4, null, first.pass), refused(away), answers, 'ok');
  t.same(silent.steps, ['readState', 'unwrap 1', 'unwrap 3', 'wait'], 'nor when the first entry falls silent');
});

t.test('an entry that asked for patience is left alone, and holds up nobody else', async (t) => {
  const busy: KmsRefusal = { kind: 'retryable', reason: 'HTTP 429', afterMs: 40_000 };
  const away: KmsRefusal = { kind: 'retryable', reason: 'timeout', afterMs: null };
  const bad: KmsRefusal = { kind: 'badCiphertext' };
  const first = play(startPass('open', 3, null), done('active'), [bad, busy, away], 'ok');
  t.match(first.step, { do: 'wait', entry: 2, afterMs: null });
  const second = play(
    startPass('open', 3, null, first.pass, (entry) => entry !== 1),
    done('active'),
    [bad, busy, away],
    'ok',
  );
  t.same(second.steps, ['readState', 'unwrap 2', 'wait']);
  const third = play(startPass('open', 3, null, second.pass), done('active'), [bad, 'seed', away], 'ok');
  t.same(third.steps, ['readState', 'unwrap 1', 'wrap', 'open']);

  const firstBusy = play(startPass('open', 2, null), refused(busy), [away, away], 'ok');
  t.match(firstBusy.step, { do: 'wait', entry: 1, afterMs: 40_000 }, 'entry 1 begins every round');
});
