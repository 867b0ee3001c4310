/** What people do with volumes outside a boot, over disk images in plain files; stock tools make them and judge. */
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { blank, fingerprint, MiB, partition, partitionOf, put, take, tool, zero } from '../../e2e/cases/image.ts';
import { forge, luksJsonOf, opensWith } from '../../e2e/cases/luks-file.ts';
import { configured, diskImage, inMemory, passphrase, volume } from '../volume-cli.ts';

t.setTimeout(120_000);
const shared = inMemory(t);
const sample = diskImage(join(shared, 'sample.img'));
const kms = [
  {
    crn: `crn:v1:bluemix:public:kms:us-south:a/${'0'.repeat(32)}:11111111-2222-4333-8444-555555555555:key:11111111-2222-4333-8444-555555555556`,
    apiKey: 'throw-away-api-key',
  },
];

t.test('adopt: what a boot would do with an image, with nothing written', async (t) => {
  const before = fingerprint(sample);
  const opens = await volume(['adopt', sample, ...configured(inMemory(t), {})]);
  t.equal(opens.status, 0, opens.stderr);
  t.match(opens.stdout, /^volume data on \S+: open, digest [0-9a-f]{16}$/m);
  t.match(opens.stdout, /│ metadata, 99 MiB +│ data, 35 MiB +│/);
  t.match(opens.stdout, /1\. open .*\n.*2\. mount /);
  t.notMatch(opens.stdout, /!/, 'nothing is marked as destructive');

  const wrong = await volume(['adopt', sample, ...configured(inMemory(t), { envSeed: 'another-seed-of-somebody' })]);
  t.equal(wrong.status, 1);
  t.match(wrong.stdout, /refused[\s\S]*HPL02003E/);

  const folder = inMemory(t);
  const offline = await volume(['adopt', sample, '--offline', ...configured(folder, { kms })]);
  t.equal(offline.status, 0, offline.stderr);
  t.match(offline.stdout, /rekey[\s\S]*change-passphrase[\s\S]*not asked \(--offline\)/);
  t.notOk(
    existsSync(join(folder, 'images/partition-1')) || existsSync(join(folder, 'images/partition-2')),
    'stand-ins are gone',
  );
  t.equal(fingerprint(sample), before, 'not a byte of the image changed');
});

t.test('adopt: images that a boot refuses or formats', async (t) => {
  const file = join(shared, 'other.img');
  const adopt = () => volume(['adopt', file, ...configured(inMemory(t), {})]);
  blank(file, 136 * MiB);
  const fresh = await adopt();
  t.equal(fresh.status, 0, fresh.stderr);
  t.match(fresh.stdout, /: fresh \(! overwrites what is on the disk\)/);
  t.match(fresh.stdout, /│ whole disk, 136 MiB +│\n +│ blank /);
  t.match(fresh.stdout, /│ ! metadata, 99 MiB +│ ! data, 35 MiB +│/);
  for (const step of ['partition', 'mark-formatting', 'format', 'make-filesystem'])
    t.match(fresh.stdout, new RegExp(`^  ! \\d\\. ${step} `, 'm'), `${step} is marked`);

  const refused: Readonly<Record<string, readonly [RegExp, () => void]>> = {
    foreign: [/TSD07013E/, () => put(file, 1000, Buffer.from('somebody wrote this'))],
    'one partition': [/HPL07006E/, () => partition(file, ['data'])],
    'a forged header': [
      /TSD07014E/,
      () => {
        copyFileSync(sample, file);
        const { offset } = partitionOf(file, 2);
        const head = take(file, offset, 16 * MiB);
        forge(head, 0, (json) => {
          for (const segment of Object.values(json.segments)) segment.encryption = 'cipher_null-ecb';
        });
        put(file, offset, head);
      },
    ],
  };
  for (const [name, [id, make]] of Object.entries(refused)) {
    blank(file, 136 * MiB);
    make();
    const before = fingerprint(file);
    const { status, stdout } = await adopt();
    t.equal(status, 1, name);
    t.match(stdout, id, name);
    t.equal(fingerprint(file), before, `${name}: untouched`);
  }
});

