/** Sampling a device: what is always seen, what is seen in the end, and what it costs. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { probeBlank } from '../../../agent/volumes/blank.ts';
import { mebibyte, type ReadAt } from '../../../agent/volumes/device-bytes.ts';
import { sampleDevice, tool } from '../../fakes/sample-device.ts';

/** A large device of zeros with single bytes set, and a record of what was read. */
const device = (sizeBytes: number, marks: readonly number[] = []) => {
  const spans: (readonly [number, number])[] = [];
  const read: ReadAt = async (offset, length) => {
    if (offset < 0 || offset + length > sizeBytes || length > mebibyte) throw new RangeError(`${offset} + ${length}`);
    spans.push([offset, length]);
    const bytes = Buffer.alloc(length);
    for (const mark of marks) if (mark >= offset && mark < offset + length) bytes[mark - offset] = 1;
    return bytes;
  };
  return { read, spans, sizeBytes };
};

/** Repeatable fractions in [0, 1). */
const fractions = (seed: number) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

const tebibyte = 1024 ** 4;

t.test('one byte in the sampled ends is always seen', async (t) => {
  const sizeBytes = 10 * 1024 * mebibyte + 512;
  const rows = [
    0,
    1,
    511,
    4096,
    100_000,
    mebibyte,
    16 * mebibyte - 1,
    sizeBytes - mebibyte,
    sizeBytes - 512,
    sizeBytes - 1,
  ];
  for (const mark of rows) {
    const { read } = device(sizeBytes, [mark]);
    t.same(await probeBlank(read, sizeBytes, fractions(1)), { kind: 'notBlank', firstNonZeroOffset: mark });
  }
  t.same(await probeBlank(device(sizeBytes).read, sizeBytes, fractions(1)), { kind: 'blank' });
});

t.test('the middle: 64 aligned windows, one in each strip, elsewhere at each probe', async (t) => {
  const sizeBytes = tebibyte;
  const probe = async (seed: number) => {
    const { read, spans } = device(sizeBytes);
    await probeBlank(read, sizeBytes, fractions(seed));
    return spans.filter(([offset, length]) => length === 65536 && offset >= 16 * mebibyte);
  };
  const first = await probe(1);
  t.equal(first.length, 64);
  const strip = (sizeBytes - 17 * mebibyte) / 64;
  for (const [at, [offset]] of first.entries()) {
    const start = 16 * mebibyte + at * strip;
    if (offset % 4096 !== 0 || offset < start || offset + 65536 > start + strip) t.fail(`window ${at} at ${offset}`);
  }
  const second = await probe(2);
  t.ok(first.every(([offset], at) => offset !== second[at]?.[0]));
  for (const edge of [0, 1 - 2 ** -53, 1, 2, -1]) {
    const { read } = device(sizeBytes);
    t.same(await probeBlank(read, sizeBytes, () => edge), { kind: 'blank' }, `fraction ${edge} stays on the device`);
  }
});

t.test('data over a 64th of the device and a window more cannot be missed', async (t) => {
  const sizeBytes = 200 * mebibyte;
  const strip = (183 * mebibyte) / 64;
  const start = 90 * mebibyte;
  for (let seed = 1; seed <= 15; seed++) {
    const read: ReadAt = async (offset, length) => {
      const bytes = Buffer.alloc(length);
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + 2 * strip);
      if (from < to) bytes.fill(7, from - offset, to - offset);
      return bytes;
    };
    t.match(await probeBlank(read, sizeBytes, fractions(seed)), { kind: 'notBlank' });
  }
});

t.test('small devices are read whole', async (t) => {
  for (const sizeBytes of [0, 1, 512, 65536, mebibyte + 1, 17 * mebibyte, 20 * mebibyte + 3]) {
    const { read, spans } = device(sizeBytes);
    t.same(await probeBlank(read, sizeBytes, fractions(3)), { kind: 'blank' });
    t.equal(
      spans.reduce((total, [, length]) => total + length, 0),
      sizeBytes,
    );
    if (sizeBytes === 0) continue;
    for (const mark of [0, sizeBytes >> 1, sizeBytes - 1])
      t.same(await probeBlank(device(sizeBytes, [mark]).read, sizeBytes, fractions(3)), {
        kind: 'notBlank',
        firstNonZeroOffset: mark,
      });
  }
});

t.test('a terabyte costs 21 MiB of reading', async (t) => {
  const { read, spans } = device(tebibyte);
  await probeBlank(read, tebibyte, fractions(4));
  t.equal(
    spans.reduce((total, [, length]) => total + length, 0),
    21 * mebibyte,
  );
});

t.test('what stock tools write is not blank', async (t) => {
  const work = t.testdir({});
  writeFileSync(`${work}/passphrase`, 'correct horse');
  const kdf = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  const rows: readonly [string, string, readonly string[]][] = [
    ['ext4', 'mke2fs', ['-q', '-F', '-t', 'ext4']],
    ['swap', 'mkswap', []],
    ['GPT', 'parted', ['-s', 'FILE', 'mklabel', 'gpt']],
    ['LUKS2', 'cryptsetup', ['luksFormat', '-q', ...kdf, '--key-file', `${work}/passphrase`]],
    ['LUKS1', 'cryptsetup', ['luksFormat', '-q', '--type', 'luks1', ...kdf, '--key-file', `${work}/passphrase`]],
  ];
  for (const [name, program, words] of rows) {
    const disk = sampleDevice(`${work}/${name}.img`, 64 * mebibyte);
    t.same(await probeBlank(disk.read, disk.sizeBytes, fractions(5)), { kind: 'blank' });
    const args = words.includes('FILE')
      ? words.map((word) => (word === 'FILE' ? disk.path : word))
      : [...words, disk.path];
    t.equal((await tool(program, args)).exit, 0, name);
    t.match(await probeBlank(disk.read, disk.sizeBytes, fractions(5)), { kind: 'notBlank' }, name);
    disk.close();
  }
});
