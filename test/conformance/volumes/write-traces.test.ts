/**
 * Everything that a boot writes to a disk, cut: every prefix, every subset of the writes between two flushes, each of them torn too.
 * From every state the next boot goes on without a human, and what was on the volume before is there.
 *
 *   node test/conformance/volumes/write-traces.test.ts [TEXT]     only the plans whose name holds TEXT
 */
import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, openSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { backendFor } from '../../../agent/kms/backends.ts';
import type { Host } from '../../../agent/ports.ts';
import type { DeviceWrite } from '../../../agent/volumes/device-bytes.ts';
import { storeSeed } from '../../../agent/volumes/store-seed.ts';
import { localKms } from '../../fakes/local-kms.ts';
import { copyDisk, type Machine, machineOnFiles } from '../../fakes/machine-on-files.ts';
import { cutStates, type Written } from '../../fakes/power-cut-states.ts';
import {
  bootOn,
  type Keys,
  type MachineScenario,
  machineScenarios,
  madeElsewhere,
  volumeOf,
} from './machine-scenarios.ts';

t.setTimeout(900_000);
const folder = t.testdir({});
const kms = await localKms({
  now: () => new Date(1_800_000_000_000),
  monotonicMs: () => 1_000_000,
  sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
});
const keys: Keys = { kms, main: await kms.createKey(), other: await kms.createKey() };

interface TracedWrite extends DeviceWrite {
  /** Name of the file that plays the disk or the partition. */
  readonly file: string;
}

interface Trace {
  readonly writes: readonly TracedWrite[];
  /** How many of them came before the file system was made; null when none was. */
  readonly beforeMkfs: number | null;
}

/** `host` that notes what is written to the disk and when it is flushed. */
const traced = (host: Host, machine: Machine): { readonly host: Host; readonly trace: () => Trace } => {
  const writes: TracedWrite[] = [];
  let beforeMkfs: number | null = null;
  const flushed = (): void => {
    const last = writes.pop();
    if (last !== undefined) writes.push({ ...last, flushAfter: true });
  };
  const open: Host['disks']['open'] = async (path, access) => {
    const device = await host.disks.open(path, access);
    if (path !== machine.diskPath && !machine.partitions().includes(path)) return device;
    return {
      ...device,
      write: async (offset, bytes) => {
        writes.push({ file: basename(path), offset, bytes: Buffer.from(bytes), flushAfter: false });
        await device.write(offset, bytes);
      },
      flush: async () => {
        await device.flush();
        flushed();
      },
    };
  };
  const run: Host['run'] = (command) => {
    if (command.program.includes('/mkfs.')) beforeMkfs = writes.length;
    return host.run(command);
  };
  return { host: { ...host, run, disks: { ...host.disks, open } }, trace: () => ({ writes, beforeMkfs }) };
};

const replay = (at: string, written: readonly Written<TracedWrite>[]): void => {
  for (const { file, offset, bytes } of written) {
    const handle = openSync(`${at}/${file}`, 'r+');
    writeSync(handle, bytes, 0, bytes.length, offset);
    closeSync(handle);
  }
};

type Act = (host: Host, machine: Machine, scenario: MachineScenario, at: string) => Promise<unknown>;

const boot: Act = (host, machine, scenario, at) => bootOn(host, machine, volumeOf(scenario, at, keys), keys);

/** The key daemon stores the same seed in a wrapping of its own. */
const rewrap: Act = async (host, machine) => {
  const backend = backendFor(kms.host, kms.entry(keys.main), kms.settings);
  const made = await backend.generateAndWrap();
  if (made.kind !== 'done') throw new Error(made.kind);
  const [, device = ''] = machine.partitions();
  const dump = execFileSync('cryptsetup', ['luksDump', '--dump-json-metadata', device]).toString();
  const { wrapped } = (JSON.parse(dump) as { tokens: Record<string, { wrapped: string }> }).tokens['0'] ?? {
    wrapped: '',
  };
  const opened = await backend.unwrap(wrapped);
  if (opened.kind !== 'done') throw new Error(opened.kind);
  const again = await backend.wrap(opened.value.seed3);
  if (again.kind !== 'done') throw new Error(again.kind);
  const luksUuid = execFileSync('cryptsetup', ['luksUUID', device]).toString().trim();
  await storeSeed(host, { key: 'data', device, luksUuid }, again.value.wrapped, again.value.keyVersion);
};

