/** `triseed network check` and `triseed logging configure` as systemd calls them: what they believe, say and refuse. */
import t from 'tap';
import { boot } from '../../../agent/boot.ts';
import { type LoggingContext, loggingCommand, networkCommand } from '../../../agent/cli/logging.ts';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { Host } from '../../../agent/ports.ts';
import type { Connections } from '../../../agent/service-ports.ts';
import { manualClock } from '../../fakes/clock.ts';
import { filesInMap } from '../../fakes/files-in-map.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { fakeHttp } from '../../fakes/http.ts';

const contract = (logging: string | null): string =>
  `workload: |\n  type: workload\n  play: {}\nenv: |\n  type: env\n${logging === null ? '' : `  logging: ${logging}\n`}`;
const router = '{ logRouter: { hostname: 10.1.2.3, iamApiKey: PLANTED-log-key } }';

interface Given {
  readonly contract?: string;
  readonly configuration?: string;
  readonly trustedSigners?: readonly string[];
  readonly reached?: boolean;
  /** An earlier check found remote logging switched off. */
  readonly wasOff?: boolean;
}

const called = async (words: readonly string[], given: Given = {}) => {
  const base = hostOnFiles();
  const clock = manualClock();
  const files = filesInMap({
    '/contract': given.contract ?? contract(router),
    '/proc/sys/kernel/hostname': 'guest\n',
    '/proc/sys/kernel/random/boot_id': '6f0f7a8e-6d2b-4a0b-9c58-0f6f6f1d2c3b\n',
    ...(given.wasOff ? { '/run/triseed/logging-off': '' } : {}),
  });
  const http = fakeHttp(clock, ({ url }) =>
    url.endsWith('/identity/token')
      ? { status: 200, body: { access_token: 'token', expires_in: 3600 } }
      : { status: 200 },
  );
  const host: Host = { ...base, files, clock, http: http.send };
  const settings = parseConfiguration(
    `contract: { sources: [ { file: /contract } ], trustedSigners: ${JSON.stringify(given.trustedSigners ?? [])} }\n${given.configuration ?? ''}`,
  );
  const asked: string[] = [];
  const connections: Connections = {
    reach: async ({ hostname, port }) => {
      asked.push(`${hostname}:${port}`);
      return given.reached === false
        ? { kind: 'failure', failure: 'connect', detail: 'ECONNREFUSED' }
        : { kind: 'reached' };
    },
    deliver: async () => ({ kind: 'delivered', names: [] }),
  };
  let stdout = '';
  const context: LoggingContext = {
    configured: async () => ({ settings, host }),
    plainHost: async () => host,
    httpWith: async () => http.send,
    connections: async () => connections,
    followJournal: () => {
      throw new Error('nothing is followed here');
    },
    credentialsFolder: null,
    signal: new AbortController().signal,
  };
  const io = {
    stdin: async () => Buffer.alloc(0),
    stdout: (text: string | Uint8Array) => {
      stdout += String(text);
    },
    stderr: () => {},
    isTerminal: false,
    setExitStatus: () => {},
  };
  const [group = '', ...rest] = words;
  const command = group === 'network' ? networkCommand(context, io) : loggingCommand(context, io);
  const error = await clock.run(
    command.parseAsync(rest, { from: 'user' }).then(
      () => null,
      (caught: unknown) => caught,
    ),
  );
  const code = error === null ? null : error instanceof AgentError ? error.code : String(error);
  const left = [...files.files.keys()].filter((path) => path.startsWith('/run/triseed/logging/'));
  const skipsLogging = files.files.has('/run/triseed/logging-off');
  const bootAfter = (text: string): Promise<unknown> => {
    files.files.set('/contract', { bytes: Buffer.from(text), mode: 0o600 });
    files.folders.set('/', 0o755);
    const disks = { ...base.disks, list: async () => [] };
    const booting = boot({ ...host, disks }, settings, { credentialsFolder: null });
    return clock.run(booting.then(() => null).catch((caught: AgentError) => caught.code ?? caught));
  };
  return {
    code,
    stdout,
    asked,
    sent: http.sent,
    left,
    skipsLogging,
    said: base.messages.map(({ name }) => name),
    bootAfter,
  };
};
const check = ['network', 'check'];
const configure = ['logging', 'configure'];

