/** Form of the message catalogue: what monitoring, the operator guide and exit statuses rely on. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Message, messages } from '../../agent/messages.ts';
import { sampleFacts } from '../../scripts/generate-docs.ts';

const root = join(import.meta.dirname, '..', '..');
const all = Object.entries(messages as Readonly<Record<string, Message<never>>>);
const sources = globSync('agent/**/*.ts', { cwd: root })
  .filter((path) => !path.endsWith('messages.ts'))
  .map((path) => readFileSync(join(root, path), 'utf8'))
  .join('\n');
const units = globSync('systemd/*', { cwd: root })
  .map((path) => readFileSync(join(root, path), 'utf8'))
  .join('\n');

/** Consumers compare these texts with HPCR's, letter by letter. */
const verbatim = new Set(['HPL10001I', 'HPL10000E']);

t.test('ids', async (t) => {
  const ids = all.map(([, { id }]) => id);
  t.strictSame(
    ids.filter((id, at) => ids.indexOf(id) !== at),
    [],
    'unique including the severity letter',
  );
  for (const [name, { id }] of all) t.match(id, /^(HPL|TSD)\d{5}[IWE]$/, name);
});

t.test('our own ids lie in the range of their area', async (t) => {
  const ranges: readonly (readonly [file: string, range: RegExp])[] = [
    ['agent/boot-messages.ts', /^TSD00/],
    ['agent/logging/messages.ts', /^TSD01/],
    ['agent/notices/messages.ts', /^TSD12/],
    ['agent/contract/messages.ts', /^TSD05/],
    ['agent/attestation/messages.ts', /^TSD11/],
    ['agent/kms/messages.ts', /^TSD06/],
    ['agent/volumes/messages.ts', /^TSD07/],
    ['agent/workload/messages.ts', /^TSD08/],
    ['agent/keyd/messages.ts', /^TSD18/],
  ];
  for (const [file, range] of ranges) {
    const ids = readFileSync(join(root, file), 'utf8').match(/TSD\d{5}[IWE]/g) ?? [];
    t.ok(ids.length > 0, file);
    for (const id of ids) t.match(id, range, `${file} ${id}`);
  }
});

t.test('only errors end a command', async (t) => {
  for (const [name, { id, exit }] of all) {
    const isError = id.endsWith('E');
    const isThrown = new RegExp(`AgentError(<'\\w+'>)?\\(\\s*'${name}'`).test(sources);
    t.ok(isError || exit === undefined, `${name}: no exit status on information or warning`);
    t.ok(isError || !isThrown, `${name}: information and warnings are not thrown`);
    t.ok(!isThrown || exit !== undefined, `${name}: a thrown error says how a command ends`);
  }
});

t.test('every message is used', async (t) => {
  for (const [name, { id }] of all)
    t.ok(new RegExp(`'${name}'`).test(sources) || units.includes(id), `${name} is emitted by the program or a unit`);
});

t.test('texts', async (t) => {
  for (const [name, { id, component, text, systemAction, userAction }] of all) {
    const shown: string = text(sampleFacts());
    t.match(component, /^[a-z][a-z-]*$/, `${name}: component is a SYSLOG_IDENTIFIER`);
    t.notMatch(shown, /undefined|NaN|\[object/, `${name}: every fact shows`);
    for (const part of [shown, systemAction, userAction]) {
      t.notMatch(part, /\.$|\n/, `${name}: one line without a full stop: ${part}`);
      t.ok(part.trim().length > 3, `${name}: says something`);
      if (!verbatim.has(id)) t.notMatch(part, /^[A-Z][a-z]/, `${name}: begins in lower case: ${part}`);
    }
    if (id.endsWith('E')) t.not(userAction, 'none', `${name}: an error tells what to do`);
  }
});

t.test('the form of HPCR ids that consumers look for is kept', async (t) => {
  t.equal(messages.SERVICES_SUCCEEDED.id, 'HPL10001I');
  t.equal(
    `${messages.SERVICES_SUCCEEDED.id}: ${messages.SERVICES_SUCCEEDED.text({})}`,
    'HPL10001I: Services succeeded -> systemd triggered hpl-catch-success service',
  );
  t.equal(
    `${messages.SERVICE_FAILED.id}: ${messages.SERVICE_FAILED.text({})}`,
    'HPL10000E: One or more service failed -> systemd triggered hpl-catch-failed service',
  );
  for (const { id, text } of [messages.SERVICES_SUCCEEDED, messages.SERVICE_FAILED])
    t.ok(units.includes(`${id}: ${text({})}`), `a unit prints ${id} letter by letter`);
});
