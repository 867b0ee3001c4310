/**
 * The log server of a contract, as the deployer sees it: what arrives there from the first record of a start to the last one of a
 * shutdown, and that nothing starts when it does not take it.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { startIngestion } from '../../../fakes/cloud-logs.ts';
import { Authority, type LogServer, type Pair, startLogServer } from '../../../fakes/log-server.ts';
import type { Guest } from '../../guest/guest.ts';
import { contractText } from '../../world/deployment.ts';
import { fingerprint } from '../image.ts';
import { idsOf, linesWith, stackTraces } from '../journal.ts';
import type { Stage } from '../stage.ts';
import { makeVolume, seeds, volumeText } from '../volume-case.ts';
import { up } from './root-keys.ts';

const logHost = 'logs.example';
const volume = { key: 'data' };

/** The contract of a guest with one volume that logs to `logging`. */
const contractFor = (stage: Stage, logging: unknown): string => {
  const plain = contractText([volumeText(stage, volume)]);
  const changed = plain.replace(/ {2}logging:\n(?: {4}.*\n)+/, () => `  logging: ${JSON.stringify(logging)}\n`);
  if (changed === plain) throw new Error('the contract has no logging section');
  return changed;
};

interface LoggingGuest {
  readonly guest: Guest;
  readonly file: string;
}

const guestWith = async (
  stage: Stage,
  name: string,
  logging: unknown,
  files: Readonly<Record<string, string>> = {},
): Promise<LoggingGuest> => {
  const scratch = stage.folder(name);
  const made = await makeVolume(stage, scratch, volume);
  const guest = await stage.guest(scratch, {
    name,
    volumes: [],
    contract: contractFor(stage, logging),
    disks: made.disks,
    remoteLogging: 'required',
    wholeStart: true,
    options: {
      memoryMiB: 512,
      // Gives the journal to its group, systemd-journald.service(8): the senders are not root.
      wantedUnits: ['systemd-tmpfiles-setup.service', 'triseed.target'],
      files: { '/etc/hosts': `127.0.0.1 localhost\n10.0.2.2 ${logHost}\n`, ...files },
    },
  });
  return { guest, file: made.file };
};

interface Parties {
  readonly authority: Authority;
  readonly client: Pair;
  readonly server: LogServer;
}

const parties = async (t: Test, stage: Stage, name: string): Promise<Parties> => {
  const folder = stage.scratch.path(name);
  mkdirSync(folder);
  const authority = new Authority(join(folder, 'authority'));
  const server = await startLogServer(authority.sign(logHost), authority.cert);
  t.teardown(() => server.close());
  return { authority, client: authority.sign(name), server };
};

const syslog = ({ authority, client, server }: Parties, changes: Readonly<Record<string, unknown>> = {}): unknown => ({
  syslog: {
    hostname: logHost,
    port: server.port,
    server: authority.cert,
    cert: client.cert,
    key: client.key,
    ...changes,
  },
});

/** HEADER SD MSG of RFC 5424; names and texts as a log server files them. */
const readRecord = (record: string): { readonly host: string; readonly app: string; readonly text: string } => {
  const [, host = '', app = '', text = ''] = /^<\d{1,3}>1 \S+ (\S+) (\S+) \S+ \S+ - ?(.*)$/s.exec(record) ?? [];
  return { host, app, text: text.trimStart() };
};

const before = (t: Test, texts: readonly string[], ...order: readonly string[]): void => {
  const places = order.map((wanted) => texts.findIndex((text) => text.includes(wanted)));
  for (const [at, place] of places.entries()) t.not(place, -1, `${order[at]} arrived`);
  t.strictSame(
    places,
    places.toSorted((a, b) => a - b),
    'in this order',
  );
};

const secretsStayed = (t: Test, all: string, { client }: Parties): void => {
  const key = client.key.split('\n')[1] ?? '';
  for (const [what, text] of Object.entries({ key, env: seeds.env, workload: seeds.workload }))
    t.notOk(all.includes(text), `no record holds ${what}`);
};