t.test('an observation gives the same plan anywhere, and holds no secret', async (t) => {
  const folder = inMemory(t);
  const kept = join(folder, 'case.json');
  const blankDisk = join(folder, 'blank.img');
  blank(blankDisk, 136 * MiB);
  for (const disk of [sample, blankDisk]) {
    const file = `${kept}.${disk === sample ? 'sample' : 'blank'}`;
    const first = await volume([
      'adopt',
      disk,
      '--save-observation',
      file,
      ...configured(folder, { kms }),
      '--offline',
    ]);
    t.equal(first.status, 0, first.stderr);
    t.equal(statSync(file).mode & 0o777, 0o600);
    const replayed = await volume(['plan', '--observation', file]);
    t.equal(replayed.stdout, first.stdout, 'the same drawing, steps and digest, new identities included');
    t.equal(replayed.status, 0);
    const text = readFileSync(file, 'utf8');
    for (const secret of ['seed:of', 'seed_of', 'throw-away-api-key', passphrase]) t.notMatch(text, secret);
    t.equal((await volume(['plan', '--observation', '-', '--json'], { input: text })).status, 0, 'from standard input');
    const again = await volume(['adopt', disk, '--save-observation', file, ...configured(folder, {})]);
    t.equal(again.status, 3, 'a file that exists is never overwritten');
  }
  const failed = join(folder, 'failed.json');
  const wrong = configured(folder, { envSeed: 'another-seed-of-somebody' });
  const refused = await volume(['adopt', sample, '--save-observation', failed, ...wrong]);
  t.equal(refused.status, 1);
  const replayed = await volume(['plan', '--observation', failed]);
  t.strictSame([replayed.status, replayed.stdout], [1, refused.stdout], 'what the seeds said is in it too');
});

t.test('replaying reads nothing but the file', async (t) => {
  const folder = inMemory(t);
  const file = join(folder, 'case.json');
  await volume(['adopt', sample, '--save-observation', file, ...configured(folder, {})]);
  const touched: string[] = [];
  const { status } = await volume(['plan', '--observation', file], {
    changed: (host) => ({
      ...host,
      run: async ({ program }) => {
        touched.push(program);
        throw new Error(program);
      },
      disks: {
        list: async () => {
          touched.push('disks');
          return [];
        },
        open: async (path) => {
          touched.push(path);
          throw new Error(path);
        },
      },
      files: {
        ...host.files,
        read: (path, limit) => {
          touched.push(path);
          return host.files.read(path, limit);
        },
      },
    }),
  });
  t.equal(status, 0);
  t.strictSame(touched, [file]);
});

t.test('header-backup: stock tools read it, and dd puts it back', async (t) => {
  const folder = inMemory(t);
  const device = join(folder, 'data');
  const backup = join(folder, 'backup');
  const { offset, length } = partitionOf(sample, 2);
  blank(device, length);
  put(device, 0, take(sample, offset, length));
  const before = fingerprint(device);
  const { status, stdout, stderr } = await volume(['header-backup', device, '-o', backup]);
  t.equal(status, 0, stderr);
  t.equal(fingerprint(device), before, 'the device is only read');
  t.equal(statSync(backup).mode & 0o777, 0o600);
  const manifest = JSON.parse(readFileSync(`${backup}.json`, 'utf8'));
  t.equal(tool('sha256sum', [backup]).slice(0, 64), manifest.sha256, 'sha256sum agrees with the manifest');
  t.match(stdout, new RegExp(manifest.sha256));
  t.equal(opensWith(backup, passphrase), true, 'cryptsetup opens the backup as a header');
  t.strictSame(luksJsonOf(backup), luksJsonOf(device));
  t.equal((await volume(['header-backup', device, '-o', backup])).status, 3, 'a file that exists is never overwritten');

  zero(device, 0, 16 * MiB);
  t.equal(opensWith(device, passphrase), false);
  tool('dd', [`if=${backup}`, `of=${device}`, 'bs=1M', 'conv=notrunc,fsync', 'status=none']);
  t.equal(opensWith(device, passphrase), true, 'put back with dd');
  zero(device, 0, 16 * MiB);
  tool('cryptsetup', ['luksHeaderRestore', '--batch-mode', `--header-backup-file=${backup}`, device]);
  t.equal(opensWith(device, passphrase), true, 'and with cryptsetup');
  zero(device, 0, 4096);
  t.equal((await volume(['header-backup', device, '-o', `${backup}-2`])).status, 0, 'one copy is enough');
  t.equal(opensWith(`${backup}-2`, passphrase), true, 'the backup has both again');
});

