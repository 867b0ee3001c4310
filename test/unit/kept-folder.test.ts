/** Folders that take long to make: several test files ask for the same one at the same time. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { keptFolder } from '../../scripts/kept-folder.ts';

const root = join(import.meta.dirname, '../..');
const kind = `kept-folder-test-${process.pid}`;
const folders = join(root, '.cache', kind);
t.teardown(() => rmSync(folders, { recursive: true, force: true }));
const keepForMs = 60_000;

/** Two files with time in between; says what it finds when it has the folder. */
const asker = `
  import { readdirSync, writeFileSync } from 'node:fs';
  import { keptFolder } from '${join(root, 'scripts/kept-folder.ts')}';
  const make = (folder) => {
    writeFileSync(folder + '/first', '');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    writeFileSync(folder + '/second', '');
  };
  const path = keptFolder('${kind}', 'shared', { keepForMs: ${keepForMs}, make });
  console.log(readdirSync('${root}/' + path).sort().join(' '));
`;

t.test('who asks while others make it gets all of it, and nothing half-made is left', async (t) => {
  const ask = async () =>
    (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', asker])).stdout.trim();
  t.strictSame(await Promise.all([ask(), ask(), ask()]), ['first second', 'first second', 'first second']);
  t.strictSame(readdirSync(folders), ['shared']);
});

t.test('what nobody asked for goes when another one is made; a failure leaves no folder to find', async (t) => {
  const old = new Date(Date.now() - 2 * keepForMs);
  for (const name of ['forgotten', 'recent']) mkdirSync(join(folders, name), { recursive: true });
  utimesSync(join(folders, 'forgotten'), old, old);
  const fail = (): never => {
    throw new Error('on purpose');
  };
  t.throws(() => keptFolder(kind, 'made', { keepForMs, make: fail }), { message: 'on purpose' });
  t.notOk(existsSync(join(folders, 'made')));

  const make = (folder: string): void => writeFileSync(join(folder, 'it'), '');
  t.equal(keptFolder(kind, 'made', { keepForMs, make }), join('.cache', kind, 'made'));
  t.ok(existsSync(join(folders, 'made/it')));
  t.notOk(existsSync(join(folders, 'forgotten')));
  t.ok(existsSync(join(folders, 'recent')));

  utimesSync(join(folders, 'made'), old, old);
  keptFolder(kind, 'made', { keepForMs, make: fail });
  t.ok(Date.now() - statSync(join(folders, 'made')).mtimeMs < keepForMs, 'asking for it keeps it');
});
