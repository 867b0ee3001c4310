/**
 * The real agent in real guests, from contract to key daemon, against `triseed kms serve`. Each story is one guest or a few, with many
 * volumes. Stories that wait for real minutes of grace run beside those that keep the CPUs busy.
 *
 *   node test/e2e/agent.test.ts [TEXT...]    only the stories whose name holds a TEXT; KEEP_GUESTS=1 keeps consoles and disks
 */
import t, { type Test } from 'tap';
import { changes, scenarios } from './cases/scenarios.ts';
import { Stage } from './cases/stage.ts';
import { badContracts, noContract } from './cases/stories/bad-input.ts';
import { twoRootKeys } from './cases/stories/circle.ts';
import { everyLoss } from './cases/stories/deadlines.ts';
import { stockWithForgedHeaders } from './cases/stories/forgeries.ts';
import { grownDisks } from './cases/stories/growth.ts';
import { cloudLogs, noLogServer, syslogServer } from './cases/stories/logging.ts';
import { peoplesCommands } from './cases/stories/people.ts';
import { chains, powerCuts } from './cases/stories/power-cuts.ts';
import { refusals } from './cases/stories/refusals.ts';
import { rotations, suspension } from './cases/stories/root-keys.ts';
import { everyScenario, manyInSmallGuest, manyWithUserSeeds, oldForms } from './cases/stories/scenarios.ts';
import { noSecretAnywhere } from './cases/stories/secrets.ts';
import { tampering } from './cases/stories/tampering.ts';
import { handedToWorkload, notHandedToWorkload } from './cases/stories/workload.ts';

type Story = (t: Test, stage: Stage) => Promise<void>;

/** They wait most of the time. Stories that change a root key have one of their own. */
const patient: Readonly<Record<string, Story>> = {
  'two root keys, one of them lost, and a daemon that is killed': twoRootKeys,
  'root key suspended: grace, restart, polling, power off': (t, stage) => suspension(t, stage, 'long-suspended'),
  'every way to lose a root key: never before the deadline, and at most two seconds after it': everyLoss,
  'root key rotated, and a grace that ends well': (t, stage) => rotations(t, stage, 'rotated'),
};

/** The longest first. */
const busy: Readonly<Record<string, Story>> = {
  'every scenario, and what a restart finds': (t, stage) => everyScenario(t, stage, 'scenarios', scenarios),
  'every change of passphrase, and what a restart finds': (t, stage) => everyScenario(t, stage, 'changes', changes),
  'old forms of LUKS, named and not named': oldForms,
  'disks tampered with': tampering,
  'forged headers and stock cryptsetup': stockWithForgedHeaders,
  ...Object.fromEntries(
    Object.entries(chains).map(([name, chain]): [string, Story] => [
      `power cuts: ${name}`,
      (t, stage) => powerCuts(t, stage, chain),
    ]),
  ),
  ...Object.fromEntries(Object.entries(refusals).map(([name, story]): [string, Story] => [`refused: ${name}`, story])),
  'more new volumes than /run has room for': manyInSmallGuest,
  'eight volumes with user seeds in 1 GiB': manyWithUserSeeds,
  'disks that have grown': grownDisks,
  'commands of people': peoplesCommands,
  'no secret anywhere': (t, stage) => noSecretAnywhere(t, stage, 'searched'),
  'remote logging: a syslog server sees a start from its first record to its last': syslogServer,
  'remote logging: IBM Cloud Logs': cloudLogs,
  'remote logging: no log server, no start': noLogServer,
  'workload: what it is handed': handedToWorkload,
  'workload: refused before and after its volume is mounted': notHandedToWorkload,
  'bad contracts': badContracts,
  'no contract': noContract,
};

const rootKeys = ['main', 'other', 'suspended', 'deleted', 'long-suspended', 'rotated', 'searched'];

t.setTimeout(2_300_000);
const stories = { ...patient, ...busy };
t.jobs = Object.keys(stories).length;
const stage = await new Stage('agent').open(...rootKeys);
t.teardown(() => stage.close());

const wanted = process.argv.slice(2);
for (const text of wanted)
  t.ok(
    Object.keys(stories).some((name) => name.includes(text)),
    `a story of ${text}`,
  );
const isWanted = ([name]: readonly [string, Story]): boolean =>
  wanted.length === 0 || wanted.some((text) => name.includes(text));
const untold = { patient: Object.entries(patient).filter(isWanted), busy: Object.entries(busy).filter(isWanted) };

/** One story after the other, of the first kind that has one left. */
const tell = async (...kinds: readonly (keyof typeof untold)[]): Promise<void> => {
  for (;;) {
    const next = kinds
      .map((kind) => untold[kind])
      .find(({ length }) => length > 0)
      ?.shift();
    if (next === undefined) return;
    const [name, story] = next;
    await t.test(name, { buffered: true }, (t) => story(t, stage));
  }
};
// Two at a time of each kind: a guest that has something to do takes a CPU, and the driver another to make and judge disks.
// When nobody waits any more, what is left is told four at a time: each waits now and then.
await Promise.all([tell('patient', 'busy'), tell('patient', 'busy'), tell('busy'), tell('busy')]);
