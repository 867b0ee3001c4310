import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { type HandOver, watchConfigurationOf } from '../../../agent/keyd/hand-over.ts';
import { prepare, step } from '../../../agent/keyd/machine.ts';
import { runKeyDaemon } from '../../../agent/keyd/run.ts';
import type { Event } from '../../../agent/keyd/state.ts';
import type { AskSocket, ServiceReport } from '../../../agent/ports.ts';
import { settle } from '../../fakes/clock.ts';
import {
  activeKey,
  apiKeyText,
  type DaemonHost,
  daemonHost,
  handedVolume,
  handOver,
  type ScriptedBackend,
  scriptedBackend,
  suspendedKey,
} from './daemon-host.ts';

const second = 1000;
const minute = 60 * second;

const start = (
  given: {
    readonly host?: DaemonHost;
    readonly backend?: ScriptedBackend;
    readonly handed?: (host: DaemonHost) => HandOver;
    readonly ask?: AskSocket;
  } = {},
) => {
  const host = given.host ?? daemonHost();
  const backend = given.backend ?? scriptedBackend();
  const handed = given.handed?.(host) ?? handOver(host.clock);
  const stop = new AbortController();
  const reports: ServiceReport[] = [];
  const events: Event[] = [];
  const stored: string[] = [];
  const ended = runKeyDaemon(host, {
    handOver: handed,
    backendFor: () => backend,
    ask:
      given.ask ??
      (async (path, question) => {
        host.log.push(`ask ${path}`);
        if (question.length > 0) stored.push(Buffer.from(question).toString());
        return Buffer.from(question.length > 0 ? '{"stored":true}' : '');
      }),
    signal: stop.signal,
    notify: async (report) => {
      reports.push(report);
    },
    record: (event) => events.push(JSON.parse(JSON.stringify(event))),
  });
  const finish = async (): Promise<void> => {
    stop.abort();
    await ended;
  };
  return { host, backend, handed, reports, events, stored, ended, stop, finish };
};

t.test(
  'watches quietly, reports to systemd after each finished poll, ends on request and wipes its keys',
  async (t) => {
    const daemon = start();
    await settle();
    t.match(daemon.reports, [{ ready: true, alive: true, watchdogMs: 3 * minute }]);
    await daemon.host.clock.advance(10 * minute);
    t.equal(daemon.backend.calls.length, 11);
    t.equal(daemon.reports.length, 11);
    t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED']);
    await daemon.finish();
    t.throws(() => daemon.handed.volumes[0]?.apiKey.expose((bytes) => bytes.length), TypeError);
    t.equal(daemon.host.clock.sleeping, 0, 'nothing is left that could hold the process');
  },
);

t.test('a rotation is stored once', async (t) => {
  const daemon = start();
  await settle();
  daemon.backend.answer = activeKey('v2');
  await daemon.host.clock.advance(30 * minute);
  const crn = 'crn:v1:bluemix:public:kms:us-south:a/1:2:key:3';
  t.strictSame(
    daemon.stored.map((text) => JSON.parse(text)),
    [{ version: 1, volume: 'data', crn, wrapped: 'bmV3', keyVersion: 'v2' }],
  );
  t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED', 'ask /run/triseed-verbs/store', 'KEY_ROTATED']);
  t.strictSame(
    daemon.backend.calls.filter((call) => call !== 'keyState'),
    ['rewrap old'],
  );
  daemon.backend.rewrapAnswer = {
    kind: 'done',
    value: { wrapped: 'bmV3ZXN0', keyVersion: 'v3' },
    correlationId: null,
  };
  daemon.backend.answer = activeKey('v3');
  await daemon.host.clock.advance(2 * minute);
  t.match(JSON.parse(daemon.stored[1] ?? ''), { wrapped: 'bmV3ZXN0', keyVersion: 'v3' });
  t.ok(daemon.backend.calls.includes('rewrap bmV3'), 'the second rotation starts from what the first one stored');
  await daemon.finish();
});

t.test('a store that fails is tried again until it succeeds; polling goes on', async (t) => {
  let failures = 2;
  const daemon = start({
    backend: scriptedBackend(activeKey('v2')),
    ask: async () => {
      if (failures-- > 0) throw new Error(apiKeyText);
      return Buffer.from('{"stored":true}');
    },
  });
  await daemon.host.clock.advance(20 * minute);
  t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED', 'SAVE_KEY_FAILED', 'SAVE_KEY_FAILED', 'KEY_ROTATED']);
  t.notOk(daemon.host.texts.join().includes(apiKeyText), 'the wording of a foreign error is not journalled');
  t.ok(daemon.backend.calls.length > 20);
  await daemon.finish();
});

t.test('suspended: warning, grace, revocation through its unit, in this order and in time', async (t) => {
  const daemon = start();
  await settle();
  daemon.backend.answer = suspendedKey;
  await daemon.host.clock.advance(11 * minute - second);
  t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED', 'KEY_NOT_VALID']);
  const polls = daemon.backend.calls.length;
  t.ok(polls > 50, 'polled more often in grace');
  await daemon.host.clock.advance(second);
  t.strictSame(daemon.host.log.slice(2), ['REBOOT_WARNING', 'ask /run/triseed-verbs/revoke']);
  t.match(JSON.parse(daemon.host.written.get('/run/triseed-keyd/state.json') ?? ''), {
    revocation: { volume: 'data' },
  });
  await daemon.host.clock.advance(10 * minute);
  t.equal(daemon.host.log.length, 4, 'it waits for the restart and does nothing else');
  await daemon.finish();
});

