/** The report that a boot leaves, however it ends: against its schema, and without anything secret. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import t, { type Test } from 'tap';
import { boot } from '../../agent/boot.ts';
import { bootReportPath, reportedFailure } from '../../agent/boot-report.ts';
import { parseConfiguration } from '../../agent/configuration-parse.ts';
import { AgentError } from '../../agent/errors.ts';
import { expiryPath } from '../../agent/notices/expiry-file.ts';
import type { Host } from '../../agent/ports.ts';
import { manualClock } from '../fakes/clock.ts';
import { filesInMap } from '../fakes/files-in-map.ts';
import { hostOnFiles } from '../fakes/host-on-files.ts';

const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../../contract-schema/boot-report.json'), 'utf8'));
const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
addFormats.default(ajv);
const validate = ajv.compile(schema);

const seed = 'PLANTED_seed_of_the_deployer';
const good = `workload: |
  type: workload
  play: {}
  env: { WORD: PLANTED-variable }
env: |
  type: env
  logging: { logRouter: { hostname: logs.example, iamApiKey: PLANTED-log-key } }
`;
const withVolume = good
  .replace('  play: {}', `  play: {}\n  volumes: { data: { seed: ${seed} } }`)
  .concat(`  volumes: { data: { seed: ${seed} } }\n`);

/** A boot over a contract file, with what it left. */
const booted = async (
  contract: string | null,
  given: {
    readonly certificate?: string;
    readonly unwritable?: string;
    readonly disks?: () => never;
    readonly isHeld?: boolean;
  } = {},
) => {
  const files = filesInMap({
    '/proc/sys/kernel/random/boot_id': '6f0f7a8e-6d2b-4a0b-9c58-0f6f6f1d2c3b\n',
    ...(contract === null ? {} : { '/contract': contract }),
    ...(given.certificate === undefined ? {} : { '/certificate': given.certificate }),
  });
  files.folders.set('/', 0o755);
  const base = hostOnFiles();
  const clock = manualClock(1_000_000, new Date('2026-11-21T18:00:00Z'));
  const writeAtomically: Host['files']['writeAtomically'] = async (path, ...more) => {
    if (path === given.unwritable) throw new AgentError('FILE_UNWRITABLE', { path, reason: 'ENOSPC' });
    return files.writeAtomically(path, ...more);
  };
  const host: Host = {
    ...base,
    files: { ...files, writeAtomically },
    clock,
    disks: { ...base.disks, list: async () => given.disks?.() ?? [] },
    locks: { acquire: async (name) => (given.isHeld === true && name === 'boot' ? null : base.locks.acquire(name)) },
  };
  const defaults = parseConfiguration(
    'contract: { sources: [ { file: /contract } ] }\nvolumes: { deviceWaitSeconds: 2 }',
  );
  const certificate = given.certificate === undefined ? null : '/certificate';
  const settings = { ...defaults, contract: { ...defaults.contract, certificate } };
  const outcome = await clock.run(
    boot(host, settings, { credentialsFolder: null }).then(
      () => null,
      (error: unknown) => error,
    ),
  );
  const file = files.files.get(bootReportPath('/run/triseed'));
  const text = file?.bytes.toString() ?? '';
  return {
    outcome,
    files,
    mode: file?.mode,
    text,
    report: text === '' ? null : JSON.parse(text),
    messages: base.messages,
  };
};

const fits = (t: Test, report: unknown): void => {
  t.ok(validate(report), JSON.stringify(validate.errors));
};

t.test('a boot that succeeds', async (t) => {
  const { outcome, report, mode, text, files } = await booted(good);
  t.equal(outcome, null);
  fits(t, report);
  t.equal(mode, 0o600);
  t.match(report, {
    version: 1,
    bootId: '6f0f7a8e-6d2b-4a0b-9c58-0f6f6f1d2c3b',
    startedAt: '2026-11-21T18:00:00.000Z',
    outcome: 'succeeded',
    contract: { source: '/contract', profile: 'hpvs', workload: 'play', logging: 'logRouter', signer: null },
    encryptionCertificate: null,
    volumes: [],
    failure: null,
  });
  t.match(report.contract.findings, [{ id: /^(HPL|TSD)\d{5}[IWE]$/, rule: 'CONTRACT_UNSIGNED', severity: 'warning' }]);
  t.strictSame(report.contract.sections.env, { form: 'text', sha256: null }, 'no hash of a plain section');
  t.notMatch(text, /PLANTED/);
  t.same(JSON.parse(files.files.get(expiryPath('/run/triseed'))?.bytes.toString() ?? ''), {
    version: 1,
    contract: null,
    certificate: null,
  });
});

