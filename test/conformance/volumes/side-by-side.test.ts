/** What somebody asks of a volume while a boot is at it takes nothing away from the boot. Disks are files with real cryptsetup. */
import { mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { withBootLock } from '../../../agent/volumes/lock.ts';
import { applyAll, prepareAll, rehearseAll } from '../../../agent/volumes/open-all.ts';
import { localKms } from '../../fakes/local-kms.ts';
import { dataKeyOf, type Machine, machineOnFiles } from '../../fakes/machine-on-files.ts';
import { bootOn, type Keys, machineScenarios, settingsFor, volumeOf } from './machine-scenarios.ts';

t.setTimeout(300_000);
const root = t.testdir({});
const kms = await localKms({
  now: () => new Date(1_800_000_000_000),
  monotonicMs: () => 1_000_000,
  sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
});
const keys: Keys = { kms, main: await kms.createKey(), other: await kms.createKey() };

let count = 0;

const made = async (
  name: string,
  send = kms.http.send,
): Promise<{ readonly folder: string; readonly machine: Machine }> => {
  const scenario = machineScenarios.find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  count += 1;
  const folder = `${root}/${count}`;
  mkdirSync(folder);
  await scenario.make(folder, keys);
  return { folder, machine: await machineOnFiles(folder, send) };
};
const three = { entries: ['main'], rolls: false } as const;

t.test('a rehearsal beside a boot that waits', async (t) => {
  const { folder, machine } = await made('opened again');
  const volume = volumeOf(three, folder, keys);
  const preparation = { settings: settingsFor(machine.run, keys), startedAtMs: machine.host.clock.monotonicMs() };
  const prepared = await prepareAll(machine.host, [volume], preparation);
  t.equal((await rehearseAll(machine.host, [volumeOf(three, folder, keys)], preparation)).length, 1);
  t.equal((await applyAll(machine.host, prepared, preparation)).length, 1, 'and the boot goes on');
});

t.test('two boots of a fresh disk: one makes it, under the header that is on the disk', async (t) => {
  const { folder, machine } = await made('fresh');
  let steps = 0;
  const boot = () =>
    withBootLock(machine.host, async () => {
      steps += 1;
      t.equal(steps, 1, 'one at a time');
      try {
        return await bootOn(machine.host, machine, volumeOf(three, folder, keys), keys);
      } finally {
        steps -= 1;
      }
    });
  const ends = await Promise.allSettled([boot(), boot()]);
  t.equal(ends.filter(({ status }) => status === 'fulfilled').length, 1);
  const [, data = ''] = machine.partitions();
  const [plain = ''] = machine.mappings.values();
  t.equal(basename(plain), dataKeyOf(data));
});

t.test('while one volume is open nobody waits for another: its key is asked again before', async (t) => {
  const { folder, machine } = await made('opened again');
  const volume = volumeOf(three, folder, keys);
  const { clock } = machine.host;
  const settings = settingsFor(machine.run, keys);
  const preparation = {
    settings: { ...settings, volumes: { ...settings.volumes, deviceWaitSeconds: 90 } },
    startedAtMs: clock.monotonicMs(),
  };
  const [prepared] = await prepareAll(machine.host, [volume], preparation);
  const [other] = await prepareAll(machine.host, [volumeOf(three, folder, keys)], preparation);
  if (prepared === undefined || other === undefined) throw new Error('nothing was prepared');
  const gone = { ...other, volume: { ...volume, key: 'gone', volumeID: 'a disk that was unplugged' } };
  const sleeps: number[] = [];
  const host = {
    ...machine.host,
    clock: {
      ...clock,
      sleep: async (ms: number, signal?: AbortSignal) => {
        sleeps.push(machine.mappings.size);
        // For the programs of the other volume, which take real time.
        await new Promise((resolve) => setTimeout(resolve, 5));
        await clock.sleep(ms, signal);
      },
    },
  };
  await clock.sleep(60_000);
  const old = { ...gone, keyAskedAtMs: clock.monotonicMs() - 30_000 };
  const young = { ...prepared, keyAskedAtMs: clock.monotonicMs() };
  await t.rejects(applyAll(host, [young, old], preparation), { code: 'VOLUME_DISK_MISSING' });
  t.ok(sleeps.length > 0, 'it was waited for');
  t.ok(
    sleeps.every((open) => open === 0),
    'with nothing open',
  );
  t.equal(machine.mappings.size, 0);
});

t.test('a key whose answer has become old while volumes are opened is asked again once', async (t) => {
  const isAway = { now: false };
  const { folder, machine } = await made('opened again', async (request) =>
    isAway.now ? { kind: 'failure', failure: 'connect', detail: 'the service went away' } : kms.http.send(request),
  );
  const { clock } = machine.host;
  const volume = { ...volumeOf(three, folder, keys), kmsTimeoutMinutes: 10 };
  const preparation = { settings: settingsFor(machine.run, keys), startedAtMs: clock.monotonicMs() };
  const prepared = await prepareAll(machine.host, [volume], preparation);
  isAway.now = true;
  let looks = 0;
  const host = {
    ...machine.host,
    clock: {
      ...clock,
      // Young when all are looked at together, old when this one's turn comes.
      monotonicMs: () => {
        looks += 1;
        return clock.monotonicMs() + (looks > 1 ? 30_000 : 0);
      },
    },
  };
  const beganMs = clock.monotonicMs();
  await t.rejects(applyAll(host, prepared, preparation), { code: 'KMS_UNREACHABLE' });
  t.equal(clock.monotonicMs() - beganMs, 0, 'milliseconds waited');
  t.equal(machine.mappings.size, 0);
});
