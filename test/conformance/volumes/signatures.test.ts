/** The real wipefs on plain files, blkid as the second witness, and what happens when there is no answer. */
import { writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { hasCode } from '../../../agent/errors.ts';
import type { Command, CommandResult, Host } from '../../../agent/ports.ts';
import { mebibyte } from '../../../agent/volumes/device-bytes.ts';
import { parseSignatures, readSignatures } from '../../../agent/volumes/signatures.ts';
import { sampleDevice, tool } from '../../fakes/sample-device.ts';

const result = (change: Partial<CommandResult>): CommandResult => ({
  exit: 0,
  signal: null,
  timedOut: false,
  stdout: Buffer.alloc(0),
  stderr: '',
  elapsedMs: 1,
  ...change,
});

/** A host that runs the real program. */
const realHost: Pick<Host, 'run'> = {
  run: async ({ program, args }) => {
    const { exit, text } = await tool(program, args);
    return result({ exit, stdout: Buffer.from(text) });
  },
};

t.test('what stock tools make is recognised, and an empty file is not', async (t) => {
  const work = t.testdir({});
  writeFileSync(`${work}/passphrase`, 'correct horse');
  const luks = [
    'luksFormat',
    '-q',
    '--pbkdf',
    'pbkdf2',
    '--pbkdf-force-iterations',
    '1000',
    '--key-file',
    `${work}/passphrase`,
  ];
  const path = `${work}/disk.img`;
  const rows: readonly [readonly string[], readonly (readonly string[])[]][] = [
    [[], []],
    [['ext4'], [['mke2fs', '-q', '-F', '-t', 'ext4', path]]],
    [['swap'], [['mkswap', path]]],
    [['crypto_LUKS'], [['cryptsetup', ...luks, path]]],
    [
      ['crypto_LUKS'],
      [
        ['cryptsetup', ...luks, path],
        ['dd', 'if=/dev/zero', `of=${path}`, 'bs=4096', 'count=1', 'conv=notrunc'],
      ],
    ],
    [['gpt', 'PMBR'], [['parted', '-s', path, 'mklabel', 'gpt']]],
    [
      ['gpt'],
      [
        ['parted', '-s', path, 'mklabel', 'gpt'],
        ['dd', 'if=/dev/zero', `of=${path}`, 'bs=4096', 'count=16', 'conv=notrunc'],
      ],
    ],
    [['dos'], [['parted', '-s', path, 'mklabel', 'msdos']]],
  ];
  for (const [expected, commands] of rows) {
    await tool('truncate', ['-s', '0', path]);
    sampleDevice(path, 64 * mebibyte).close();
    for (const [program, ...args] of commands) t.equal((await tool(program as string, args)).exit, 0);
    t.same(await readSignatures(realHost, path), expected);
    const witness = (await tool('blkid', ['-p', '-o', 'export', path])).text;
    // A backup table alone is below blkid's notice; to us it is no blank disk.
    const noticed = expected.length > 0 && !isDeepStrictEqual(expected, ['gpt']);
    t.equal(/^(PT)?TYPE=/m.test(witness), noticed, `blkid about ${expected}`);
  }
});

t.test('no answer is no blank device', async (t) => {
  await t.rejects(readSignatures(realHost, '/nonexistent'), { code: 'SIGNATURES_UNKNOWN' });
  t.equal((await tool('blkid', ['-p', '/nonexistent'])).exit, 2, 'blkid would have called it empty');
  const rows: readonly Partial<CommandResult>[] = [
    { exit: 1 },
    { exit: 1, stdout: Buffer.from('ext4\n') },
    { exit: null, signal: 'SIGKILL', timedOut: true },
    { exit: null, signal: 'SIGSEGV' },
  ];
  for (const row of rows) {
    const error = await readSignatures({ run: async () => result(row) }, '/dev/vdb').then(
      () => null,
      (thrown) => thrown,
    );
    t.ok(hasCode(error, 'SIGNATURES_UNKNOWN'));
    t.equal(error.facts.path, '/dev/vdb');
  }
});

t.test('nothing is changed and no path becomes an option', async (t) => {
  const seen: Command[] = [];
  const run = async (command: Command): Promise<CommandResult> => {
    seen.push(command);
    return result({});
  };
  await readSignatures({ run }, '--all');
  t.equal(seen.length, 1);
  t.ok(seen[0]?.args.includes('--no-act'));
  t.same(seen[0]?.args.slice(-2), ['--', '--all']);
});

t.test('names are words, each once', async (t) => {
  const rows: readonly [string, readonly string[]][] = [
    ['', []],
    ['\n\n', []],
    ['gpt\ngpt\nPMBR\n', ['gpt', 'PMBR']],
    ['  ext4  \n', ['ext4']],
    ['linux_raid_member\nLVM2_member\n', ['linux_raid_member', 'LVM2_member']],
    ['\u001b[2J\n', ['unrecognised']],
    ['two words\n', ['unrecognised']],
    [`${'x'.repeat(65)}\n`, ['unrecognised']],
  ];
  for (const [text, names] of rows) t.same(parseSignatures(text), names);
});
