/** Our client against the local key service, as two real processes over real sockets. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { openStore } from '../../agent/emulator/store-file.ts';
import { clock } from '../../agent/host/clock.ts';
import { entropy } from '../../agent/host/entropy.ts';
import { files } from '../../agent/host/files.ts';
import { makeHttp } from '../../agent/host/http.ts';
import type { KeyBackend } from '../../agent/kms/backend.ts';
import { obtainSeed } from '../../agent/kms/obtain-seed.ts';
import type { SendHttp } from '../../agent/ports.ts';
import { Secret } from '../../agent/secret.ts';
import { blackHole } from './black-hole.ts';
import { ownerOf } from './key-owner.ts';
import { makeCa, serve, triseed, triseedKms } from './key-service.ts';

/** The services are processes of their own; on a busy machine each takes its time to start. */
t.setTimeout(120_000);

const SEED = Buffer.alloc(32, 6).toString('base64');
const journal = { message: () => {}, note: () => {} };

const seedText = (seed3: Secret): string => seed3.expose((bytes) => bytes.toString('latin1'));
const obtain = (backend: KeyBackend, stored: string | null) =>
  obtainSeed({ clock, entropy, journal }, [backend], {
    volume: 'data',
    stored,
    kmsTimeoutMinutes: 1,
    startedAtMs: clock.monotonicMs(),
  });

