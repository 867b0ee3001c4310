import t from 'tap';
import type { AgentConfiguration } from '../../../agent/configuration.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { HandOver } from '../../../agent/keyd/hand-over.ts';
import { parseRecording, type Recording, replay } from '../../../agent/keyd/recording.ts';
import { runKeyDaemon } from '../../../agent/keyd/run.ts';
import type { AskSocket, ServiceReport } from '../../../agent/service-ports.ts';
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
} from '../../unit/keyd/daemon-host.ts';

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
  });
  const finish = async (): Promise<void> => {
    stop.abort();
    await ended;
  };
  return { host, backend, handed, reports, stored, ended, stop, finish };
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

const recordingOf = (host: DaemonHost): Recording => {
  const found = parseRecording(Buffer.from(host.written.get('/run/triseed-keyd/events.json') ?? ''));
  if (found === null) throw new Error('no recording');
  return found;
};

t.test('what was recorded replays to the same messages', async (t) => {
  const backend = scriptedBackend(suspendedKey);
  const daemon = start({ backend });
  await daemon.host.clock.advance(3 * minute);
  backend.answer = activeKey('v2');
  await daemon.host.clock.advance(3 * minute);
  await daemon.finish();
  const replayed = replay(recordingOf(daemon.host));
  t.ok(replayed.length > 30);
  t.ok(replayed.every(({ isSame }) => isSame));
  t.strictSame(
    replayed.flatMap(({ effects }) => effects.flatMap((effect) => (effect.kind === 'message' ? [effect.name] : []))),
    daemon.host.log.filter((line) => !line.startsWith('ask ')),
  );
});

t.test('neither record nor journal ever holds an API key', async (t) => {
  const daemon = start({ backend: scriptedBackend(suspendedKey) });
  await daemon.host.clock.advance(12 * minute);
  const everything = [...daemon.host.written.values(), ...daemon.host.texts, ...daemon.host.log];
  t.notOk(JSON.stringify(everything).includes(apiKeyText));
  await daemon.finish();
});

t.test('settings that are read again', async (t) => {
  const settings = handOver(daemonHost().clock).settings.kms;
  const asking = (read: () => Promise<AgentConfiguration['kms']>) => {
    let hang: () => void = () => {};
    const host = daemonHost();
    const backend = scriptedBackend();
    const made: string[] = [];
    const stop = new AbortController();
    const reports: ServiceReport[] = [];
    const ended = runKeyDaemon(host, {
      handOver: handOver(host.clock),
      backendFor: (_, __, { iam }) => {
        made.push(iam);
        return backend;
      },
      ask: async () => Buffer.from(''),
      signal: stop.signal,
      notify: async (report) => {
        reports.push(report);
      },
      reloads: {
        subscribe: (listener) => {
          hang = listener;
          return () => {
            hang = () => t.fail('nobody listens any more');
          };
        },
        read: async () => ({ host, settings: await read() }),
      },
    });
    const finish = async (): Promise<void> => {
      stop.abort();
      await ended;
    };
    return { host, backend, made, reports, finish, hangUp: () => hang() };
  };

  t.test('hold from then on, for how often and for whom is asked', async (t) => {
    const daemon = asking(async () => ({ ...settings, pollSeconds: 10, iam: 'https://other' }));
    await daemon.host.clock.advance(5 * minute);
    t.equal(daemon.backend.calls.length, 6);
    daemon.hangUp();
    daemon.hangUp();
    await daemon.host.clock.advance(minute);
    t.ok(daemon.backend.calls.length >= 12, 'polled at once, then every ten seconds');
    t.strictSame([...new Set(daemon.made)], ['https://iam.cloud.ibm.com', 'https://other']);
    t.strictSame([...new Set(daemon.host.log)], ['KEY_DAEMON_STARTED', 'SETTINGS_RELOADED']);
    t.equal(daemon.reports.at(-1)?.watchdogMs, 80_000, 'the watchdog follows');
    await daemon.finish();
  });

  t.test('never lengthen a grace, and may make a refusal act at once', async (t) => {
    const patient = asking(async () => ({ ...settings, pollSeconds: 3600 }));
    patient.backend.answer = suspendedKey;
    await patient.host.clock.advance(2 * minute);
    patient.hangUp();
    await patient.host.clock.advance(9 * minute - 1);
    t.notOk(patient.host.log.includes('REBOOT_WARNING'));
    await patient.host.clock.advance(1);
    t.ok(patient.host.log.includes('REBOOT_WARNING'), 'eleven minutes after the proof of boot, as before');
    await patient.finish();
    const strict = asking(async () => ({ ...settings, onRevoked: 'immediate' as const }));
    strict.backend.answer = suspendedKey;
    await strict.host.clock.advance(minute);
    strict.hangUp();
    await strict.host.clock.advance(second);
    t.ok(strict.host.log.includes('REBOOT_WARNING'));
    await strict.finish();
  });

  t.test('change nothing when they are wrong', async (t) => {
    const daemon = asking(async () => {
      throw new AgentError('CONFIGURATION_INVALID', { path: 'agent.yaml', reason: 'no' });
    });
    await daemon.host.clock.advance(minute);
    daemon.hangUp();
    await daemon.host.clock.advance(10 * minute);
    t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED', 'SETTINGS_NOT_RELOADED']);
    t.equal(daemon.backend.calls.length, 12);
    await daemon.finish();
  });
});

t.test('ten thousand healthy polls: nothing is said, nothing is done, nothing grows', async (t) => {
  const daemon = start();
  await settle();
  const written: number[] = [];
  for (let thousand = 0; thousand < 10; thousand += 1) {
    const year = thousand % 2 === 0 ? '2025' : '2028';
    daemon.host.clock.setWallClock(new Date(`${year}-01-01T00:00:00Z`));
    await daemon.host.clock.advance(1_000 * minute);
    written.push([...daemon.host.written.values()].reduce((total, text) => total + text.length, 0));
  }
  t.equal(daemon.backend.calls.length, 10_001);
  t.equal(daemon.reports.length, 10_001, 'each has fed the watchdog');
  t.strictSame(daemon.host.log, ['KEY_DAEMON_STARTED']);
  t.ok((written.at(-1) ?? 0) - (written[0] ?? 0) < 200, `files stay as long as they are: ${written.join(', ')}`);
  await daemon.finish();
});
