/**
 * Every effect of a boot, in every kind of plan, goes wrong in turn: each program with each way to end, each read, write and flush of
 * the disk, the run folder, each call of the key service, the disk gone from there on. After each: a named error or an opened volume,
 * nothing open or lying about after an error, nothing lost, and the next boot opens the volume.
 *
 *   node test/conformance/volumes/faults.test.ts [TEXT]     only the plans whose name holds TEXT, and what each fault led to
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import t, { type Test } from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { type Effect, type Fault, faultyHost, type NameOf } from '../../fakes/faulty-host.ts';
import { localKms } from '../../fakes/local-kms.ts';
import { copyDisk, type Machine, machineOnFiles } from '../../fakes/machine-on-files.ts';
import { type FaultCase, faultCases, gone } from './fault-cases.ts';
import {
  bootOn,
  canary,
  canaryOffsets,
  type Keys,
  type MachineScenario,
  machineScenarios,
  madeElsewhere,
  volumeOf,
} from './machine-scenarios.ts';

t.setTimeout(900_000);
const folder = t.testdir({});
const standing = { now: () => new Date(1_800_000_000_000), monotonicMs: () => 1_000_000 };
const kms = await localKms({
  ...standing,
  sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
});
const keys: Keys = { kms, main: await kms.createKey(), other: await kms.createKey() };

const namesIn =
  (machine: Machine): NameOf =>
  (path) => {
    if (path.startsWith('/dev/mapper/')) return 'mapping';
    if (path === machine.diskPath) return 'disk';
    return ['metadata', 'data'][machine.partitions().indexOf(path)] ?? 'H';
  };

/** When the files of the disk were last written. */
const writtenAt = (at: string): string =>
  readdirSync(at)
    .filter((name) => name.startsWith('vdb'))
    .map((name) => `${name}:${statSync(`${at}/${name}`, { bigint: true }).mtimeNs}`)
    .join(' ');

const bytesAt = (file: string, offset: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  const descriptor = openSync(file, 'r');
  try {
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset));
  } finally {
    closeSync(descriptor);
  }
};

const canaryLives = (at: string): boolean => {
  const file = `${at}/vdb2`;
  // The partition may have grown: the last bytes are where they were.
  const before = canaryOffsets(31 << 20);
  return before.every((offset) => bytesAt(file, offset, canary.length).equals(canary));
};

interface Ended {
  readonly outcome: string;
  readonly effects: readonly Effect[];
  readonly messages: readonly string[];
  readonly ran: readonly string[];
}

/** One boot; `outcome` is `opened`, the code of an AgentError, or the text of a raw exception. */
const bootWith = async (
  machine: Machine,
  scenario: MachineScenario,
  at: string,
  faultAt: (effect: Effect) => Fault | null,
): Promise<Ended> => {
  const effects: Effect[] = [];
  const host = faultyHost(machine.host, namesIn(machine), (effect) => {
    effects.push(effect);
    return faultAt(effect);
  });
  const outcome = await bootOn(host, machine, volumeOf(scenario, at, keys), keys).then(
    () => 'opened',
    (error: unknown) =>
      error instanceof AgentError ? error.code : `raw: ${error instanceof Error ? error.stack : error}`,
  );
  const ran = machine.host.commands.map(({ program, args }) => `${program} ${args[0]}`);
  return { outcome, effects, messages: machine.host.messages.map(({ name }) => name), ran };
};

