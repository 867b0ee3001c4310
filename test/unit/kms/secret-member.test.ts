import fc from 'fast-check';
import t from 'tap';
import { takeSecretMember } from '../../../agent/kms/secret-member.ts';
import { decodedLength, isBase64Text } from '../../../agent/kms/wrapped-text.ts';

const take = (text: string, name = 'plaintext'): { readonly secret: string | null; readonly left: string } => {
  const body = Buffer.from(text);
  const secret = takeSecretMember(body, name);
  return { secret: secret === null ? null : secret.expose((bytes) => bytes.toString('latin1')), left: body.toString() };
};

t.test('the member leaves the body, everything else stays readable', async (t) => {
  const plain = 'c2VjcmV0IHNlZWQgb2YgMzIgYnl0ZXMgbG9uZyEhIQ==';
  const rows: [string, string][] = [
    ['compact', `{"plaintext":"${plain}","ciphertext":"abc","keyVersion":{"id":"v"}}`],
    ['spaces', ` {\n "ciphertext" : "abc" , "keyVersion" : { "id" : "v" } , "plaintext" : "${plain}" } `],
    ['same name deeper', `{"ciphertext":"abc","keyVersion":{"id":"v","plaintext":"x"},"plaintext":"${plain}"}`],
    [
      'same name in a list',
      `{"a":[{"plaintext":"x"}],"ciphertext":"abc","keyVersion":{"id":"v"},"plaintext":"${plain}"}`,
    ],
    ['name as a value', `{"a":"plaintext","ciphertext":"abc","keyVersion":{"id":"v"},"plaintext":"${plain}"}`],
    [
      'quotes in a value',
      `{"a":"\\"plaintext\\":\\"x\\"","ciphertext":"abc","keyVersion":{"id":"v"},"plaintext":"${plain}"}`,
    ],
  ];
  for (const [name, text] of rows) {
    const { secret, left } = take(text);
    t.equal(secret, plain, name);
    t.notMatch(left, plain, `${name}: gone from the body`);
    t.match(JSON.parse(left), { ciphertext: 'abc', keyVersion: { id: 'v' } }, `${name}: the rest`);
  }
  t.equal(take('{"plaintext":"a\\/b="}').secret, 'a/b=', 'an escaped slash is a slash');
});

t.test('what is not exactly one plain text is not taken', async (t) => {
  const rows = [
    '',
    '{',
    '{}',
    'null',
    '"plaintext"',
    '["plaintext","x"]',
    '{"plaintext":1}',
    '{"plaintext":null}',
    '{"plaintext":{"a":"b"}}',
    '{"plaintext":"a","plaintext":"b"}',
    '{"plaintext":"a","\\u0070laintext":"b"}',
    '{"plaintext":"a b"}',
    '{"plaintext":"a\\nb"}',
    '{"plaintext":"a\\u0041"}',
    '{"plaintext":"unfinished',
    '{"plaintext" "a"}',
    '{"other":"a"}',
    '[{"plaintext":"a"}]',
    '{"nested":{"plaintext":"a"}}',
  ];
  for (const text of rows) t.equal(take(text).secret, null, text);
});

t.test('it agrees with JSON.parse on every object', async (_t) => {
  const word = fc.stringMatching(/^[A-Za-z0-9+/=._-]{0,40}$/);
  const members = fc.dictionary(fc.stringMatching(/^[a-z"\\ ]{0,8}$/), fc.jsonValue({ maxDepth: 2 }));
  fc.assert(
    fc.property(members, word, fc.boolean(), (rest, value, pretty) => {
      const text = JSON.stringify({ ...rest, plaintext: value }, null, pretty ? 2 : 0);
      const body = Buffer.from(text);
      const secret = takeSecretMember(body, 'plaintext');
      // A key with an escape in it might spell the name; such a body is refused as a whole.
      if (Object.keys(rest).some((key) => /["\\]/.test(key))) return secret === null;
      const same = secret?.expose((bytes) => bytes.toString('latin1')) === value;
      return (
        same &&
        JSON.stringify({ ...JSON.parse(body.toString()), plaintext: 0 }) === JSON.stringify({ ...rest, plaintext: 0 })
      );
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      takeSecretMember(Buffer.from(bytes), 'plaintext');
      return true;
    }),
  );
});

t.test('base64 texts', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (bytes) => {
      const text = Buffer.from(Buffer.from(bytes).toString('base64'));
      return isBase64Text(text) && decodedLength(text) === bytes.length;
    }),
  );
  const bad = ['', 'a', 'ab', 'abc', 'abcde', '====', 'a===', 'ab=c', 'ab c', 'abc\n', 'ab-_', '=abc', 'YWJj\nYWJj'];
  for (const text of bad) t.equal(isBase64Text(Buffer.from(text)), false, JSON.stringify(text));
});