t.test('boots that fail: the message, its causes, what to do', async (t) => {
  const cases: readonly (readonly [
    what: string,
    contract: string | null,
    id: string,
    component: string,
    known: boolean,
  ])[] = [
    ['no contract', null, 'HPL05002E', 'hpcr-contract', false],
    ['no YAML', 'workload: [', 'HPL11001E', 'bootloader', false],
    ['a bad section', good.replace('play: {}', 'play: 7'), 'HPL05001E', 'hpcr-contract', false],
    ['no disk for a volume', withVolume, 'TSD07003E', 'hpcr-disk-standby', true],
  ];
  for (const [what, contract, id, component, known] of cases) {
    const { outcome, report, text, files } = await booted(contract);
    if (!(outcome instanceof AgentError)) throw outcome;
    t.equal(outcome.id, id, what);
    fits(t, report);
    t.match(report, { outcome: 'failed', failure: { id, component, text: outcome.message }, volumes: [] }, what);
    t.equal(report.contract !== null, known, `${what}: what was known by then`);
    t.notMatch(text, /PLANTED/, what);
    t.notOk(files.files.has(expiryPath('/run/triseed')), 'nothing to give notice of');
  }
});

t.test(
  'a second boot waits a little for the first, looks at no disk, and leaves the report of the first',
  async (t) => {
    const { outcome, text } = await booted(withVolume, {
      isHeld: true,
      disks: () => {
        throw new Error('a disk was looked for');
      },
    });
    t.match(outcome, { code: 'BOOT_UNDERWAY' });
    t.equal(text, '');
  },
);

t.test('an error that is not ours is named and not quoted: its text could hold anything', async (t) => {
  const bug = new TypeError(`no way to spell ${seed}`, { cause: new RangeError(`${seed} is too long`) });
  const unexpected = await booted(withVolume, {
    disks: () => {
      throw bug;
    },
  });
  fits(t, unexpected.report);
  t.equal(unexpected.outcome, bug);
  t.match(unexpected.report.failure, { name: 'INTERNAL_ERROR', text: 'TypeError', causes: [{ text: 'RangeError' }] });
  t.notMatch(unexpected.text, /PLANTED/);
  const refused = await booted(withVolume, {
    disks: () => {
      throw new AgentError('FILE_UNREADABLE', { path: '/dev/vdb', reason: 'EIO' }, { cause: bug });
    },
  });
  t.match(refused.report.failure, { id: 'TSD00004E', causes: [{ text: 'TypeError' }, { text: 'RangeError' }] });
  t.notMatch(refused.text, /PLANTED/);
});

t.test('the encryption certificate: its end, or a warning', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'boot-report-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const subject = ['-subj', '/CN=image', '-days', '30', '-keyout', '/dev/null'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const certificate = execFileSync('openssl', ['req', '-x509', ...curve, ...subject], {
    cwd: folder,
    encoding: 'utf8',
    stdio: 'pipe',
  });
  const end = execFileSync('openssl', ['x509', '-noout', '-enddate'], { input: certificate, encoding: 'utf8' });
  const read = await booted(good, { certificate });
  fits(t, read.report);
  t.equal(read.report.encryptionCertificate.notAfter, new Date(end.trim().slice('notAfter='.length)).toISOString());
  const unread = await booted(good, { certificate: 'nothing of the kind' });
  t.equal(unread.outcome, null, 'no reason not to boot');
  t.equal(unread.report.encryptionCertificate, null);
  t.match(unread.messages, [{ name: 'CERTIFICATE_NOT_READ' }]);
});

t.test('a report that cannot be written changes nothing', async (t) => {
  const base = hostOnFiles();
  const files = filesInMap();
  const refuse = async (path: string): Promise<never> => {
    throw new AgentError('FILE_UNWRITABLE', { path, reason: 'ENOSPC' });
  };
  const host: Host = {
    ...base,
    files: { ...files, writeAtomically: refuse },
    disks: { ...base.disks, list: async () => [] },
  };
  await t.rejects(boot(host, parseConfiguration(''), { credentialsFolder: null }), { code: 'CONTRACT_NOT_EXISTS' });
  t.match(base.messages, [{ name: 'BOOT_REPORT_NOT_WRITTEN', facts: { reason: /ENOSPC/ } }]);
});

t.test('a failure with many causes, and one that is a bug', async (t) => {
  const lookup = new AgentError('FILE_UNREADABLE', { path: '/x', reason: 'EIO' });
  const many = new AgentError(
    'CONTRACT_EXPIRED',
    { notAfter: 'a', at: 'b' },
    {
      cause: new AggregateError(Array.from({ length: 40 }, () => lookup)),
    },
  );
  const told = reportedFailure(many);
  t.equal(told.causes.length, 16);
  t.strictSame(told.causes[1], { id: 'TSD00004E', text: lookup.message });
  t.match(reportedFailure(new TypeError('oops')), { id: null, name: 'INTERNAL_ERROR', text: 'TypeError', causes: [] });
  t.match(reportedFailure('oops'), { id: null, text: 'unknown' });
});

t.test('the schema refuses what is no report', async (t) => {
  const { report } = await booted(null);
  for (const change of [{ outcome: 'perhaps' }, { more: 1 }, { failure: {} }, { version: 2 }, { elapsedMs: -1 }])
    t.notOk(validate({ ...report, ...change }), JSON.stringify(change));
});

t.test('dates of expiry that cannot be left for the notices are no reason not to boot', async (t) => {
  const { outcome, messages, report } = await booted(good, { unwritable: expiryPath('/run/triseed') });
  t.equal(outcome, null);
  t.match(report, { outcome: 'succeeded' });
  t.ok(messages.some(({ name }) => name === 'EXPIRY_NOT_LEFT'));
});