t.test('active again within kmsTimeout: nothing happens but two messages', async (t) => {
  const daemon = start({ backend: scriptedBackend(suspendedKey) });
  await daemon.host.clock.advance(9 * minute);
  daemon.backend.answer = activeKey();
  await daemon.host.clock.advance(60 * minute);
  t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED', 'KEY_NOT_VALID', 'KEY_REACHABLE']);
  await daemon.finish();
});

t.test('a service that never answers is cut at the deadline, and never has two requests of one key', async (t) => {
  const backend = scriptedBackend('hangs');
  const daemon = start({ backend });
  await daemon.host.clock.advance(11 * minute - 1);
  t.notOk(daemon.host.log.includes('REBOOT_WARNING'));
  t.equal(backend.open(), 1);
  await daemon.host.clock.advance(1);
  t.ok(daemon.host.log.includes('REBOOT_WARNING'));
  t.equal(backend.calls.length, 1);
  await daemon.finish();
});

t.test('a backend that throws counts as unreachable and is reported as a bug', async (t) => {
  const daemon = start({ backend: scriptedBackend(new RangeError(apiKeyText)) });
  await daemon.host.clock.advance(11 * minute);
  t.ok(daemon.host.log.includes('UNEXPECTED_FAILURE'));
  t.ok(daemon.host.log.includes('REBOOT_WARNING'));
  t.notOk(daemon.host.texts.join().includes(apiKeyText));
  await daemon.finish();
});

t.test('a moved wall clock changes nothing', async (t) => {
  for (const year of ['1990', '2090']) {
    const daemon = start();
    await settle();
    daemon.host.clock.setWallClock(new Date(`${year}-01-01T00:00:00Z`));
    await daemon.host.clock.advance(30 * minute);
    t.equal(daemon.backend.calls.length, 31);
    t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED']);
    await daemon.finish();
  }
});

t.test('killed and started again in grace, it keeps the deadline of the first', async (t) => {
  const host = daemonHost();
  const provenAtMs = host.clock.monotonicMs();
  const handed = (): HandOver => ({ ...handOver(host.clock), provenAtMs });
  const first = start({ host, backend: scriptedBackend(suspendedKey), handed });
  await host.clock.advance(6 * minute);
  await first.finish();
  const second = start({ host, backend: scriptedBackend(suspendedKey), handed });
  await host.clock.advance(5 * minute - 1);
  t.notOk(host.log.includes('REBOOT_WARNING'));
  await host.clock.advance(1);
  t.ok(host.log.includes('REBOOT_WARNING'));
  await second.finish();
});

t.test('when systemd does not take the revocation the daemon fails, so that its unit revokes', async (t) => {
  const host = daemonHost();
  let asked = 0;
  const ask: AskSocket = async (path) => {
    asked += 1;
    throw new AgentError('SOCKET_NO_ANSWER', { path, reason: 'ECONNREFUSED' });
  };
  const daemon = start({ host, backend: scriptedBackend(suspendedKey), ask });
  const failure = t.rejects(daemon.ended, { code: 'REVOKE_NOT_STARTED' });
  await host.clock.advance(12 * minute);
  await failure;
  t.equal(asked, 3);
});

t.test('power: report only tells', async (t) => {
  const daemon = start({
    backend: scriptedBackend(suspendedKey),
    handed: (host) => handOver(host.clock, [handedVolume()], 'report'),
  });
  await daemon.host.clock.advance(11 * minute);
  t.equal(daemon.host.log.at(-1), 'restart');
  await daemon.finish();
});

t.test('an unreadable record of an earlier daemon is an error, not a fresh start', async (t) => {
  const host = daemonHost();
  host.written.set('/run/triseed-keyd/state.json', '{"version":1');
  await t.rejects(start({ host }).ended, { code: 'KEY_DAEMON_CONFIGURATION' });
});

t.test('a recorded run replays to the same messages', async (t) => {
  const backend = scriptedBackend(suspendedKey);
  const daemon = start({ backend });
  const configuration = watchConfigurationOf(daemon.handed);
  await daemon.host.clock.advance(3 * minute);
  backend.answer = activeKey('v2');
  await daemon.host.clock.advance(3 * minute);
  await daemon.finish();
  let state = prepare(configuration);
  const told = daemon.events.flatMap((event) => {
    const answered = step(state, event);
    state = answered.state;
    return answered.effects.flatMap((effect) => (effect.kind === 'message' ? [effect.name] : []));
  });
  t.strictSame(
    told,
    daemon.host.log.filter((line) => !line.startsWith('ask ')),
  );
});

t.test('neither record nor journal ever holds an API key', async (t) => {
  const daemon = start({ backend: scriptedBackend(suspendedKey) });
  await daemon.host.clock.advance(12 * minute);
  const everything = [...daemon.host.written.values(), ...daemon.host.texts, ...daemon.host.log, ...daemon.events];
  t.notOk(JSON.stringify(everything).includes(apiKeyText));
  await daemon.finish();
});
