/** A secret leaves through `expose` and nowhere else. */
import { format, inspect } from 'node:util';
import t from 'tap';
import { privateBuffer, Secret } from '../../agent/secret.ts';

const text = 'correct horse battery staple';
const shown = (secret: Secret): string => secret.expose((bytes) => bytes.toString('utf8'));

t.test('every usual way of printing shows nothing of it', async (t) => {
  const secret = Secret.fromText(text);
  const hex = Buffer.from(text).toString('hex');
  const base64 = Buffer.from(text).toString('base64');
  const bytes = [...Buffer.from(text)].join(',');
  const ways: Readonly<Record<string, () => string>> = {
    'String()': () => String(secret),
    'a template': () => `${secret}`,
    'joined with a string': () => ['', secret].join(''),
    JSON: () => JSON.stringify({ seed: secret, list: [secret] }),
    inspect: () => inspect({ nested: { secret } }, { depth: null, showHidden: true }),
    'console formats': () => format('%s %o %O %j', secret, secret, secret, secret),
    'own keys': () => JSON.stringify([...Object.entries(secret), ...Object.getOwnPropertyNames(secret)]),
    'a copy by spreading': () => inspect({ ...secret }, { showHidden: true }),
    'an error that holds it': () => inspect(new Error('x', { cause: secret })),
  };
  for (const [way, print] of Object.entries(ways))
    for (const form of [text, hex, base64, bytes]) t.notOk(print().includes(form), way);
});

t.test('take moves: the source is zeros, the secret has the bytes', async (t) => {
  const source = Buffer.from(text);
  const secret = Secret.take(source);
  t.ok(source.every((byte) => byte === 0));
  t.equal(shown(secret), text);
  t.equal(secret.length, text.length);
});

t.test('a wiped secret cannot be used, and its memory is zeros', async (t) => {
  const secret = Secret.fromText(text);
  let memory: Buffer | null = null;
  secret.expose((bytes) => {
    memory = bytes;
  });
  secret.wipe();
  t.ok((memory as Buffer | null)?.every((byte) => byte === 0));
  t.throws(() => secret.expose(() => {}), TypeError);
  t.throws(() => secret.copy(), TypeError);
  t.throws(() => secret.equals(Secret.fromText(text)), TypeError);
  secret.wipe();
});

t.test('copies are independent', async (t) => {
  const first = Secret.fromText(text);
  const second = first.copy();
  first.wipe();
  t.equal(shown(second), text);
});

t.test('equality', async (t) => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['', '', true],
    ['seed', 'seed', true],
    ['seed', 'seeD', false],
    ['seed', 'seed1', false],
    ['', 'seed', false],
  ];
  for (const [a, b, equal] of cases) t.equal(Secret.fromText(a).equals(Secret.fromText(b)), equal, `${a} ${b}`);
});

t.test('bytes live in memory of their own, never in the pool', async (t) => {
  for (const secret of [
    Secret.fromText('a'),
    Secret.take(Buffer.from('a')),
    Secret.build(1, (bytes) => bytes.fill(97)),
  ])
    t.equal(
      secret.expose((bytes) => bytes.buffer.byteLength),
      1,
    );
  t.equal(privateBuffer(32).buffer.byteLength, 32);
  t.ok(privateBuffer(32).every((byte) => byte === 0));
});

t.test('what is not ASCII is counted in bytes', async (t) => {
  const secret = Secret.fromText('Schlüssel €');
  t.equal(secret.length, Buffer.byteLength('Schlüssel €'));
  t.equal(shown(secret), 'Schlüssel €');
});
