/** `seal --keep`: the same input gives the same bytes, and only what has changed gets a new token. */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { block, cert, env, guest, inFolder, keyFile, plain, run, signer, workload } from './contract-cli.ts';

const valueIn = (text: string, name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1] ?? '';
const names = ['workload', 'env', 'envWorkloadSignature'] as const;
const dayMs = 24 * 60 * 60 * 1000;
const later = (days: number): Date => new Date(Date.parse('2026-06-01T00:00:00Z') + days * dayMs);

/** Seals twice, the second time keeping the first; tells which values stayed. */
const series = (at: (name: string) => string) => {
  const seal = async (
    input: string,
    { more = [], key = signer, time = later(0) }: { more?: readonly string[]; key?: string; time?: Date } = {},
  ) => {
    const before = (() => {
      try {
        return readFileSync(at('user-data'), 'utf8');
      } catch {
        return '';
      }
    })();
    const done = await run(
      ['seal', '-', '--cert', cert, '--key', key, '--keep', at('user-data'), '-o', at('user-data'), ...more],
      input,
      time,
    );
    const after = readFileSync(at('user-data'), 'utf8');
    return { done, before, after, stayed: names.filter((name) => valueIn(before, name) === valueIn(after, name)) };
  };
  return seal;
};

t.test('unchanged input, unchanged bytes; a change changes its own token and the signature', async (t) => {
  const at = inFolder(t, {});
  const seal = series(at);
  const first = await seal(plain);
  t.equal(first.done.status, 0, first.done.stderr);
  t.match(first.done.stderr, /does not exist yet/);
  t.match(first.after, /^# triseed-keep: \S+\n$/m);
  t.notMatch(first.after, /hunter2/, 'comments of the contract are left out');

  const second = await seal(plain);
  t.equal(second.after, second.before, 'byte for byte');
  t.match(second.done.stderr, /encrypted nothing; kept workload, env; signed by/);
  t.notMatch(second.done.stderr, /sealed without --keep/);

  const changed = await seal(plain.replace('LOG_LEVEL: info', 'LOG_LEVEL: debug'));
  t.same(changed.stayed, ['env'], 'workload is new');
  t.equal((await run(['verify', at('user-data'), '--decrypt-key', guest])).status, 0);
  const opened = (await run(['decrypt', at('user-data'), '--key', guest])).stdout;
  t.match(opened, /LOG_LEVEL: debug/, 'and holds the change');

  const back = await seal(plain);
  t.same(back.stayed, ['env'], 'an older state is not remembered');
  t.equal((await seal(plain)).stayed.length, 3);

  const key = readFileSync(keyFile('signer.pub')).toString('base64');
  const attested = await seal(`${plain}attestationPublicKey: ${key}\n`);
  t.same(attested.stayed, names, 'a value that is added leaves the others');
  t.match(attested.done.stderr, /encrypted attestationPublicKey; kept workload, env/);
  t.equal((await seal(`${plain}attestationPublicKey: ${key}\n`)).after, attested.after);
});

t.test('another signer, guest or prefix keeps nothing', async (t) => {
  const at = inFolder(t, {});
  const seal = series(at);
  await seal(plain);
  const other = await seal(plain, { key: keyFile('other-key.pem') });
  t.same(other.stayed, [], 'another signer');
  t.match(other.done.stderr, /was sealed without --keep, or with another key/, 'and it is said why');
  await seal(plain);
  t.same((await seal(plain, { more: ['--profile', 'ccrt'] })).stayed, [], 'another prefix');
  await seal(plain);
  const elsewhere = await run(
    ['seal', '-', '--cert', keyFile('signer.pub'), '--key', signer, '--keep', at('user-data'), '-o', at('elsewhere')],
    plain,
  );
  t.match(elsewhere.stderr, /encrypted workload, env; signed/, 'another guest');
});

t.test('nobody gets a token of theirs signed: one that is not in the record is made anew', async (t) => {
  const at = inFolder(t, {});
  const seal = series(at);
  await seal(plain);
  const genuine = readFileSync(at('user-data'), 'utf8');
  const forged = await run(['seal', '-', '--cert', cert, '--key', keyFile('other-key.pem')], plain);
  const swapped = genuine.replace(valueIn(genuine, 'workload'), valueIn(forged.stdout, 'workload'));
  writeFileSync(at('user-data'), swapped);
  const after = await seal(plain);
  t.same(after.stayed, ['env'], 'the same text in a token of somebody else');
  t.notOk(after.after.includes(valueIn(forged.stdout, 'workload')));
  writeFileSync(at('user-data'), genuine.replace(/^# triseed-keep.*\n/m, ''));
  t.same((await seal(plain)).stayed, [], 'without the record nothing is known');
});

t.test("with the guest's key, tokens without a record are kept when they open to the same text", async (t) => {
  const at = inFolder(t, {});
  const seal = series(at);
  await seal(plain);
  writeFileSync(at('user-data'), readFileSync(at('user-data'), 'utf8').replace(/^# triseed-keep.*\n/m, ''));
  const kept = await seal(plain, { more: ['--decrypt-key', guest] });
  t.same(kept.stayed, names, kept.done.stderr);
  t.same((await seal(plain)).stayed, names, 'and are in the record from now on');
});

t.test('an expiring contract keeps its certificate for the first half of its days', async (t) => {
  const at = inFolder(t, {});
  const seal = series(at);
  const more = ['--expires-days', '90'];
  const first = await seal(plain, { more });
  t.equal(first.done.status, 0, first.done.stderr);
  const second = await seal(plain, { more, time: later(40) });
  t.equal(second.after, first.after, 'the same bytes 40 days later');
  t.match(second.done.stderr, /kept the signing certificate, which expires at 2026-08-30T00:00:00Z/);
  const third = await seal(plain, { more, time: later(46) });
  t.same(third.stayed, ['workload'], 'a new certificate is a new env');
  const verify = await run(['verify', at('user-data'), '--decrypt-key', guest, '--json'], '', later(46));
  t.match(JSON.parse(verify.stdout), { signer: { certificateNotAfter: '2026-10-15T00:00:00.000Z' } });
  t.same((await seal(plain, { more: ['--expires-days', '30'], time: later(46) })).stayed, ['workload'], 'other days');
  t.same((await seal(plain, { time: later(46) })).stayed, ['workload'], 'no expiry any more');
  const issued = ['--expires-days', '30', '--ca-cert', keyFile('signer.crt'), '--ca-key', signer];
  await seal(plain, { more: ['--expires-days', '30'], key: keyFile('other-key.pem') });
  t.same((await seal(plain, { more: issued, key: keyFile('other-key.pem') })).stayed, ['workload'], 'another issuer');
  t.equal((await seal(plain, { more: issued, key: keyFile('other-key.pem') })).stayed.length, 3);
});

t.test('the order of keys, unknown ones and with --comments the comments stay', async (t) => {
  const at = inFolder(t, {});
  const text = `# top\nenv: | # the deployer's\n${block(env)}# between\nboot:\n  sehdr: aGVsbG8= # inner\nworkload: |\n${block(workload)}# end\n`;
  const dropped = await run(['seal', '-', '--cert', cert, '--key', signer], text);
  t.match(dropped.stderr, /5 comment lines of the contract itself left out/);
  t.notMatch(dropped.stdout, /#/);
  t.match(dropped.stdout, /^env: \S+\nboot:\n {2}sehdr: aGVsbG8=\nworkload: \S+\nenvWorkloadSignature: \S+\n$/);
  const kept = await run(['seal', '-', '--cert', cert, '--key', signer, '--comments'], text);
  t.match(kept.stderr, /5 comment lines of the contract itself stay readable/);
  t.match(
    kept.stdout,
    /^# top\nenv: \S+ # the deployer's\n# between\nboot:\n {2}sehdr: aGVsbG8= # inner\nworkload: \S+\n# end\nenvWorkloadSignature: \S+\n$/,
  );
  writeFileSync(at('sealed'), kept.stdout);
  t.equal((await run(['verify', at('sealed'), '--decrypt-key', guest])).status, 0);
});