export const syslogServer = async (t: Test, stage: Stage): Promise<void> => {
  const all = await parties(t, stage, 'syslog');
  const { server } = all;
  const { guest } = await guestWith(stage, 'syslog', syslog(all));
  guest.start();
  t.match(await up(guest), /HPL10001I/);
  await server.waitFor(/HPL10001I/, 60_000);
  const first = server.records.map(readRecord);
  t.match(first[0], { app: 'hpcr-logging', host: 'syslog', text: 'authentication probe' });
  t.strictSame([...new Set(server.clients)], ['syslog'], 'both sides proved themselves');
  t.strictSame([...new Set(first.map(({ host }) => host))], ['syslog']);
  before(
    t,
    first.map(({ text }) => text),
    'authentication probe',
    messages.NETWORK_READY.id,
    messages.LOGGING_SET_UP.id,
    'Logging to remote log server is initiated',
    'contract is valid',
    messages.VOLUMES_DONE.id,
    messages.SERVICES_SUCCEEDED.id,
  );
  t.equal(first.find(({ text }) => text.startsWith(messages.LOGGING_SET_UP.id))?.app, 'hpcr-logging');
  t.equal(first.find(({ text }) => text.startsWith(messages.NETWORK_READY.id))?.app, 'hpcr-networkcheck');
  t.match(guest.consoleText(), /hpcr-logging\[\d+\]: HPL01010I/, 'on the console, too');

  const left = await guest.check("stat -c '%a %U %n' /run/triseed/logging /run/triseed/logging/*");
  t.equal(
    left.trim(),
    [
      '700 root /run/triseed/logging',
      ...['ca.pem', 'cert.pem', 'key.pem', 'rsyslog.conf'].map((name) => `600 root /run/triseed/logging/${name}`),
    ].join('\n'),
  );
  const sender = (await guest.check('systemctl show -p MainPID --value triseed-log-forwarding.service')).trim();
  t.not((await guest.check(`stat -c %U /proc/${sender}`)).trim(), 'root', 'the sender is nobody in particular');
  const seen = await guest.check(`tr '\\0' ' ' </proc/${sender}/cmdline; tr '\\0' ' ' </proc/${sender}/environ`);
  secretsStayed(t, seen, all);

  await outage(t, guest, all);
  await report(t, guest);
  await clockAhead(t, guest);

  await guest.check('echo the last word | systemd-cat -t workload -p warning');
  await guest.run('systemctl --no-block poweroff').catch(() => undefined);
  t.equal(await guest.waitForExit(180_000), 'poweredOff');
  const texts = server.records.map(readRecord);
  before(
    t,
    texts.map(({ text }) => text),
    'the last word',
    'Stopped target triseed-volumes.target',
  );
  secretsStayed(t, server.records.join('\n'), all);
  t.strictSame(stackTraces(guest), []);
};

/** The log server is away while the workload writes: nothing stops, nothing is lost, nothing comes twice. */
const outage = async (t: Test, guest: Guest, { server }: Parties): Promise<void> => {
  guest.cutNetwork();
  await guest.check('for n in 1 2 3 4 5; do echo word $n of the workload; done | systemd-cat -t workload');
  await guest.check('systemctl restart triseed-log-forwarding.service');
  t.equal((await guest.run('systemctl is-active triseed-workload.target')).status, 0, 'the workload goes on');
  guest.mendNetwork();
  await server.waitFor(/word 5 of the workload/, 120_000);
  const words = server.records.flatMap((record) => /word \d of the workload/.exec(record)?.[0] ?? []);
  t.strictSame(
    [...new Set(words)],
    [1, 2, 3, 4, 5].map((n) => `word ${n} of the workload`),
  );
  const probes = server.records.filter((record) => record.includes(messages.VOLUMES_DONE.id));
  t.equal(probes.length, 1, 'a sender that was started again goes on where the other one was');
};

const report = async (t: Test, guest: Guest): Promise<void> => {
  t.equal((await guest.check("stat -c '%a %U' /run/triseed/boot-report.json")).trim(), '600 root');
  const text = await guest.check('cat /run/triseed/boot-report.json');
  t.match(JSON.parse(text), {
    version: 1,
    outcome: 'succeeded',
    bootId: (await guest.check('cat /proc/sys/kernel/random/boot_id')).trim(),
    contract: { logging: 'syslog', sections: { env: { form: 'token', sha256: /^[0-9a-f]{64}$/ } } },
    volumes: [{ volume: volume.key, scenario: 'fresh', mount: '/mnt/data', rootKey: false }],
    failure: null,
  });
  for (const seed of [seeds.env, seeds.workload]) t.notOk(text.includes(seed));
};

/** This contract has no date of expiry, so that the unit ends; with one it stays, and a year more costs it nothing. */
const clockAhead = async (t: Test, guest: Guest): Promise<void> => {
  t.equal((await guest.check('systemctl is-active triseed-notices.service || true')).trim(), 'inactive');
  const date = await guest.check('date -u -d "+40 days" +%Y-%m-%dT%H:%M:%S.000Z');
  const ends = JSON.stringify({ version: 1, contract: date.trim(), certificate: date.trim() });
  await guest.check(`echo '${ends}' >/run/triseed/expiry.json; systemctl --no-block start triseed-notices.service`);
  await guest.waitForText(/HPL12005E/, 60_000);
  const id = (await guest.check('systemctl show -p MainPID --value triseed-notices.service')).trim();
  await guest.check('date -s "+1 year" >/dev/null');
  // Not its processor time, to which the kernel counts what the machine below took from the guest.
  const states = await guest.check(`for n in $(seq 70); do awk '{print $3}' /proc/${id}/stat; sleep 0.5; done`, {
    timeoutMs: 240_000,
  });
  const seen = states.trim().split('\n');
  const asleep = seen.filter((state) => state === 'S').length;
  t.ok(seen.length === 70 && asleep >= 63, `asleep in ${asleep} of ${seen.length} looks: nothing is worked off`);
  const resident = Number(/VmRSS:\s+(\d+) kB/.exec(await guest.check(`cat /proc/${id}/status`))?.[1]);
  t.ok(resident < 120 * 1024, `${resident} KiB`);
  t.equal((await guest.check('systemctl is-active triseed-notices.service')).trim(), 'active');
  const notices = linesWith(guest, 'HPL12007E').length + linesWith(guest, messages.CONTRACT_HAS_EXPIRED.id).length;
  t.ok(notices <= 1, 'at most what the hour brings');
  await guest.check('date -s "-1 year" >/dev/null');
};