t.test('a log server that is there: one line for journal and console, addresses by their first half', async (t) => {
  const network = await called(check);
  t.equal(network.code, null);
  t.strictSame(network.asked, ['iam.cloud.ibm.com:443', '10.1.2.3:443']);
  t.equal(
    network.stdout,
    'HPL14000I: network connectivity check succeeded: iam.cloud.ibm.com port 443, 10.1.**.** port 443\n',
  );
  const logging = await called(configure);
  t.equal(logging.code, null);
  t.equal(logging.stdout, 'HPL01010I: logging has been set up: 10.1.**.** took a first record\n');
  t.strictSame(logging.left, ['/run/triseed/logging/log-router.json']);
  t.notMatch(network.stdout + logging.stdout, /PLANTED/);
});

t.test('one that is not: the id is journalled under its stage, and the command fails', async (t) => {
  const { code, said, stdout } = await called(check, {
    reached: false,
    configuration: 'logging: { waitSeconds: 5 }\n',
  });
  t.equal(code, 'NETWORK_TIMEOUT');
  t.strictSame(said, ['NETWORK_WAITING', 'NETWORK_TIMEOUT']);
  t.equal(stdout, '');
});

t.test('no logging section, and remote logging switched off', async (t) => {
  for (const [given, said] of [
    [{ contract: contract(null) }, 'LOGGING_ABSENT'],
    [{ configuration: 'logging: { remote: off }\n' }, 'REMOTE_LOGGING_OFF'],
    [{ contract: 'no contract at all', configuration: 'logging: { remote: off }\n' }, 'REMOTE_LOGGING_OFF'],
  ] as const) {
    const network = await called(check, given);
    t.equal(network.code, null);
    t.strictSame(network.asked, []);
    const isOff = said === 'REMOTE_LOGGING_OFF';
    t.equal(network.skipsLogging, isOff, 'a condition of triseed-logging.service');
    t.strictSame(network.said, isOff ? [said] : []);
    const logging = await called(configure, given);
    t.equal(logging.code, null);
    t.strictSame(logging.said, [said]);
    t.strictSame([logging.sent, logging.left], [[], []], 'nothing is sent, nothing is left');
  }
});

t.test('remote logging that was switched off, and is on again: nothing is skipped', async (t) => {
  const { code, skipsLogging } = await called(check, { wasOff: true });
  t.equal(code, null);
  t.notOk(skipsLogging);
});

t.test('an image that pins its signers believes no log server of a contract that nobody has signed', async (t) => {
  for (const words of [check, configure]) {
    const { code, asked, sent, left } = await called(words, { trustedSigners: ['ab'.repeat(32)] });
    t.equal(code, 'CONTRACT_UNSIGNED');
    t.strictSame([asked, sent, left], [[], [], []], 'nobody is asked');
  }
});

t.test('a contract that cannot be read or is wrong where logging is concerned', async (t) => {
  for (const [text, expected] of [
    ['workload: [', 'CONTRACT_NOT_OPENED'],
    [contract('{}'), 'LOGGING_INVALID'],
  ] as const)
    for (const words of [check, configure]) {
      const { code, said } = await called(words, { contract: text });
      t.equal(code, expected);
      t.strictSame(said, [expected]);
    }
});

t.test('a host that shows the boot another contract than the one whose log server was set up', async (t) => {
  const other = contract('{ logRouter: { hostname: 10.9.9.9, iamApiKey: PLANTED-other-key } }');
  for (const first of [contract(router), contract(null)]) {
    const { bootAfter } = await called(configure, { contract: first });
    t.equal(await bootAfter(other), 'CONTRACT_CHANGED');
    t.not(await bootAfter(first), 'CONTRACT_CHANGED', 'the same one');
  }
  const { bootAfter: boots } = await called(configure);
  t.equal(await boots(contract(router)), null, 'the same one is booted');
  const { bootAfter } = await called(check);
  t.equal(await bootAfter(other), null, 'logging was not set up from any');
  const off = await called(configure, { configuration: 'logging: { remote: off }\n' });
  t.equal(await off.bootAfter(other), null, 'nothing of a contract was used before');
});
