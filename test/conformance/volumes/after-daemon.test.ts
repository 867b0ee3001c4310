/**
 * What a boot makes of what the key daemon left behind: a wrapped seed that cannot be used, and a restart by the daemon. Disks are files with
 * real cryptsetup; the key service is our own.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import t from 'tap';
import type { HandOver } from '../../../agent/keyd/hand-over.ts';
import { countRestart, readRestarts, settleRestarts } from '../../../agent/keyd/restart-record.ts';
import { noRestarts } from '../../../agent/keyd/restarts.ts';
import { storeAsAsked } from '../../../agent/keyd/store-verb.ts';
import { backendFor } from '../../../agent/kms/backends.ts';
import type { Command, CommandResult, HttpRequest } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import type { Opened } from '../../../agent/volumes/open-all.ts';
import { applyAll, prepareAll } from '../../../agent/volumes/open-all.ts';
import { localKms } from '../../fakes/local-kms.ts';
import { type Machine, machineOnFiles } from '../../fakes/machine-on-files.ts';
import {
  bootOn,
  type Keys,
  type MachineScenario,
  machineScenarios,
  settingsFor,
  volumeOf,
} from './machine-scenarios.ts';

t.setTimeout(300_000);
const root = t.testdir({});
let count = 0;
const kms = await localKms({
  now: () => new Date(1_800_000_000_000),
  monotonicMs: () => 1_000_000,
  sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
});
const keys: Keys = { kms, main: await kms.createKey(), other: await kms.createKey() };
const steady = machineScenarios.find(({ name }) => name === 'opened again') as MachineScenario;

/** A machine whose volume was opened by an earlier boot. */
const openedBefore = async (send = kms.http.send): Promise<{ readonly folder: string; readonly machine: Machine }> => {
  count += 1;
  const folder = `${root}/${count}`;
  mkdirSync(folder);
  await steady.make(folder, keys);
  return { folder, machine: await machineOnFiles(folder, send) };
};
const plans = ({ host }: Machine): readonly unknown[] =>
  host.messages.filter(({ name }) => name === 'VOLUME_PLAN').map(({ facts }) => (facts as { steps: string }).steps);

/** The hand-over of the boot that opened `machine`'s volume, as the store verb reads it. */
const handedOver = ({ host }: Machine, [opened]: readonly Opened[]): HandOver => {
  if (opened === undefined || opened.applied.stored === null) throw new Error('nothing was opened');
  const { mount, device, metadataDevice, mapping, luksUuid, stored } = opened.applied;
  const entry = { crn: kms.entry(keys.main).crn, type: 'public', apiKey: Secret.fromText('unused') } as const;
  const volume = {
    key: 'data',
    mount,
    device,
    metadataDevice,
    mapping,
    luksUuid,
    ...stored,
    kmsTimeoutMinutes: 0,
    ...entry,
  };
  return {
    version: 1,
    bootId: 'boot',
    provenAtMs: host.clock.monotonicMs(),
    volumes: [volume],
    settings: { kms: kms.settings, paths: { run: '/run', state: '/state' }, power: 'systemd' },
  };
};

t.test('a stored seed that nobody can unwrap, or that is another one, costs nothing', async (t) => {
  const made = await backendFor(kms.host, kms.entry(keys.main), kms.settings).generateAndWrap();
  if (made.kind !== 'done') throw new Error(made.kind);
  const wrong = { 'that nobody can unwrap': 'bm90aGluZw==', 'that is another one': made.value.wrapped };
  for (const [name, wrapped] of Object.entries(wrong)) {
    const { folder, machine } = await openedBefore();
    const opened = await bootOn(machine.host, machine, volumeOf(steady, folder, keys), keys);
    const handed = handedOver(machine, opened);
    const request = { version: 1, volume: 'data', crn: handed.volumes[0]?.crn, wrapped, keyVersion: 'v9' };
    t.strictSame(
      await storeAsAsked(machine.host, handed, Buffer.from(JSON.stringify(request)), []),
      { stored: true },
      name,
    );
    await machine.restart();
    await bootOn(machine.host, machine, volumeOf(steady, folder, keys), keys);
    await machine.restart();
    await bootOn(machine.host, machine, volumeOf(steady, folder, keys), keys);
    t.strictSame(
      plans(machine),
      ['open → mount', 'commit-token → open → make-metadata → mount', 'open → mount'],
      `${name}: what the boot before had proven opens the volume, and is stored anew`,
    );
    const told = machine.host.messages.filter((message) => message.name === 'STORED_SEED_FROM_KEYFILE');
    t.equal(told.length, 1, `${name}: told once`);
  }
});

t.test('one that nobody can unwrap is not waited for while the keyfile has another', async (t) => {
  const { folder, machine } = await openedBefore((request) =>
    request.url.includes(`/keys/${keys.other}`)
      ? Promise.resolve({ kind: 'failure', failure: 'connect', detail: 'a service that was given up' })
      : kms.http.send(request),
  );
  const opened = await bootOn(machine.host, machine, volumeOf(steady, folder, keys), keys);
  const handed = handedOver(machine, opened);
  const request = {
    version: 1,
    volume: 'data',
    crn: handed.volumes[0]?.crn,
    wrapped: 'bm90aGluZw==',
    keyVersion: 'v9',
  };
  await storeAsAsked(machine.host, handed, Buffer.from(JSON.stringify(request)), []);
  await machine.restart();
  const startedAtMs = machine.host.clock.monotonicMs();
  const entries = { entries: ['main', 'other'], rolls: false } as const;
  const volume = { ...volumeOf(entries, folder, keys), kmsTimeoutMinutes: 10 };
  t.equal((await bootOn(machine.host, machine, volume, keys)).length, 1);
  t.equal(machine.host.clock.monotonicMs() - startedAtMs, 0, 'milliseconds waited');
});