t.test('the life of a seed, over http and over https with a CA of our own', async (t) => {
  const folder = t.testdir();
  const { ca, cert, key } = makeCa(folder);
  const withCa = makeHttp({ extraCa: [readFileSync(ca, 'utf8')], proxy: null });
  const ways: [string, string[], SendHttp][] = [
    ['http', [], makeHttp({ extraCa: [], proxy: null })],
    ['https', ['--tls-cert', cert, '--tls-key', key], withCa],
  ];
  for (const [scheme, args, http] of ways) {
    const served = await serve([...args, '--api-key-file', `${folder}/${scheme}-api-key`]);
    t.teardown(() => served.stop());
    t.match(served.url, new RegExp(`^${scheme}://127\\.0\\.0\\.1:\\d+$`));
    const owner = ownerOf(served, `${folder}/${scheme}-api-key`, http);
    const rootKey = await owner.create();
    const made = await obtain(owner.backend(rootKey), null);
    const text = seedText(made.seed3);
    t.equal(seedText((await obtain(owner.backend(rootKey), made.wrapped)).seed3), text, `${scheme}: opened again`);
    t.equal(await owner.act(rootKey, 'rotate'), 204);
    const rotated = await obtain(owner.backend(rootKey), made.wrapped);
    t.match({ ...rotated, seed3: seedText(rotated.seed3) }, { seed3: text, rewrapped: true });
    t.match(await owner.backend(rootKey).rewrap(made.wrapped), { value: { keyVersion: rotated.keyVersion } });
    t.equal(await owner.act(rootKey, 'disable'), 204);
    t.match(await owner.backend(rootKey).keyState(), { kind: 'done', value: { state: 'suspended' } });
    t.match(await owner.backend(rootKey).unwrap(made.wrapped), { kind: 'notActive', correlationId: /^[0-9a-f-]{36}$/ });
    t.equal(await owner.act(rootKey, 'enable'), 409, 'a suspended key rests 30 seconds');
    t.equal(await owner.admin('clock', { advanceSeconds: 31 }), 200);
    t.equal(await owner.act(rootKey, 'enable'), 204);
    t.equal(seedText((await obtain(owner.backend(rootKey), rotated.wrapped)).seed3), text);
    await owner.admin('clock', { advanceSeconds: 7200 });
    t.match(await owner.backend(rootKey).keyState(), { value: { state: 'active' } }, 'an ended token is renewed');

    if (scheme === 'https') {
      const stranger = ownerOf(served, `${folder}/${scheme}-api-key`);
      t.match(await stranger.backend(rootKey).keyState(), { kind: 'retryable', reason: /tls: / }, 'an unknown CA');
      const elsewhere = ownerOf(
        { ...served, url: served.url.replace('127.0.0.1', 'localhost') },
        `${folder}/https-api-key`,
        withCa,
      );
      const access = [
        '--instance',
        served.instance,
        '--api-key-file',
        `${folder}/https-api-key`,
        '--endpoint',
        served.url,
      ];
      const [alone, withFile] = await Promise.all([
        triseed(['kms', 'key', 'list', ...access], '', { NODE_EXTRA_CA_CERTS: ca, NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
        triseedKms('key', 'list', ...access, '--ca', ca),
      ]);
      t.match(alone, { status: 3, stderr: /tls: / }, 'the environment trusts nobody');
      t.match(withFile, { status: 0, stdout: /active/ });
      t.match(await elsewhere.backend(rootKey).keyState(), { kind: 'retryable', reason: /tls: / }, 'a name not in it');
    }
    t.equal(await served.stop(), 0, 'SIGTERM ends it cleanly');
  }
});

t.test('what was answered survives the end of the process, and a SIGKILL', async (t) => {
  const folder = t.testdir();
  const args = ['--db', `${folder}/keys.db`, '--api-key-file', `${folder}/api-key`];
  const kept: { readonly key: string; readonly wrapped: string }[] = [];
  let instance = '';
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const served = await serve(args);
    t.teardown(() => served.stop('SIGKILL'));
    if (instance !== '') t.equal(served.instance, instance, 'the same instance');
    instance = served.instance;
    const owner = ownerOf(served, `${folder}/api-key`);
    for (const { key, wrapped } of kept) {
      const answer = await owner.backend(key).unwrap(wrapped);
      t.match(answer, { kind: 'done', value: { rewrapped: { keyVersion: /-/ } } }, 'rotated, and still there');
      t.equal(answer.kind === 'done' && seedText(answer.value.seed3), SEED);
    }
    const key = await owner.create();
    const answer = await owner.backend(key).wrap(Secret.fromText(SEED));
    if (answer.kind !== 'done') throw new Error(answer.kind);
    t.equal(await owner.act(key, 'rotate'), 204);
    kept.push({ key, wrapped: answer.value.wrapped });
    await served.stop(signal);
  }
  const served = await serve(args);
  t.teardown(() => served.stop('SIGKILL'));
  const owner = ownerOf(served, `${folder}/api-key`);
  for (const { key } of kept)
    t.match(await owner.backend(key).keyState(), { kind: 'done', value: { state: 'active' } });

  const second = await triseed(['kms', 'serve', '--listen', '127.0.0.1:0', ...args]);
  t.equal(second.status, 3, 'one service at a time');
  t.match(second.stderr, /TSD06031E/);
  t.equal(await served.stop(), 0);
});

t.test('the files give nothing away, and belong together', async (t) => {
  const folder = t.testdir();
  const args = ['--db', `${folder}/keys.db`, '--api-key-file', `${folder}/api-key`];
  const served = await serve(args);
  t.teardown(() => served.stop('SIGKILL'));
  const owner = ownerOf(served, `${folder}/api-key`);
  const material = entropy.bytes(32);
  const key = await owner.create({ payload: material.toString('base64') });
  await owner.backend(key).wrap(Secret.fromText(SEED));
  await served.stop();
  for (const name of ['keys.db', 'keys.db.key', 'api-key']) {
    t.equal(statSync(`${folder}/${name}`).mode & 0o777, 0o600, `${name} is for its owner only`);
  }
  const apiKey = readFileSync(`${folder}/api-key`, 'utf8').trim();
  t.ok(apiKey.length >= 40);
  const database = readFileSync(`${folder}/keys.db`);
  const planted = [material, material.toString('base64'), material.toString('hex'), apiKey, SEED];
  for (const secret of planted) t.notOk(database.includes(secret), 'not in the database');
  t.ok(database.includes(key), 'the search would have found it: the key id is there');

  const refused = async (change: () => void, name: string): Promise<void> => {
    change();
    await t.rejects(openStore({ files, entropy }, `${folder}/keys.db`), { code: 'KMS_STORE_UNUSABLE' }, name);
  };
  const master = readFileSync(`${folder}/keys.db.key`);
  await refused(() => writeFileSync(`${folder}/keys.db.key`, `${'0'.repeat(64)}\n`), 'another key file');
  await refused(() => rmSync(`${folder}/keys.db.key`), 'no key file');
  t.throws(() => statSync(`${folder}/keys.db.key`), 'and none was made');
  writeFileSync(`${folder}/keys.db.key`, master);
  await refused(
    () => writeFileSync(`${folder}/keys.db`, 'this is no database, whatever its name says'.repeat(50)),
    'no database',
  );
});

t.test('faults reach the client as what they are', async (t) => {
  const folder = t.testdir({
    'faults.json': JSON.stringify({
      faults: [{ operation: 'metadata', count: 1, effect: { status: 503, body: 'busy' } }],
    }),
  });
  const served = await serve(['--faults', `${folder}/faults.json`, '--api-key-file', `${folder}/api-key`]);
  t.teardown(() => served.stop('SIGKILL'));
  const owner = ownerOf(served, `${folder}/api-key`);
  const key = await owner.create();
  const state = () => owner.backend(key).keyState({ timeoutMs: 1000 });
  t.match(await state(), { kind: 'retryable', reason: 'HTTP 503' }, 'the script of --faults');
  t.match(await state(), { kind: 'done' });
  const rows: [object, RegExp, number?][] = [
    // Twice: a dropped GET on a kept connection is repeated once, on a new one.
    [{ drop: true }, /^interrupted: /, 2],
    [{ truncate: true }, /^interrupted: /],
    [{ hang: true }, /^timeout: /],
    [{ malformed: true }, /not understood/],
    [{ status: 302 }, /HTTP 302/],
    [{ delayMs: 30_000 }, /^timeout: /],
  ];
  for (const [effect, reason, count = 1] of rows) {
    t.equal(await owner.admin('faults', { faults: [{ operation: 'metadata', count, effect }] }), 200);
    t.match(await state(), { kind: 'retryable', reason }, JSON.stringify(effect));
  }
  t.match(await state(), { kind: 'done' });
  t.equal(await served.stop('SIGINT'), 0, 'a request that is still delayed does not keep it');
});

t.test('a first entry that swallows packets costs four seconds, not the time of the second one', async (t) => {
  const folder = t.testdir();
  const served = await serve(['--api-key-file', `${folder}/api-key`]);
  t.teardown(() => served.stop('SIGKILL'));
  const owner = ownerOf(served, `${folder}/api-key`);
  const key = await owner.create();
  const stored = await owner.backend(key).wrap(Secret.fromText(SEED));
  if (stored.kind !== 'done') throw new Error(stored.kind);
  const swallowing = ownerOf({ ...served, url: `http://127.0.0.1:${await blackHole(t)}` }, `${folder}/api-key`);
  const beganMs = clock.monotonicMs();
  const askedAfterMs: number[] = [];
  const second = owner.backend(key);
  const entries: KeyBackend[] = [
    swallowing.backend(key),
    {
      ...second,
      unwrap: (wrapped, limits) => {
        askedAfterMs.push(clock.monotonicMs() - beganMs);
        return second.unwrap(wrapped, limits);
      },
    },
  ];
  const work = obtainSeed({ clock, entropy, journal }, entries, {
    volume: 'data',
    stored: stored.value.wrapped,
    kmsTimeoutMinutes: 0,
    startedAtMs: beganMs,
  });
  await t.rejects(work, { code: 'KMS_UNREACHABLE', cause: { errors: [{ message: /connect: no connection to/ }] } });
  t.equal(askedAfterMs.length, 1);
  t.ok((askedAfterMs[0] ?? 0) < 6000, `the second entry was asked after ${askedAfterMs[0]} ms`);
  await served.stop();
});

t.test('a service that was started again at the same address is found at once', async (t) => {
  const folder = t.testdir();
  const args = ['--db', `${folder}/keys.db`, '--api-key-file', `${folder}/api-key`];
  const first = await serve(args);
  const owner = ownerOf(first, `${folder}/api-key`);
  const key = await owner.create();
  t.match(await owner.backend(key).keyState(), { kind: 'done' });
  await first.stop('SIGKILL');
  t.match(await owner.backend(key).keyState(), { kind: 'retryable', reason: /connect: ECONNREFUSED/ });
  const second = await serve(args, first.url.replace('http://', ''));
  t.teardown(() => second.stop('SIGKILL'));
  t.match(await owner.backend(key).keyState(), { kind: 'done' });
  await second.stop();
});

t.test('the command line of a key owner', async (t) => {
  const folder = t.testdir();
  const file = (name: string): string => `${folder}/${name}`;
  const served = await serve(['--db', file('keys.db'), '--api-key-file', file('api-key')]);
  t.teardown(() => served.stop('SIGKILL'));
  const access = ['--instance', served.instance, '--api-key-file', file('api-key'), '--endpoint', served.url];
  const key = (verb: string, ...args: string[]) => triseedKms('key', verb, ...args, ...access);
  const made = await triseed(['kms', 'key', 'create', 'payroll', '--json', ...access]);
  t.equal(made.status, 0, made.stderr);
  const { id, crn } = JSON.parse(made.stdout);
  t.match(crn, new RegExp(`:${served.instance}:key:${id}$`));

  const [listed, wrapped, unconfirmed, badEndpoint] = await Promise.all([
    key('list', '--json'),
    key('wrap', id, '--seed-out', file('seed')),
    key('disable', id),
    triseedKms('key', 'list', ...access.with(5, 'http://10.0.2.2:1')),
  ]);
  t.match(JSON.parse(listed.stdout), [{ id, name: 'payroll', state: 1, extractable: false }]);
  t.match(unconfirmed, { status: 1, stderr: /volume.*TSD06022E/s, stdout: '' }, 'asks before it hurts volumes');
  t.match(badEndpoint, { status: 2, stderr: /plain http/ });
  const seed = readFileSync(file('seed'), 'utf8');
  t.equal(Buffer.from(seed, 'base64').length, 32);
  t.equal(statSync(file('seed')).mode & 0o777, 0o600);
  t.notOk(wrapped.stdout.includes(seed) || wrapped.stderr.includes(seed), 'a seed is not printed by the way');
  writeFileSync(file('keyfile'), wrapped.stdout);

  const rotated = await key('rotate', id, '--yes', '--json');
  t.equal(JSON.parse(rotated.stdout).versions.length, 2);
  const [rewrapped, unwrapped, again] = await Promise.all([
    key('rewrap', id, '--ciphertext-file', file('keyfile'), '--json'),
    triseed(['kms', 'key', 'unwrap', id, '--ciphertext-file', '-', '--seed-out', '-', ...access], wrapped.stdout),
    key('rotate', id, '--yes'),
  ]);
  t.match(unwrapped, { status: 0, stdout: seed, stderr: /newer version/ });
  t.match(again, { status: 1, stderr: /KEY_ROTATION_NOT_PERMITTED/ });
  t.equal(JSON.parse(rewrapped.stdout).keyVersion, JSON.parse(rotated.stdout).versions[0].id);

  t.match(await key('disable', id, '--yes'), { status: 0, stdout: /suspended/ });
  writeFileSync(file('wrong'), 'not-the-api-key\n');
  const [denied, unreachable, noKey] = await Promise.all([
    triseedKms('key', 'list', ...access.with(3, file('wrong'))),
    triseedKms('key', 'list', ...access.with(5, 'http://127.0.0.1:1')),
    triseed(['kms', 'key', 'list', ...access.slice(0, 2)]),
  ]);
  t.match(denied, { status: 1, stderr: /TSD06020E/ });
  t.match(unreachable, { status: 3, stderr: /TSD06021E.*ECONNREFUSED/s });
  t.equal(noKey.status, 2);
  t.equal(await served.stop(), 0);
});
