/** Every code that HPCR documents is in the catalogue and emitted, or has a reason why it cannot occur. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Message, messages } from '../../agent/messages.ts';
import { hpcrCodes } from '../../scripts/hpcr-codes.ts';

const root = join(import.meta.dirname, '..', '..');
const catalogue = Object.entries(messages as Readonly<Record<string, Message<never>>>);
const ours = new Map(catalogue.map(([name, { id }]) => [id, name]));
const codes = hpcrCodes();
const program = globSync('agent/**/*.ts', { cwd: root })
  .filter((path) => !path.endsWith('messages.ts'))
  .map((path) => readFileSync(join(root, path), 'utf8'))
  .join('\n');
const units = globSync('systemd/*', { cwd: root })
  .map((path) => readFileSync(join(root, path), 'utf8'))
  .join('\n');

t.test('the table', async (t) => {
  t.ok(codes.length >= 109, 'the documented codes and those seen in journals');
  t.equal(new Set(codes.map(({ code }) => code)).size, codes.length, 'each once');
  for (const { code, name } of codes) {
    t.match(code, /^HPL\d{5}[IWE]$/);
    t.match(name, /^[A-Z0-9_]*$/, code);
  }
});

t.test('a code occurs, or there is a reason', async (t) => {
  for (const { code, instead, why } of codes) {
    const name = ours.get(code);
    if (name === undefined) {
      t.ok(why.length > 10, `${code} cannot occur, because: ${why}`);
      continue;
    }
    t.strictSame([instead, why], [[], ''], `${code} occurs`);
    // The name in quotes is how the program throws or journals a message; two are printed by units.
    t.ok(new RegExp(`'${name}'`).test(program) || units.includes(code), `${code} is emitted, as ${name}`);
  }
});

t.test('what is to be looked for instead is in the catalogue', async (t) => {
  for (const { code, instead } of codes) for (const id of instead) t.ok(ours.has(id), `${code}: ${id}`);
});

t.test('no code of HPCR is used that HPCR does not have', async (t) => {
  const documented = new Set(codes.map(({ code }) => code));
  for (const [name, { id }] of catalogue) if (id.startsWith('HPL')) t.ok(documented.has(id), `${id} ${name}`);
});