const contentOf = (plain: string): string =>
  execFileSync('debugfs', ['-R', `cat ${madeElsewhere.name}`, plain], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString();

const opensWell = async (t: Test, scenario: MachineScenario, at: string, what: string): Promise<void> => {
  const machine = await machineOnFiles(at, kms.http.send);
  await machine.restart();
  const { outcome } = await bootWith(machine, scenario, at, () => null);
  t.equal(outcome, 'opened', `${what}: the next boot opens the volume`);
  if (outcome !== 'opened' || scenario.kind === 'formats') return;
  t.equal(contentOf(machine.plainFile() ?? ''), madeElsewhere.content, `${what}: its content is there`);
};

/** Faults after which something may lie about: the removal itself failed. */
const leavesHeader = ({ effect }: FaultCase): boolean => effect.name === 'files remove';

const suffer = async (t: Test, scenario: MachineScenario, from: string, wrong: FaultCase): Promise<string> => {
  const at = `${folder}/suffering`;
  copyDisk(from, at);
  const before = writtenAt(at);
  const machine = await machineOnFiles(at, kms.http.send);
  const { effect, vanishes, fault, name } = wrong;
  const what = `${effect.number}. ${effect.name}: ${name}`;
  let hasVanished = false;
  const { outcome, ran } = await bootWith(machine, scenario, at, (now) => {
    const isMeant = now.name === effect.name && now.turn === effect.turn;
    hasVanished ||= vanishes && isMeant;
    if (vanishes) return hasVanished ? gone(now) : null;
    return isMeant ? fault : null;
  });
  if (outcome.startsWith('raw')) t.fail(`${what}: ${outcome}`);
  const open = [...machine.mappings.keys(), ...machine.mounts.keys()];
  if (outcome !== 'opened' && open.length > 0) t.fail(`${what}: ${outcome}, and ${open.join(', ')} stays open`);
  if (outcome === 'opened' && machine.mounts.size !== 1) t.fail(`${what}: not mounted`);
  const left = readdirSync(`${machine.run}/headers`);
  if (left.length > 0 && !leavesHeader(wrong))
    t.fail(`${what}: ${outcome}, and ${left.join(', ')} stays in the run folder`);
  if (scenario.kind === 'opens') {
    if (ran.some((command) => /luksFormat|mkfs/.test(command))) t.fail(`${what}: it was formatted`);
    if (!canaryLives(at)) t.fail(`${what}: encrypted data changed`);
  }
  // The same disk and nothing else left: the next boot is the one without a fault.
  if (outcome === 'opened' || writtenAt(at) !== before || leavesHeader(wrong)) await opensWell(t, scenario, at, what);
  return outcome;
};

const known = new Map<string, number>();
const wanted = process.argv[2] ?? '';

for (const scenario of machineScenarios.filter(({ name }) => name.includes(wanted))) {
  t.test(scenario.name, async (t) => {
    const from = `${folder}/${scenario.name}`;
    await scenario.make(from, keys);
    const at = `${folder}/suffering`;
    copyDisk(from, at);
    const machine = await machineOnFiles(at, kms.http.send);
    const { outcome, effects } = await bootWith(machine, scenario, at, () => null);
    t.equal(outcome, 'opened', 'without a fault');
    const plan = machine.host.messages.find(({ name }) => name === 'VOLUME_PLAN')?.facts as Record<string, string>;
    t.equal(plan.scenario, scenario.plan);
    for (const step of scenario.holds) t.match(plan.steps?.toLowerCase(), step);
    await opensWell(t, scenario, at, 'without a fault');

    const outcomes = new Map<string, number>();
    const cases = faultCases(effects, known);
    for (const wrong of cases) {
      const outcome = await suffer(t, scenario, from, wrong);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (wanted !== '') t.comment(`${wrong.effect.number} ${wrong.effect.name}: ${wrong.name} → ${outcome}`);
    }
    t.comment(
      `${cases.length} faults: ${[...outcomes].map(([name, times]) => `${times} ${name}`).join(', ')}; losses: 0`,
    );
  });
}

/** Faults by name of effect. */
const nameIs =
  (faults: Readonly<Record<string, Fault>>) =>
  ({ name }: Effect): Fault | null =>
    faults[name] ?? null;

const errnoEio: Fault = { do: 'errno', errno: 'EIO' };
const status1: Fault = { do: 'end', ended: { exit: 1 } };

t.test(
  'when closing goes wrong too, the first error is the one that counts, and the journal says what stays open',
  async (t) => {
    const scenario = machineScenarios.find(({ name }) => name === 'adopted') as MachineScenario;
    const from = `${folder}/adopted`;
    if (wanted !== '') await scenario.make(from, keys);
    const at = `${folder}/suffering`;
    for (const second of [status1, { do: 'absent' } as const]) {
      copyDisk(from, at);
      const machine = await machineOnFiles(at, kms.http.send);
      const faults = nameIs({ mount: status1, umount: second, 'dmsetup remove': second, 'files remove': errnoEio });
      const removals = { count: 0 };
      const { outcome, messages } = await bootWith(machine, scenario, at, (effect) => {
        if (effect.name === 'files remove') removals.count += 1;
        // The first two make room for H.
        return effect.name === 'files remove' && removals.count < 3 ? null : faults(effect);
      });
      t.equal(outcome, 'MOUNT_FAILED');
      t.ok(messages.includes('VOLUME_LEFT_OPEN'));
      await opensWell(t, scenario, at, 'after both');
    }
  },
);

t.test('a lock that is never let go', async (t) => {
  const scenario = machineScenarios.find(({ name }) => name === 'adopted') as MachineScenario;
  const at = `${folder}/suffering`;
  copyDisk(`${folder}/adopted`, at);
  const before = writtenAt(at);
  const machine = await machineOnFiles(at, kms.http.send);
  const { outcome } = await bootWith(machine, scenario, at, nameIs({ 'lock volume': { do: 'held' } }));
  t.equal(outcome, 'VOLUME_LOCKED');
  t.equal(writtenAt(at), before, 'nothing was written');
  t.strictSame(readdirSync(`${machine.run}/headers`), []);
});

t.test(
  'a key service that takes its time: the volume opens, and its key is asked again when the answer is old',
  async (t) => {
    const scenario = machineScenarios.find(({ name }) => name === 'adopted') as MachineScenario;
    const at = `${folder}/suffering`;
    copyDisk(`${folder}/adopted`, at);
    const machine = await machineOnFiles(at, kms.http.send);
    const slow: Fault = {
      do: 'answer',
      change: (answer) => {
        machine.pass(11_000);
        return answer;
      },
    };
    const { outcome, effects } = await bootWith(machine, scenario, at, ({ kind }) => (kind === 'http' ? slow : null));
    t.equal(outcome, 'opened');
    const asked = effects.filter(({ name }) => name.startsWith('GET ')).length;
    t.ok(asked > 1, `its state was asked for ${asked} times`);
    t.equal(contentOf(machine.plainFile() ?? ''), madeElsewhere.content);
  },
);
