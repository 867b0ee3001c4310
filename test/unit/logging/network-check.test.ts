/** The connectivity check on a clock that the test moves: which servers, how long, and what is said meanwhile. */
import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import {
  checkNetwork,
  type LoggingPorts,
  reachedText,
  shownHost,
  targetsOf,
} from '../../../agent/logging/network-check.ts';
import type { LoggingSettings } from '../../../agent/logging/settings.ts';
import { Secret } from '../../../agent/secret.ts';
import type { ConnectionFailure, Connections } from '../../../agent/service-ports.ts';
import { manualClock } from '../../fakes/clock.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';

type Reached = Awaited<ReturnType<Connections['reach']>>;
const lookup: ConnectionFailure = { kind: 'failure', failure: 'lookup', detail: 'ENOTFOUND' };
const connect: ConnectionFailure = { kind: 'failure', failure: 'connect', detail: 'ECONNREFUSED' };

const hostWith = (reach: (attempt: number) => Reached) => {
  const clock = manualClock();
  const base = hostOnFiles();
  let attempts = 0;
  const asked: string[] = [];
  const connections: Connections = {
    reach: async ({ hostname, port }) => {
      asked.push(`${hostname}:${port}`);
      attempts += 1;
      return reach(attempts);
    },
    deliver: async () => lookup,
  };
  const host: LoggingPorts = { ...base, clock, connections };
  return { host, clock, asked, messages: base.messages };
};
const target = { hostname: 'logs.example', port: 6514 };

t.test('reached at once', async (t) => {
  const { host, clock, messages, asked } = hostWith(() => ({ kind: 'reached' }));
  await clock.run(checkNetwork(host, [target, { hostname: 'other', port: 1 }], 300_000));
  t.strictSame(asked, ['logs.example:6514', 'other:1']);
  t.strictSame(messages, []);
});

t.test('a network that comes late: each new reason is said once', async (t) => {
  const answers = [lookup, lookup, lookup, connect, connect];
  const { host, clock, messages } = hostWith((attempt) => answers[attempt - 1] ?? { kind: 'reached' });
  await clock.run(checkNetwork(host, [target], 300_000));
  t.match(messages, [
    { name: 'NETWORK_WAITING', facts: { reason: /ENOTFOUND/ } },
    { name: 'NETWORK_WAITING', facts: { reason: /ECONNREFUSED/ } },
  ]);
  t.equal(messages.length, 2);
});

t.test('a network that does not come: the time is over when it is over, and not before', async (t) => {
  for (const seconds of [1, 20, 300, 3600]) {
    const { host, clock, asked } = hostWith(() => lookup);
    const from = clock.monotonicMs();
    const error = await clock.run(checkNetwork(host, [target, target], seconds * 1000)).then(
      () => null,
      (caught: unknown) => caught,
    );
    if (!(error instanceof AgentError)) throw error;
    t.equal(error.id, 'HPL14002E');
    t.equal(clock.monotonicMs() - from, seconds * 1000);
    t.ok(asked.length >= 2 && asked.length <= 4 + seconds * 4, `${asked.length} attempts in ${seconds} s`);
  }
});

t.test('without time there is one attempt', async (t) => {
  const { host, clock, asked } = hostWith(() => lookup);
  await t.rejects(clock.run(checkNetwork(host, [target], 0)), { code: 'NETWORK_FAILED' });
  t.equal(asked.length, 1);
});

t.test('which servers', async (t) => {
  const key = Secret.fromText('x');
  const syslog: LoggingSettings = { kind: 'syslog', hostname: 'logs.example', port: 6514, ca: '', cert: '', key };
  const router: LoggingSettings = { kind: 'logRouter', hostname: 'x.logs.example', port: 443, apiKey: key, tags: [] };
  const direct = { iam: 'https://iam.example', proxy: null };
  const proxied = { iam: 'https://iam.example', proxy: 'http://proxy.example:3128' };
  t.strictSame(targetsOf(syslog, proxied), [target], 'no proxy for syslog');
  t.strictSame(targetsOf(router, direct), [
    { hostname: 'iam.example', port: 443 },
    { hostname: 'x.logs.example', port: 443 },
  ]);
  t.strictSame(targetsOf(router, proxied), [{ hostname: 'proxy.example', port: 3128 }]);
  t.strictSame(targetsOf(router, { iam: 'http://[::1]:8080/identity', proxy: null })[0], {
    hostname: '::1',
    port: 8080,
  });
});

t.test('an address shows its first half', async (t) => {
  const shown = {
    '10.1.2.3': '10.1.**.**',
    'fd00:1:2::3': 'fd00:1:**',
    'logs.example': 'logs.example',
    '1.2.3.example': '1.2.3.example',
  };
  for (const [host, expected] of Object.entries(shown)) t.equal(shownHost(host), expected);
  t.match(reachedText([{ hostname: '10.1.2.3', port: 6514 }]), /10\.1\.\*\*\.\*\* port 6514/);
  t.match(reachedText([]), /nothing/);
});
