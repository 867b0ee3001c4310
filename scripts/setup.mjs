/**
 * Makes a checkout ready to run: the Node packages of package-lock.json, among them the pinned Node itself, and the
 * Debian packages of debian-packages.txt. Says nothing and takes no time when all is there.
 *
 *   node scripts/setup.mjs [--npm-only]
 *
 * Runs under whatever Node the machine has, so it uses no package and no recent syntax (Node 12 must get as far as the
 * sentence about its age). Exit status: 0 ready, 3 not ready, with what to do on standard error.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...names) => join(root, ...names);
const say = (text) => process.stderr.write(`triseed: ${text}\n`);

const giveUp = (text) => {
  say(text);
  process.exit(3);
};

// A Ctrl-C reaches npm and apt as well; they finish or undo what they are doing, and we report that.
process.on('SIGINT', () => {});

/** Runs a program to its end; its output is kept for the case that it fails, unless `options` say otherwise. */
const run = (program, args, options) => {
  const result = spawnSync(program, args, Object.assign({ encoding: 'utf8', cwd: root, maxBuffer: 1 << 28 }, options));
  return {
    ok: result.status === 0,
    output: `${result.stdout || ''}${result.stderr || ''}`,
    stdout: result.stdout || '',
  };
};

const checkPlatform = () => {
  if (Number(process.versions.node.split('.')[0]) < 18) {
    giveUp(`Node ${process.versions.node} is too old to set this up; Node 18 or later is needed (Debian 12 has it)`);
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    giveUp(`the tests and the demonstration need Linux on x86-64; this is ${process.platform} on ${process.arch}`);
  }
};

const manifest = JSON.parse(readFileSync(at('package.json'), 'utf8'));
const stampFile = at('node_modules', '.triseed-setup');

/** What node_modules has to be made from: the lock, and the plugins that the test runner is built with. */
const wantedStamp = () => {
  const lock = createHash('sha256')
    .update(readFileSync(at('package-lock.json')))
    .digest('hex');
  return { lock, plugins: JSON.stringify(manifest.tap.plugin) };
};

const readStamp = () => {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch (_) {
    return {};
  }
};

/** PATH without our own packages: the Node there is about to be replaced. */
const foreignPath = () =>
  (process.env.PATH || '')
    .split(delimiter)
    .filter((folder) => folder !== at('node_modules', '.bin'))
    .join(delimiter);

const npm = (args) => {
  const env = Object.assign({}, process.env, { PATH: foreignPath() });
  const cli = process.env.npm_execpath;
  const node = process.env.npm_node_execpath;
  const options = { env, stdio: ['ignore', 2, 2] };
  // The npm that runs us, under the Node that runs it.
  return cli && node && !node.startsWith(at('node_modules')) && existsSync(node)
    ? run(node, [cli, ...args], options)
    : run('npm', args, options);
};

const installNodePackages = () => {
  if (readStamp().lock === wantedStamp().lock) return;
  say('installing the Node packages (about 20 seconds) …');
  // No package runs a script of its own: none needs one.
  if (!npm(['ci', '--ignore-scripts', '--loglevel=error', '--no-fund', '--no-audit']).ok) {
    giveUp('npm ci failed; its words are above');
  }
};

/** The plugins named in package.json are built into the test runner; its first run would fail otherwise. */
const buildTestRunner = () => {
  const wanted = wantedStamp();
  const present = readStamp();
  if (present.lock === wanted.lock && present.plugins === wanted.plugins) return;
  say('building the test runner …');
  const env = Object.assign({}, process.env, { PATH: at('node_modules', '.bin') + delimiter + foreignPath() });
  const built = run(at('node_modules', '.bin', 'tap'), ['build'], { env });
  if (!built.ok) giveUp(`the test runner could not be built:\n${built.output}`);
  writeFileSync(stampFile, `${JSON.stringify(wanted)}\n`);
};