/** Each ends the start before a contract is judged or a disk is read, and says why on the console. */
export const noLogServer = async (t: Test, stage: Stage): Promise<void> => {
  const all = await parties(t, stage, 'refusing');
  const stranger = new Authority(stage.scratch.path('stranger'));
  const other = stranger.sign('refusing');
  const cases: readonly (readonly [name: string, logging: unknown, expected: string])[] = [
    ['stranger', syslog(all, { server: stranger.cert }), messages.LOG_SERVER_NOT_USABLE.id],
    ['unknown-client', syslog(all, { cert: other.cert, key: other.key }), messages.LOG_SERVER_NOT_USABLE.id],
    ['wrong-key', syslog(all, { key: other.key }), messages.LOG_KEY_MISSING.id],
    ['unreachable', syslog(all, { port: 1 }), messages.NETWORK_TIMEOUT.id],
  ];
  for (const [name, logging, expected] of cases) {
    const { guest, file } = await guestWith(stage, name, logging);
    const untouched = fingerprint(file);
    guest.start();
    t.equal(await guest.waitForExit(240_000), 'poweredOff', name);
    const ids = idsOf(guest);
    t.ok(ids.includes(expected), `${name}: ${expected} of ${ids.join(' ')}`);
    t.equal(ids.at(-1), messages.SERVICE_FAILED.id, name);
    t.notMatch(guest.consoleText(), /hpcr-contract\[|hpcr-disk/, `${name}: the boot was not started`);
    t.equal(fingerprint(file), untouched, `${name}: the disk is as it was`);
    t.strictSame(stackTraces(guest), [], name);
  }
  t.strictSame(all.server.records, [], 'nobody was told anything');
};

export const cloudLogs = async (t: Test, stage: Stage): Promise<void> => {
  const authority = new Authority(stage.scratch.path('ingestion'));
  const ingestion = await startIngestion(authority.sign(logHost));
  t.teardown(() => ingestion.server.close());
  const logging = { logRouter: { hostname: logHost, port: ingestion.port, iamApiKey: stage.service.apiKey } };
  const { guest } = await guestWith(stage, 'cloud-logs', logging, {
    '/etc/triseed/ca.pem': readFileSync(stage.service.caFile, 'latin1') + authority.cert,
  });
  guest.start();
  t.match(await up(guest), /HPL10001I/);
  const messagesTaken = (): readonly string[] =>
    ingestion.taken.map(({ text }) => String((JSON.parse(String(text)) as { message: unknown }).message));
  const until = async (text: string): Promise<void> => {
    for (let waited = 0; !messagesTaken().some((message) => message.includes(text)); waited += 1) {
      if (waited > 600) throw new Error(`${text} did not arrive\n${guest.lastLines()}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await until(messages.SERVICES_SUCCEEDED.id);
  before(
    t,
    messagesTaken(),
    'authentication probe',
    messages.LOGGING_SET_UP.id,
    messages.VOLUMES_DONE.id,
    messages.SERVICES_SUCCEEDED.id,
  );
  t.strictSame(
    [...new Set(ingestion.taken.map(({ applicationName, computerName }) => `${applicationName} ${computerName}`))],
    ['triseed cloud-logs'],
  );
  const sender = (await guest.check('systemctl show -p MainPID --value triseed-log-router.service')).trim();
  t.not((await guest.check(`stat -c %U /proc/${sender}`)).trim(), 'root');
  const seen = await guest.check(`tr '\\0' ' ' </proc/${sender}/cmdline; tr '\\0' ' ' </proc/${sender}/environ`);
  t.notOk(seen.includes(stage.service.apiKey));

  ingestion.refuse(503);
  await guest.check('echo during the outage | systemd-cat -t workload');
  await guest.waitForText(new RegExp(messages.LOG_DELIVERY_DELAYED.id), 60_000);
  ingestion.refuse(0);
  await until('during the outage');
  await guest.check('systemctl restart triseed-log-router.service; echo after a new start | systemd-cat -t workload');
  await until('after a new start');
  t.equal(messagesTaken().filter((text) => text.startsWith(messages.VOLUMES_DONE.id)).length, 1, 'nothing comes twice');
  await guest.check('echo the last word | systemd-cat -t workload');
  await guest.run('systemctl --no-block poweroff').catch(() => undefined);
  t.equal(await guest.waitForExit(180_000), 'poweredOff');
  before(t, messagesTaken(), 'the last word', 'Stopped target triseed-volumes.target');
  t.notOk(JSON.stringify(ingestion.taken).includes(stage.service.apiKey));
  t.strictSame(stackTraces(guest), []);
};