t.test('the first question after a restart by the daemon comes late, and only then', async (t) => {
  const requestsAtMs: number[] = [];
  const { folder, machine } = await openedBefore((request) => {
    requestsAtMs.push(machine.host.clock.monotonicMs());
    return kms.http.send(request);
  });
  const [metadata = ''] = machine.partitions();
  const boot = async (stagger: number, kmsTimeoutMinutes: number, pollSeconds = 60) => {
    const startedAtMs = machine.host.clock.monotonicMs();
    requestsAtMs.length = 0;
    const { kms, ...others } = settingsFor(machine.run, keys);
    const preparation = { settings: { ...others, kms: { ...kms, pollSeconds } }, startedAtMs, stagger };
    const volume = { ...volumeOf(steady, folder, keys), kmsTimeoutMinutes };
    // Of its own, as tokens are kept for it: what boots has none.
    const host = { ...machine.host, http: (request: HttpRequest) => machine.host.http(request) };
    const opened = await applyAll(host, await prepareAll(host, [volume], preparation), preparation);
    await machine.restart();
    const firstAskedMs = Math.min(...requestsAtMs) - startedAtMs;
    return { waitedMs: machine.host.clock.monotonicMs() - startedAtMs, firstAskedMs, opened };
  };
  const said = () => machine.host.messages.filter(({ name }) => name === 'FIRST_QUESTION_DELAYED').length;
  t.equal((await boot(0.99, 10)).waitedMs, 0, 'no restart by the daemon');
  const cases = [
    ['half of thirty seconds', 0.5, 10, 15_000],
    ['the longest', 0.999, 10, 29_970],
    ['none by luck', 0, 10, 0],
    ['never more than half of kmsTimeout', 0.5, 0.5, 7_500],
    ['one pass over all entries comes late, too', 0.5, 0, 15_000],
    ['never more than the time between two polls', 0.5, 10, 2_500, 5],
  ] as const;
  for (const [name, stagger, kmsTimeout, expectedMs, pollSeconds] of cases) {
    await countRestart(machine.host, [metadata], 60 * 60_000);
    const before = said();
    const { waitedMs, firstAskedMs, opened } = await boot(stagger, kmsTimeout, pollSeconds);
    t.equal(waitedMs, expectedMs, name);
    t.equal(firstAskedMs, expectedMs, `${name}: not even for a token`);
    t.equal(said() - before, expectedMs === 0 ? 0 : 1, `${name}: told`);
    const [{ restarts } = { restarts: null }] = opened;
    t.equal(restarts?.path, metadata);
    await settleRestarts(machine.host, metadata, restarts?.known ?? noRestarts);
    const settled = await readRestarts(machine.host, metadata);
    t.strictSame(settled, { pending: false, guardedMs: restarts?.known.guardedMs });
    t.equal((await boot(stagger, kmsTimeout)).waitedMs, 0, `${name}: not again`);
  }
  execFileSync('e2fsck', ['-f', '-n', metadata], { stdio: 'ignore' });
});

t.test('the key service gets ready while the disk settles', async (t) => {
  const asked: string[] = [];
  let heard = (): void => {};
  const { folder, machine } = await openedBefore((request) => {
    asked.push(new URL(request.url).pathname);
    heard();
    return kms.http.send(request);
  });
  let askedWhileSettling: readonly string[] | null = null;
  const host = {
    ...machine.host,
    files: {
      ...machine.host.files,
      // udev has something to do.
      read: async (path: string, maxBytes: number) =>
        path === '/run/udev/queue' ? Buffer.alloc(0) : machine.host.files.read(path, maxBytes),
    },
    run: async (command: Command): Promise<CommandResult> => {
      if (command.args[0] === 'settle' && askedWhileSettling === null) {
        const limit = setTimeout(() => heard(), 10_000);
        if (asked.length === 0)
          await new Promise<void>((resolve) => {
            heard = resolve;
          });
        clearTimeout(limit);
        askedWhileSettling = [...asked];
      }
      return machine.host.run(command);
    },
  };
  await bootOn(host, machine, volumeOf(steady, folder, keys), keys);
  t.strictSame(askedWhileSettling, ['/identity/token']);
  t.equal(asked.filter((path) => path === '/identity/token').length, 1, 'once');
});

t.test('an early request for a token that breaks changes nothing', async (t) => {
  let breaks = true;
  const { folder, machine } = await openedBefore((request) => {
    if (!breaks) return kms.http.send(request);
    breaks = false;
    throw new Error('a bug below');
  });
  // Of its own, as tokens are kept for it.
  const host = { ...machine.host, http: (request: HttpRequest) => machine.host.http(request) };
  const opened = await bootOn(host, machine, volumeOf(steady, folder, keys), keys);
  t.equal(breaks, false, 'it was sent, and broke');
  t.equal(opened.length, 1);
});
