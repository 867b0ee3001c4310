/** Files over a real file system: bounds, modes, atomic replacement, and what a port refuses to follow or overwrite. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { discardUnfinished, files } from '../../../agent/host/files.ts';

const modeOf = (path: string): number => statSync(path).mode & 0o777;
const rejectsWith = async (t: Test, work: Promise<unknown>, code: string, what: string): Promise<void> => {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  t.ok(error instanceof AgentError && error.code === code, what, { error });
};

t.test('reading', async (t) => {
  const folder = t.testdir({ whole: 'x'.repeat(1000), empty: '', folder: {} });
  const at = (name: string): string => join(folder, name);
  t.equal((await files.read(at('whole'), 1000))?.toString(), 'x'.repeat(1000), 'exactly the limit');
  await rejectsWith(t, files.read(at('whole'), 999), 'FILE_TOO_LARGE', 'one byte over the limit');
  t.equal((await files.read(at('empty'), 10))?.length, 0);
  t.equal(await files.read(at('absent'), 10), null);
  t.equal(await files.read(at('whole/below'), 10), null, 'below a file');
  await rejectsWith(t, files.read(at('folder'), 10), 'FILE_UNREADABLE', 'a folder');
  t.match((await files.read('/proc/self/status', 65_536))?.toString(), /^Name:/, 'files that say they are empty');
  execFileSync('mkfifo', [at('pipe')]);
  await rejectsWith(t, files.read(at('pipe'), 10), 'FILE_UNREADABLE', 'a pipe does not block');
});

t.test('new files are never written over something', async (t) => {
  const folder = t.testdir({ there: 'old' });
  const at = (name: string): string => join(folder, name);
  await files.writeNew(at('new'), Buffer.from('secret'), 0o600);
  t.equal(modeOf(at('new')), 0o600);
  symlinkSync(at('elsewhere'), at('link'));
  for (const name of ['there', 'new', 'link', 'missing-folder/x'])
    await rejectsWith(t, files.writeNew(at(name), Buffer.from('x'), 0o600), 'FILE_UNWRITABLE', name);
  t.equal(readFileSync(at('there'), 'utf8'), 'old');
  t.notOk(existsSync(at('elsewhere')), 'a link is not followed');
});

t.test('atomic replacement leaves one whole file and no other', async (t) => {
  const folder = t.testdir({ there: 'old' });
  const path = join(folder, 'there');
  await files.writeAtomically(path, Buffer.from('new'), 0o640);
  t.equal(readFileSync(path, 'utf8'), 'new');
  t.equal(modeOf(path), 0o640);
  const usual = process.umask(0o077);
  await files.writeAtomically(path, Buffer.from('new'), 0o644);
  process.umask(usual);
  t.equal(modeOf(path), 0o644, 'whatever the umask of the process');
  t.strictSame(readdirSync(folder), ['there']);
  // A folder in its place: the rename fails after the temporary file was written.
  mkdirSync(join(folder, 'busy'));
  writeFileSync(join(folder, 'busy/inside'), '');
  await rejectsWith(
    t,
    files.writeAtomically(join(folder, 'busy'), Buffer.from('x'), 0o600),
    'FILE_UNWRITABLE',
    'folder',
  );
  t.strictSame(readdirSync(folder).sort(), ['busy', 'there'], 'no temporary file is left');
  await rejectsWith(
    t,
    files.writeAtomically(join(folder, 'no/x'), Buffer.from('x'), 0o600),
    'FILE_UNWRITABLE',
    'no folder',
  );
});

t.test('a process that ends in the midst of writing leaves no half of a file', async (t) => {
  const folder = t.testdir({ old: 'old' });
  const at = (name: string): string => join(folder, name);
  const writing = [
    files.writeAtomically(at('old'), Buffer.from('secret'), 0o600),
    files.writeNew(at('new'), Buffer.from('secret'), 0o600),
  ];
  t.equal(readdirSync(folder).length, 3, 'both have begun');
  discardUnfinished();
  t.strictSame(readdirSync(folder), ['old']);
  await Promise.allSettled(writing);
  await files.writeAtomically(at('old'), Buffer.from('new'), 0o600);
  await files.writeNew(at('new'), Buffer.from('new'), 0o600);
  discardUnfinished();
  t.strictSame(readdirSync(folder), ['new', 'old'], 'what is finished stays');
  t.equal(readFileSync(at('old'), 'utf8'), 'new');
});

t.test('sparse files', async (t) => {
  const path = join(t.testdir({}), 'header');
  const pieces = [
    { offset: 0, bytes: Buffer.from('first') },
    { offset: 4096, bytes: Buffer.from('second') },
  ];
  await files.writeSparse(path, 16_384, pieces, 0o600);
  const bytes = readFileSync(path);
  t.equal(bytes.length, 16_384);
  t.equal(bytes.subarray(0, 5).toString(), 'first');
  t.equal(bytes.subarray(4096, 4102).toString(), 'second');
  t.ok(bytes.subarray(4102).every((byte) => byte === 0));
  t.equal(modeOf(path), 0o600);
  await rejectsWith(t, files.writeSparse(path, 1, [], 0o600), 'FILE_UNWRITABLE', 'never over something');
});

t.test(
  'a sparse file for which there is no room is refused, although the system takes a part of it without a word',
  async (t) => {
    const folder = t.testdir({});
    // setrlimit(2) RLIMIT_FSIZE: a write across the limit is short, the next one fails. It stands in for a full tmpfs.
    // The test runner's preload, which answers the signal by dying, stays out.
    const limited = `unset NODE_OPTIONS; trap '' XFSZ; ulimit -f 100; exec "$0" --input-type=module-typescript --eval "$1"`;
    const script = `
    import { discardUnfinished, files } from ${JSON.stringify(new URL('../../../agent/host/files.ts', import.meta.url).href)};
    const pieces = [{ offset: 0, bytes: Buffer.alloc(200 * 1024, 1) }];
    await files.writeSparse(${JSON.stringify(join(folder, 'header'))}, 0, pieces, 0o600).then(
      () => console.log('written'),
      (error) => console.log(error.code, error.facts.reason),
    );`;
    // What Node keeps compiled would be cut off by the same limit.
    const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' };
    const said = execFileSync('bash', ['-c', limited, process.execPath, script], { env }).toString().trim();
    t.equal(said, 'FILE_UNWRITABLE EFBIG');
  },
);

t.test('kinds, lists, links, removal', async (t) => {
  const folder = t.testdir({ b: 'x', a: {} });
  const at = (name: string): string => join(folder, name);
  symlinkSync(at('b'), at('link'));
  symlinkSync(at('nowhere'), at('dangling'));
  const kinds = { b: 'file', a: 'folder', link: 'link', dangling: 'link', none: 'absent', 'b/x': 'absent' } as const;
  for (const [name, kind] of Object.entries(kinds)) t.equal(await files.kind(at(name)), kind, name);
  t.equal(await files.kind('/dev/null'), 'other');
  t.strictSame(await files.list(folder), ['a', 'b', 'dangling', 'link']);
  t.strictSame(await files.list(at('none')), []);
  t.equal(await files.resolve(at('link')), at('b'));
  t.equal(await files.resolve(at('dangling')), null);
  await files.remove(at('link'));
  t.ok(existsSync(at('b')), 'the link went, not its target');
  await files.remove(at('none'));
});

t.test('folders and what lies in memory', async (t) => {
  const folder = t.testdir({});
  await files.makeFolder(join(folder, 'a/b'), 0o700);
  t.equal(modeOf(join(folder, 'a/b')), 0o700);
  await files.makeFolder(join(folder, 'a/b'), 0o700);
  t.equal(await files.isInMemory('/proc'), false, 'proc is not a place to keep things');
  const types = execFileSync('stat', ['--file-system', '--format=%T', '/dev/shm'], { encoding: 'utf8' }).trim();
  t.equal(await files.isInMemory('/dev/shm'), types === 'tmpfs' || types === 'ramfs');
});
