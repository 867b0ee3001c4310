/** Two people, two secrets: what each hands over, what each can and cannot see, and what the guest makes of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { block, cert, env, guest, inFolder, keyFile, run, signer, workload } from './contract-cli.ts';

const theirSecret = 'workload_phrase_0001';
const ourSecret = 'env_phrase_00000001';

t.test('the workload owner encrypts, the deployer seals around the token, the guest opens both', async (t) => {
  // The owner has the workload and the image's certificate, and no more.
  const owner = inFolder(t, { 'workload.yaml': workload });
  const checked = await run(['validate', owner('workload.yaml'), '--section', 'workload']);
  t.equal(checked.status, 0, checked.stderr);
  const handed = await run([
    'encrypt',
    owner('workload.yaml'),
    '--section',
    'workload',
    '--cert',
    cert,
    '-o',
    owner('workload.token'),
  ]);
  t.equal(handed.status, 0, handed.stderr);
  const token = readFileSync(owner('workload.token'), 'utf8').trim();
  t.notMatch(token + handed.stdout + handed.stderr, new RegExp(theirSecret));

  // The deployer has that one line and an env of their own.
  const deployer = inFolder(t, { 'env.yaml': env, 'contract.yaml': `workload: ${token}\nenv: |\n${block(env)}` });
  t.equal((await run(['validate', deployer('env.yaml'), '--section', 'env'])).status, 0);
  const said = await run(['validate', deployer('contract.yaml')]);
  t.equal(said.status, 0, said.stderr);
  t.match(said.stderr, /SECTION_NOT_OPENED: workload.*whether volumes have one key in both sections is not known/);
  const looked = await run(['inspect', deployer('contract.yaml')]);
  t.match(looked.stdout, /workload {5}token hyper-protect-basic, for an RSA-4096 key: closed/);
  t.match(looked.stdout, /volume data[\s\S]*whether workload names it, too, is not known: ask its owner/);
  const sealed = await run([
    'seal',
    deployer('contract.yaml'),
    '--cert',
    cert,
    '--key',
    signer,
    '-o',
    deployer('user-data'),
  ]);
  t.equal(sealed.status, 0, sealed.stderr);
  t.match(sealed.stderr, /encrypted env; signed by/);
  const userData = readFileSync(deployer('user-data'), 'utf8');
  t.ok(userData.includes(`workload: ${token}\n`), 'the token as it was handed over');
  const all = said.stdout + said.stderr + looked.stdout + looked.stderr + sealed.stdout + sealed.stderr + userData;
  t.notMatch(all, new RegExp(`${theirSecret}|${ourSecret}`), 'neither secret is anywhere');

  // Only the guest's key opens either.
  for (const key of [keyFile('signer-key.pem'), keyFile('other-key.pem')])
    t.equal((await run(['decrypt', deployer('user-data'), '--key', key])).status, 1, 'not with the signing key');
  const opened = await run(['decrypt', deployer('user-data'), '--key', guest]);
  t.match(opened.stdout, new RegExp(theirSecret));
  t.match(opened.stdout, new RegExp(ourSecret));
  t.equal((await run(['verify', deployer('user-data'), '--decrypt-key', guest])).status, 0);
  t.equal((await run(['validate', deployer('user-data'), '--decrypt-key', guest])).status, 0);

  // A new env leaves the token alone.
  writeFileSync(
    deployer('contract.yaml'),
    `workload: ${token}\nenv: |\n${block(env.replace('kmsTimeout: 10', 'kmsTimeout: 15'))}`,
  );
  const again = await run(['seal', deployer('contract.yaml'), '--cert', cert, '--key', signer]);
  t.ok(again.stdout.includes(token));
});

t.test('volumes that do not match show as soon as somebody can see both', async (t) => {
  const at = inFolder(t, { 'workload.yaml': workload.replace(/^( +)data:/m, '$1dta:') });
  const handed = await run(['encrypt', at('workload.yaml'), '--section', 'workload', '--cert', cert]);
  writeFileSync(at('contract.yaml'), `workload: ${handed.stdout.trim()}\nenv: |\n${block(env)}`);
  const blind = ['seal', at('contract.yaml'), '--cert', cert, '--key', signer];
  t.equal((await run([...blind, '-o', at('user-data')])).status, 0, 'the deployer alone cannot know');
  const seeing = await run([...blind, '--decrypt-key', guest]);
  t.equal(seeing.status, 1);
  t.match(seeing.stderr, /HPL07015E VOLUME_KEYS_DIFFER/);
  t.match((await run(['inspect', at('user-data'), '--decrypt-key', guest])).stdout, /MISSING in workload/);
});

t.test('the other way round: the deployer hands over env, and the last one signs', async (t) => {
  const key = readFileSync(keyFile('signer.pub')).toString('base64');
  const at = inFolder(t, { 'env.yaml': `signingKey: ${key}\n${env}` });
  const handed = await run(['encrypt', at('env.yaml'), '--section', 'env', '--cert', cert]);
  t.equal(handed.status, 0, handed.stderr);
  writeFileSync(at('contract.yaml'), `# release 7\nworkload: |\n${block(workload)}env: ${handed.stdout.trim()}\n`);
  const refused = await run(['seal', at('contract.yaml'), '--cert', cert, '--key', signer]);
  t.equal(refused.status, 1);
  t.match(refused.stderr, /triseed contract sign/, 'the refusal names the way');
  const encrypted = await run(['encrypt', at('contract.yaml'), '--cert', cert, '-o', at('encrypted')]);
  t.equal(encrypted.status, 0, encrypted.stderr);
  const signed = await run(['sign', at('encrypted'), '--key', signer, '-o', at('user-data')]);
  t.equal(signed.status, 0, signed.stderr);
  t.match(readFileSync(at('user-data'), 'utf8'), /^# release 7\nworkload: /, 'comments stay, as they do with encrypt');
  t.equal(
    (await run(['verify', at('user-data'), '--decrypt-key', guest, '--signer', keyFile('signer.pub')])).status,
    0,
  );
});

t.test('decrypt opens tokens where they stand', async (t) => {
  const at = inFolder(t, {});
  const text = `# top\nenv: | # ours\n${block(env)}boot:\n  sehdr: aGVsbG8= # inner\nworkload: |\n${block(workload)}# end\n`;
  const sealed = await run(['seal', '-', '--cert', cert, '--key', signer, '--comments', '-o', at('sealed')], text);
  t.equal(sealed.status, 0, sealed.stderr);
  const opened = (await run(['decrypt', at('sealed'), '--key', guest])).stdout;
  t.equal(
    opened.replace(/^ *signingKey: .*\n/m, '').replace(/^envWorkloadSignature: .*\n/m, ''),
    text,
    'byte for byte',
  );
  const crlf = readFileSync(at('sealed'), 'utf8').replaceAll('\n', '\r\n');
  t.match((await run(['decrypt', '-', '--key', guest], crlf)).stdout, new RegExp(theirSecret));
  const flow = `{workload: "${/^workload: (.*)$/m.exec(crlf)?.[1]?.trim()}", env: "type: env"}`;
  t.match(
    (await run(['decrypt', '-', '--key', guest], flow)).stdout,
    new RegExp(theirSecret),
    'a document in brackets',
  );
});