/** Everything after this step must run under the Node that package.json pins, not the machine's. */
const checkNode = () => {
  const pinned = manifest.devDependencies.node.replace(/^.*@/, '');
  const ours = at('node_modules', '.bin', 'node');
  const version = run(ours, ['--version']).stdout.trim();
  if (version !== `v${pinned}`) {
    giveUp(
      `node_modules/.bin/node is ${version || 'missing'} instead of v${pinned}; remove node_modules and try again`,
    );
  }
  if (!process.env.npm_lifecycle_event) return;
  const first = process.env.PATH.split(delimiter)
    .map((folder) => join(folder, 'node'))
    .find((file) => existsSync(file));
  if (!first || realpathSync(first) !== realpathSync(ours)) {
    giveUp(`npm scripts would run ${first} instead of ${ours}; check PATH and npm's script-shell`);
  }
};

const readPackageList = () =>
  readFileSync(at('scripts', 'debian-packages.txt'), 'utf8')
    .split('\n')
    .map((line) => /^([a-z0-9.+-]+)\s*#\s*(\[unit\])?/.exec(line))
    .filter((match) => match)
    .map((match) => ({ name: match[1], unit: Boolean(match[2]) }));

const missingOf = (names) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a format of dpkg-query(1)
  const format = '--showformat=${Package} ${db:Status-Status}\n';
  const query = run('dpkg-query', ['--show', format, ...names]);
  const installed = new Set(
    query.stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
};

const haveLists = () => {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => /_Packages(\.\w+)?$/.test(name));
  } catch (_) {
    return false;
  }
};

/** How to become root: nothing to do, sudo without or with a question, or null. */
const rootPrefix = () => {
  if (process.getuid() === 0) return [];
  if (run('sudo', ['-n', 'true']).ok) return ['sudo', '-n'];
  return process.stdin.isTTY && process.stderr.isTTY && run('sudo', ['--version']).ok ? ['sudo'] : null;
};

const installDebianPackages = () => {
  const missing = missingOf(readPackageList().map(({ name }) => name));
  if (missing.length === 0) return;
  const install = ['install', '--yes', '--no-install-recommends', ...missing];
  const typed = `apt-get update && apt-get ${install.join(' ')}`;
  if (!existsSync('/usr/bin/apt-get'))
    giveUp(`this needs Debian or a relative of it; missing here: ${missing.join(' ')}`);
  const prefix = rootPrefix();
  if (prefix === null) giveUp(`these Debian packages are missing; as root, type:\n\n    ${typed}\n`);
  say(`installing Debian packages: ${missing.join(' ')} …`);
  const aptGet = (args) => {
    const words = [
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-q',
      '-o',
      'DPkg::Lock::Timeout=120',
      '-o',
      'Dpkg::Use-Pty=0',
      ...args,
    ];
    const [program, ...rest] = [...prefix, ...words];
    // sudo asks on the terminal itself, whatever becomes of standard input.
    return run(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  };
  const listed = haveLists();
  let result = listed ? { ok: true, output: '' } : aptGet(['update']);
  if (result.ok) result = aptGet(install);
  // Old lists name versions that are gone.
  if (!result.ok && listed) {
    result = aptGet(['update']);
    if (result.ok) result = aptGet(install);
  }
  if (!result.ok) giveUp(`apt-get failed:\n${result.output}\nWhen that is mended, as root: ${typed}`);
  const still = missingOf(missing);
  if (still.length > 0) giveUp(`apt-get reported success, but these are not installed: ${still.join(' ')}`);
};

const mentionMissing = () => {
  const missing = missingOf(
    readPackageList()
      .filter(({ unit }) => unit)
      .map(({ name }) => name),
  );
  if (missing.length > 0) say(`not installed, though some unit tests need them: ${missing.join(' ')}`);
};

checkPlatform();
// Debian's first: the pinned Node needs one of them.
if (process.argv.includes('--npm-only')) mentionMissing();
else installDebianPackages();
installNodePackages();
checkNode();
buildTestRunner();