t.test('header-backup: what cannot be trusted is not kept', async (t) => {
  const folder = inMemory(t);
  const file = join(folder, 'disk');
  const cases: Readonly<Record<string, readonly [RegExp, () => void]>> = {
    'a whole disk': [/its volume is partition 2/, () => copyFileSync(sample, file)],
    'a blank device': [/there is no LUKS2 header/, () => blank(file, 32 * MiB)],
    'a forged header': [
      /cipher_null/,
      () => {
        const bytes = take(sample, partitionOf(sample, 2).offset, 17 * MiB);
        forge(bytes, 0, (json) => {
          for (const segment of Object.values(json.segments)) segment.encryption = 'cipher_null-ecb';
        });
        writeFileSync(file, bytes);
      },
    ],
  };
  for (const [name, [detail, make]] of Object.entries(cases)) {
    make();
    const { status, stderr } = await volume(['header-backup', file, '-o', join(folder, 'out')]);
    t.equal(status, 1, name);
    t.match(stderr, /TSD07073E/, name);
    t.match(stderr, detail, name);
    t.notOk(existsSync(join(folder, 'out')), `${name}: no file`);
  }
});

t.test('wipe: only who names the disk destroys it, and then a boot finds it blank', async (t) => {
  const folder = inMemory(t);
  const disk = join(folder, 'disk.img');
  copyFileSync(sample, disk);
  const before = fingerprint(disk);
  const refusals: Readonly<Record<string, Parameters<typeof volume>>> = {
    'nobody to ask': [['wipe', disk]],
    'another name is typed': [['wipe', disk], { answer: 'data' }],
    'yes is no name': [['wipe', disk], { answer: 'yes' }],
    'nothing is typed': [['wipe', disk], { answer: '' }],
    'another name is given': [['wipe', disk, '--name', 'other']],
  };
  for (const [name, given] of Object.entries(refusals)) {
    const { status, stderr } = await volume(...given);
    t.equal(status, 1, name);
    t.match(stderr, /TSD07075E/, name);
    t.equal(fingerprint(disk), before, `${name}: untouched`);
  }
  t.equal((await volume(['wipe', disk, '--yes'])).status, 2, 'there is no --yes');

  const { status, stdout, questions } = await volume(['wipe', disk], { answer: disk });
  t.equal(status, 0);
  t.match(questions, [new RegExp(`Type ${disk} to destroy everything`)]);
  t.match(stdout, /is blank; [\d.]+ MiB of 136 MiB were written/);
  t.equal(tool('cmp', ['--bytes', String(136 * MiB), disk, '/dev/zero']), '', 'every byte is zero');
  t.match((await volume(['adopt', disk, ...configured(folder, {})])).stdout, /: fresh /);
});

t.test('wipe: a volume of ours must be called by its name', async (t) => {
  const folder = inMemory(t);
  const disk = join(folder, 'disk.img');
  copyFileSync(sample, disk);
  const { offset } = partitionOf(disk, 2);
  const head = take(disk, offset, 16 * MiB);
  forge(head, 0, (json) => {
    json.tokens = { '0': { type: 'triseed', keyslots: ['0'], version: 1, volume: 'payroll', scheme: 'two-seed' } };
  });
  put(disk, offset, head);
  t.equal((await volume(['wipe', disk, '--name', disk])).status, 1, 'its path is not enough');
  zero(disk, 0, MiB);
  const lost = await volume(['wipe', disk, '--name', disk]);
  t.equal(lost.status, 1, 'nor when the partition table is gone');
  t.match(lost.stderr, /volume payroll/);
  t.equal((await volume(['wipe', disk, '--name', 'payroll'])).status, 0);
});

t.test('wipe: wherever it is cut off, no boot takes the disk for blank or opens it', async (t) => {
  const folder = inMemory(t);
  const disk = join(folder, 'disk.img');
  for (const writes of [1, 2, 3]) {
    copyFileSync(sample, disk);
    let left = writes;
    const cut = await volume(['wipe', disk, '--name', disk], {
      changed: (host) => ({
        ...host,
        disks: {
          ...host.disks,
          open: async (path, access) => {
            const device = await host.disks.open(path, access);
            return {
              ...device,
              write: async (offset, bytes) => {
                if (left === 0) throw new Error('power');
                left -= 1;
                await device.write(offset, bytes);
              },
            };
          },
        },
      }),
    });
    t.equal(cut.status, 3, `cut after ${writes} writes`);
    const { status, stdout } = await volume(['adopt', disk, ...configured(folder, {})]);
    t.equal(status, 1, stdout);
    t.match(stdout, /: refused/, `after ${writes} writes`);
    t.equal((await volume(['wipe', disk, '--name', disk])).status, 0, 'once more, to the end');
  }
});
