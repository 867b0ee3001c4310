/** Every command of a key owner against the local service: what people read, what scripts get, what is asked first. */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { serve, triseedKms, triseedKmsAnswering } from './key-service.ts';

t.setTimeout(120_000);

const HOUR = 3600;

t.test('the life of a key at the command line', async (t) => {
  const folder = t.testdir();
  const served = await serve([
    '--api-key-file',
    `${folder}/api-key`,
    '--role',
    'Manager+KeyPurge',
    '--instance',
    'payments',
  ]);
  t.teardown(() => served.stop('SIGKILL'));
  const access = ['--instance', 'payments', '--api-key-file', `${folder}/api-key`, '--endpoint', served.url];
  const kms = (...args: readonly string[]) => triseedKms(...args, ...access);
  const key = (...args: readonly string[]) => kms('key', ...args);
  const json = async (...args: readonly string[]) => {
    const ended = await kms(...args, '--json');
    t.equal(ended.status, 0, `${args.join(' ')}: ${ended.stderr}`);
    return JSON.parse(ended.stdout);
  };
  const advance = async (seconds: number): Promise<void> => {
    const answer = await fetch(`${served.url}/__triseed/clock`, {
      method: 'POST',
      body: JSON.stringify({ advanceSeconds: seconds }),
    });
    t.equal(answer.status, 200);
  };

  t.match(await key('list'), { status: 0, stdout: 'no keys\n' });
  const made = await json('key', 'create', 'payroll', '--alias', 'pay', '--description', 'salaries');
  t.match(made, { name: 'payroll', state: 1, aliases: ['pay'], description: 'salaries' });
  const { id } = made;
  t.match((await key('list')).stdout, new RegExp(`^STATE +ID +NAME.*\\nactive +${id} +payroll +pay +default`));
  t.match((await key('show', 'pay')).stdout, new RegExp(`^id +${id}\\n(.*\\n)+aliases +pay\\n`, 'm'), 'by its alias');

  await t.test('names, rings, rotation, deletion by two', async (t) => {
    t.match((await json('key', 'alias', id, 'salary')).aliases, ['pay', 'salary']);
    t.match((await json('key', 'unalias', id, 'pay')).aliases, ['salary']);
    t.match(await key('unalias', id, 'pay'), {
      status: 1,
      stderr: /KEY_ALIAS_NOT_FOUND_ERR.*correlation id [0-9a-f-]{36}/,
    });
    t.match(await kms('ring', 'create', 'finance'), { status: 0, stdout: /^RING +CREATED +BY\ndefault .*\nfinance / });
    t.equal((await json('key', 'move', id, 'finance')).keyRingID, 'finance');
    t.match(await json('key', 'list', '--ring', 'finance'), [{ id }]);
    t.strictSame(await json('key', 'list', '--ring', 'default'), []);
    t.match(await kms('ring', 'delete', 'finance'), { status: 1, stderr: /KEY_RING_NOT_EMPTY_ERR/ });
    await json('key', 'move', id, 'default');
    t.strictSame(
      (await json('ring', 'delete', 'finance')).map((ring: { id: string }) => ring.id),
      ['default'],
    );

    t.match(await key('policy', id), { status: 0, stdout: 'rotation  by hand only\ndeletion  needs one person\n' });
    t.match((await key('policy', id, '--rotate-every', '2')).stdout, /^rotation +every 2 months$/m);
    await advance(61 * 24 * HOUR);
    const rotated = await json('key', 'show', id);
    t.equal(rotated.versions.length, 2, 'the service rotated it');
    t.match((await key('show', id)).stdout, /^rotates +every 2 months$/m);
    t.match((await key('policy', id, '--no-rotation')).stdout, /^rotation +by hand only$/m);
    t.match(await key('policy', id, '--rotate-every', '13'), { status: 2 });
    t.match(await key('policy', id, '--rotate-every', '3', '--no-rotation'), { status: 2 });
  });

  await t.test('an imported key is rotated with the bytes of its next version', async (t) => {
    writeFileSync(`${folder}/one`, Buffer.alloc(32, 1));
    writeFileSync(`${folder}/two`, Buffer.alloc(32, 2));
    const imported = await json('key', 'import', 'ours', '--payload-file', `${folder}/one`, '--alias', 'ours');
    t.match(await key('rotate', 'ours', '--yes'), { status: 1, stderr: /KEY_PAYLOAD_REQ_ERR/ });
    const rotated = await json('key', 'rotate', 'ours', '--yes', '--payload-file', `${folder}/two`);
    t.equal(rotated.id, imported.id);
    t.equal(rotated.versions.length, 2);
    writeFileSync(`${folder}/short`, Buffer.alloc(31, 1));
    t.match(await key('import', 'short', '--payload-file', `${folder}/short`), { status: 1, stderr: /HTTP 400/ });
  });

  await t.test('what hurts volumes is said, and asked', async (t) => {
    const rows: readonly (readonly [verb: string, effect: RegExp])[] = [
      ['rotate', /new version.*nothing\nstops/s],
      ['disable', /Every guest with an open volume.*restarts.*No data is lost/s],
      ['delete', /no volume under it can be opened.*30 days.*lost for ever/s],
      ['purge', /never be restored.*lost for ever/s],
    ];
    const before = readFileSync(`${folder}/api-key`);
    for (const [verb, effect] of rows) {
      const alone = await key(verb, id);
      t.match(alone, { status: 1, stdout: '' }, `${verb}: nobody is there to be asked`);
      t.match(alone.stderr, effect);
      t.match(alone.stderr, /TSD06022E/);
      for (const answer of ['no', '', 'nope', 'y es'])
        t.match(await triseedKmsAnswering(answer, 'key', verb, id, ...access), { status: 1, stdout: '' }, answer);
    }
    t.equal((await json('key', 'show', id)).state, 1, 'nothing happened');
    t.ok(readFileSync(`${folder}/api-key`).equals(before));

    t.match(await triseedKmsAnswering('yes', 'key', 'disable', id, ...access), { status: 0, stdout: /suspended/ });
    t.match(await key('enable', id), { status: 1, stderr: /REQ_TOO_EARLY_ERR/ });
    await advance(31);
    t.match(await key('enable', id), { status: 0, stdout: /^state +active$/m, stderr: '' });
    t.match(await key('delete', id, '--yes'), { status: 0, stdout: /^state +destroyed$/m, stderr: /lost for ever/ });
    t.strictSame(
      (await json('key', 'list')).map((one: { name: string }) => one.name),
      ['ours'],
    );
    t.match((await key('list', '--deleted')).stdout, new RegExp(`^destroyed +${id}`, 'm'));
    await advance(31);
    t.match(await key('restore', id), { status: 0, stdout: /^state +active$/m });

    t.match((await key('policy', id, '--dual-authorization')).stdout, /^deletion +needs two people$/m);
    t.match(await key('delete', id, '--yes'), { status: 1, stderr: /AUTHORIZATIONS_NOT_MET/ });
    t.match((await json('key', 'authorize-deletion', id)).dualAuthDelete, { keySetForDeletion: true });
    t.match((await json('key', 'withdraw-deletion', id)).dualAuthDelete, { keySetForDeletion: false });
    t.match(await key('delete', 'ours', '--yes'), { status: 0 });
    t.match(await key('purge', 'ours', '--yes'), { status: 1, stderr: /REQ_TOO_EARLY_ERR/ });
    await advance(4 * HOUR);
    t.match(await key('purge', 'ours', '--yes'), { status: 0, stdout: /purged/ });
    t.match(await key('show', 'ours'), { status: 1, stderr: /HTTP 404 KEY_NOT_FOUND_ERR/ });
  });

  await t.test('policies of the instance', async (t) => {
    t.match(await kms('policies', 'list'), { status: 0, stdout: 'no policies\n' });
    const set = (name: string, ...args: readonly string[]) => kms('policies', 'set', name, ...args);
    t.match(await set('rotation', '--attribute', 'interval_month=3'), {
      status: 0,
      stdout: /^POLICY +STATE +ATTRIBUTES\nrotation +on +\{"interval_month":3\}/,
    });
    t.match(await set('keyCreateImportAccess', '--attribute', 'create_root_key=false'), { status: 0 });
    t.match(await key('create', 'forbidden'), { status: 1, stderr: /KEY_CREATE_IMPORT_ACCESS_ERR/ });
    t.match(await set('keyCreateImportAccess', '--off'), { stdout: /^keyCreateImportAccess +off/m });
    t.match(await key('create', 'allowed'), { status: 0, stdout: /^rotates +every 3 months$/m });
    t.match(await set('rotation', '--attribute', 'interval_month=13'), { status: 1, stderr: /INVALID_FIELD_ERR/ });
    t.match(await set('weather'), { status: 2 });
    t.match(await set('rotation', '--off', '--attribute', 'interval_month=3'), { status: 2 });
    t.match(await set('allowedIP', '--attribute', 'allowed_ip=192.0.2.0/24,198.51.100.0/24'), { status: 1 });
    t.match(await key('list'), { status: 1, stderr: /HTTP 401/ }, 'it locked us out as it should');
  });
  t.equal(await served.stop(), 0);
});

t.test('wrong usage is told before anything is sent', async (t) => {
  const folder = t.testdir({ 'api-key': 'nobody-knows-this-key\n' });
  const at = ['--instance', 'payments', '--api-key-file', `${folder}/api-key`];
  const rows: readonly (readonly [args: readonly string[], said: RegExp])[] = [
    [['key', 'list', ...at, '--service', 'vault'], /kms, hs-crypto/],
    [['key', 'list', ...at, '--type', 'secret'], /public, private/],
    [['key', 'list', ...at, '--region', 'us.evil.example/'], /--region/],
    [['key', 'list', ...at.with(1, 'crn:v1:x')], /--instance/],
    [['key', 'list', ...at, '--endpoint', 'http://10.0.2.2'], /plain http/],
    [['key', 'list', ...at, '--proxy', 'socks://10.0.2.2:1'], /proxy/],
    [['ring', 'list', ...at, '--iam', 'http://iam.example'], /--iam/],
    [['key', 'rotate', ...at], /missing/],
  ];
  for (const [args, said] of rows) t.match(await triseedKms(...args), { status: 2, stderr: said }, args.join(' '));
});
