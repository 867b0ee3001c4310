/**
 * Every cause for which the daemon ends a guest keeps the next boot from opening the volume: the real daemon and the real key work of a
 * boot, side by side, over everything that a key service or what lies before it can answer. Otherwise a guest would go round in circles.
 */
import t from 'tap';
import { hasCode } from '../../../agent/errors.ts';
import { runKeyDaemon } from '../../../agent/keyd/run.ts';
import type { KeyBackend, KeyState, KmsRefusal } from '../../../agent/kms/backend.ts';
import { classifyIam, classifyKms } from '../../../agent/kms/classify.ts';
import { obtainSeed } from '../../../agent/kms/obtain-seed.ts';
import type { TransportFailure } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import {
  keyServiceBody,
  keyServiceRefusals,
  tokenServiceBody,
  tokenServiceRefusals,
} from '../kms/documented-refusals.ts';
import { activeKey, daemonHost, handedVolume, handOver, scriptedBackend } from './daemon-host.ts';

type StateAnswer = Awaited<ReturnType<KeyBackend['keyState']>>;
const minute = 60_000;

const states: readonly KeyState[] = ['preActivation', 'active', 'suspended', 'deactivated', 'destroyed', 'unknown'];
const transport: readonly TransportFailure[] = [
  'lookup',
  'connect',
  'tls',
  'timeout',
  'interrupted',
  'tooLarge',
  'protocol',
];
const refused = (refusal: KmsRefusal): StateAnswer => ({ ...refusal, correlationId: null });

const causes: Readonly<Record<string, StateAnswer>> = {
  ...Object.fromEntries(
    states.map((state): [string, StateAnswer] => [
      `state ${state}`,
      { kind: 'done', value: { state, keyVersion: 'v1' }, correlationId: null },
    ]),
  ),
  ...Object.fromEntries(
    keyServiceRefusals.map((row): [string, StateAnswer] => [
      `key service, ${row.situation}: ${row.status} ${row.code}`,
      refused(classifyKms({ status: row.status, headers: {}, body: Buffer.from(keyServiceBody(row)) })),
    ]),
  ),
  ...Object.fromEntries(
    tokenServiceRefusals.map((row): [string, StateAnswer] => [
      `token service, ${row.situation}: ${row.status} ${row.code}`,
      refused(classifyIam({ status: row.status, headers: {}, body: Buffer.from(tokenServiceBody(row)) })),
    ]),
  ),
  ...Object.fromEntries(
    transport.map((failure): [string, StateAnswer] => [
      `transport: ${failure}`,
      refused({ kind: 'retryable', reason: failure, afterMs: null }),
    ]),
  ),
  'asked for patience': refused({ kind: 'retryable', reason: 'HTTP 429', afterMs: 3_600_000 }),
};

/** Whether the daemon ends the guest when nothing but `answer` comes. */
const daemonEnds = async (answer: StateAnswer, onRevoked: 'grace' | 'immediate'): Promise<boolean> => {
  const host = daemonHost();
  const handed = handOver(host.clock, [handedVolume({ kmsTimeoutMinutes: 1 })]);
  const backend = scriptedBackend(answer);
  const stop = new AbortController();
  const asked: string[] = [];
  const ended = runKeyDaemon(host, {
    handOver: { ...handed, settings: { ...handed.settings, kms: { ...handed.settings.kms, onRevoked } } },
    backendFor: () => backend,
    ask: async (path) => {
      asked.push(path);
      return Buffer.alloc(0);
    },
    signal: stop.signal,
    notify: async () => {},
  });
  await host.clock.advance(3 * minute);
  stop.abort();
  await ended;
  return asked.includes('/run/triseed-verbs/revoke');
};

/** Whether a boot opens when entry 1 says `answer` about its key, although every entry would unwrap the seed. */
const bootOpens = async (answer: StateAnswer, entries: number, kmsTimeoutMinutes: number): Promise<boolean> => {
  const host = { ...daemonHost(), entropy: { bytes: Buffer.alloc, fraction: () => 0.5, uuid: () => 'u' } };
  const willing: KeyBackend = {
    ...scriptedBackend(activeKey()),
    unwrap: async () => ({
      kind: 'done',
      value: { seed3: Secret.fromText('c2VlZA=='), keyVersion: 'v1', rewrapped: null },
      correlationId: null,
    }),
    wrap: async () => ({ kind: 'done', value: { wrapped: 'bmV3', keyVersion: 'v1' }, correlationId: null }),
  };
  const first = { ...willing, keyState: async () => answer };
  const backends = [first, ...Array.from({ length: entries - 1 }, () => willing)];
  const startedAtMs = host.clock.monotonicMs();
  const work = obtainSeed(host, backends, { volume: 'data', stored: 'b2xk', kmsTimeoutMinutes, startedAtMs });
  try {
    (await host.clock.run(work)).seed3.wipe();
    return true;
  } catch (error) {
    if (hasCode(error, 'KMS_UNREACHABLE') || hasCode(error, 'KMS_KEY_NOT_ACTIVE')) return false;
    if (hasCode(error, 'KMS_ACCESS_DENIED') || hasCode(error, 'KMS_CONFIGURATION_REFUSED')) return false;
    if (hasCode(error, 'KMS_UNWRAP_FAILED')) return false;
    throw error;
  }
};

t.test('the daemon ends a guest exactly when the next boot would not open it', async (t) => {
  t.ok(Object.keys(causes).length > 60, `${Object.keys(causes).length} causes`);
  for (const [cause, answer] of Object.entries(causes)) {
    const isFine = cause === 'state active';
    for (const onRevoked of ['grace', 'immediate'] as const)
      t.equal(await daemonEnds(answer, onRevoked), !isFine, `daemon, ${onRevoked}: ${cause}`);
    for (const entries of [1, 3])
      for (const kmsTimeout of [0, 1])
        t.equal(await bootOpens(answer, entries, kmsTimeout), isFine, `boot, ${entries}, ${kmsTimeout} min: ${cause}`);
  }
});

t.test('a service that never answers', async (t) => {
  const host = daemonHost();
  const stop = new AbortController();
  const asked: string[] = [];
  const ended = runKeyDaemon(host, {
    handOver: handOver(host.clock),
    backendFor: () => scriptedBackend('hangs'),
    ask: async (path) => {
      asked.push(path);
      return Buffer.alloc(0);
    },
    signal: stop.signal,
    notify: async () => {},
  });
  await host.clock.advance(11 * minute);
  stop.abort();
  await ended;
  t.strictSame(asked, ['/run/triseed-verbs/revoke']);
});