/** The boot after it brings the keyfile up to date. */
const rewrapAndBoot: Act = async (host, machine, scenario, at) => {
  await rewrap(host, machine, scenario, at);
  await boot(host, machine, scenario, at);
};

interface TracedCase {
  readonly name: string;
  readonly scenario: MachineScenario;
  readonly act: Act;
}

const steady = machineScenarios.find(({ name }) => name === 'opened again') as MachineScenario;
const cases: readonly TracedCase[] = [
  ...machineScenarios
    .filter((scenario) => scenario !== steady)
    .map((scenario) => ({ name: scenario.name, scenario, act: boot })),
  { name: 'a seed wrapped anew by the daemon', scenario: steady, act: rewrap },
  { name: 'a seed wrapped anew by the daemon, and the keyfile by the next boot', scenario: steady, act: rewrapAndBoot },
];

const contentOf = (plain: string): string =>
  execFileSync('debugfs', ['-R', `cat ${madeElsewhere.name}`, plain], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString();

/** What the next boot makes of a state; null when all is well. */
const loss = async (scenario: MachineScenario, at: string): Promise<string | null> => {
  const machine = await machineOnFiles(at, kms.http.send);
  try {
    await boot(machine.host, machine, scenario, at);
  } catch (error) {
    return error instanceof AgentError ? `${error.code} ${JSON.stringify(error.facts)}` : String(error);
  }
  if (scenario.kind === 'opens' && contentOf(machine.plainFile() ?? '') !== madeElsewhere.content)
    return 'the content is gone';
  const formats = machine.host.commands.some(
    ({ program, args }) => program.includes('mkfs') || args[0] === 'luksFormat',
  );
  return scenario.kind === 'opens' && formats ? 'it was formatted' : null;
};

const wanted = process.argv[2] ?? '';

for (const { name, scenario, act } of cases.filter((one) => one.name.includes(wanted))) {
  t.test(name, async (t) => {
    const from = `${folder}/${name}`;
    const whole = `${folder}/whole`;
    await scenario.make(from, keys);
    copyDisk(from, whole);
    const machine = await machineOnFiles(whole, kms.http.send);
    const { host, trace } = traced(machine.host, machine);
    await act(host, machine, scenario, whole);
    const { writes, beforeMkfs } = trace();
    t.ok(writes.length > 0 && writes.at(-1)?.flushAfter, `${writes.length} writes, the last one flushed`);

    const at = `${folder}/cut`;
    let [states, losses] = [0, 0];
    for (const written of cutStates(writes, 1)) {
      states += 1;
      copyDisk(from, at);
      // Partitions that the table made are there once the table has been read.
      replay(
        at,
        written.filter(({ file }) => file === 'vdb'),
      );
      await machineOnFiles(at, kms.http.send);
      replay(
        at,
        written.filter(({ file }) => file !== 'vdb'),
      );
      if (beforeMkfs !== null && written.length > beforeMkfs)
        cpSync(`${whole}/plain`, `${at}/plain`, { recursive: true });
      const lost = await loss(scenario, at);
      if (lost === null) continue;
      losses += 1;
      const last = written.at(-1);
      t.fail(`state ${states}, last ${last?.file} at ${last?.offset} (${last?.bytes.length} bytes): ${lost}`);
    }
    t.comment(`${writes.length} writes, ${states} states, losses: ${losses}`);
    t.ok(states > writes.length);
  });
}
