import t from 'tap';
import { brokerUrls, parseBrokerAnswer } from '../../../agent/kms/broker.ts';
import { parseKeyCrn } from '../../../agent/kms/crn.ts';
import { iamEndpoint, kmsEndpoint, parseBaseUrl } from '../../../agent/kms/endpoint.ts';

const INSTANCE = '0c1d2e3f-0000-4000-8000-123456789abc';
const KEY = '2fb0b5a3-1111-4111-8111-cba987654321';
const good = `crn:v1:bluemix:public:kms:us-south:a/0123456789abcdef0123456789abcdef:${INSTANCE}:key:${KEY}`;

t.test('a root key CRN is read into its parts', async (t) => {
  t.match(parseKeyCrn(good), {
    kind: 'crn',
    crn: { cname: 'bluemix', service: 'kms', region: 'us-south', instanceId: INSTANCE, keyId: KEY },
  });
  t.match(parseKeyCrn(good.replace(':kms:', ':hs-crypto:')), { kind: 'crn', crn: { service: 'hs-crypto' } });
  t.match(parseKeyCrn(good.replace(KEY, 'payroll_key-1')), { kind: 'crn', crn: { keyId: 'payroll_key-1' } });
});

t.test('everything else is refused, and the reason does not repeat it', async (t) => {
  const bad: Record<string, string> = {
    empty: '',
    'not a CRN': 'hello',
    'nine segments': good.slice(0, good.lastIndexOf(':')),
    'eleven segments': `${good}:x`,
    'instance CRN': good.replace(`:key:${KEY}`, '::'),
    'wrong prefix': good.replace('crn:', 'arn:'),
    'wrong version': good.replace(':v1:', ':v2:'),
    'wrong cloud': good.replace(':bluemix:', ':redmix:'),
    'wrong type': good.replace(':public:', ':secret:'),
    'other service': good.replace(':kms:', ':secrets-manager:'),
    'region with dots': good.replace('us-south', 'us.south.evil.example'),
    'region with a slash': good.replace('us-south', 'us-south/'),
    'empty region': good.replace('us-south', ''),
    'no account': good.replace('a/0123456789abcdef0123456789abcdef', ''),
    'instance with a dot': good.replace(INSTANCE, 'evil.example'),
    'instance with capitals': good.replace(INSTANCE, INSTANCE.toUpperCase()),
    'instance with an end hyphen': good.replace(INSTANCE, 'abc-'),
    'other resource': good.replace(':key:', ':ring:'),
    'key with a slash': good.replace(KEY, '../policies'),
    'key with a question mark': good.replace(KEY, 'a?b'),
    'empty key': good.replace(KEY, ''),
    'trailing newline': `${good}\n`,
    'too long': good.replace(KEY, 'k'.repeat(600)),
  };
  for (const [name, text] of Object.entries(bad)) {
    const parsed = parseKeyCrn(text);
    t.equal(parsed.kind, 'invalid', name);
    if (parsed.kind === 'invalid') t.notMatch(parsed.reason, /evil|redmix|0123456789abcdef/, `${name}: reason`);
  }
});

t.test('hosts follow from service, region, type and override', async (t) => {
  const rows: [string, 'public' | 'private', Record<string, string>, string[] | null][] = [
    ['kms:eu-gb', 'public', {}, ['https://eu-gb.kms.cloud.ibm.com']],
    ['kms:eu-gb', 'private', {}, ['https://private.eu-gb.kms.cloud.ibm.com']],
    [
      'kms:us-south',
      'public',
      {},
      ['https://us-south.kms.cloud.ibm.com', `https://${INSTANCE}.api.us-south.kms.appdomain.cloud`],
    ],
    [
      'kms:eu-de',
      'private',
      {},
      ['https://private.eu-de.kms.cloud.ibm.com', `https://${INSTANCE}.api.private.eu-de.kms.appdomain.cloud`],
    ],
    ['hs-crypto:eu-de', 'public', {}, [`https://${INSTANCE}.api.eu-de.hs-crypto.appdomain.cloud`]],
    ['hs-crypto:eu-de', 'private', {}, [`https://${INSTANCE}.api.private.eu-de.hs-crypto.appdomain.cloud`]],
    ['kms:us-south', 'public', { [INSTANCE]: 'http://127.0.0.1:8080/' }, ['http://127.0.0.1:8080']],
    ['kms:us-south', 'public', { [INSTANCE]: 'https://10.0.2.2:8443/kp' }, ['https://10.0.2.2:8443/kp']],
    ['kms:us-south', 'public', { other: 'http://127.0.0.1:8080' }, ['https://us-south.kms.cloud.ibm.com', '…']],
    [
      'hs-crypto:eu-de',
      'public',
      { [INSTANCE]: 'https://api.eu-de.hs-crypto.cloud.ibm.com:11399' },
      ['https://api.eu-de.hs-crypto.cloud.ibm.com:11399'],
    ],
    ['hs-crypto:eu-de', 'public', { [INSTANCE]: 'api.eu-de.hs-crypto.cloud.ibm.com:11399' }, null],
    ['kms:us-south', 'public', { [INSTANCE]: 'https://10.0.2.2/kp/api/v2/' }, ['https://10.0.2.2/kp']],
    ['kms:us-south', 'public', { [INSTANCE]: 'http://10.0.2.2:8080' }, null],
  ];
  for (const [place, type, overrides, expected] of rows) {
    const parsed = parseKeyCrn(good.replace('kms:us-south', place));
    if (parsed.kind !== 'crn') throw new Error(place);
    const found = kmsEndpoint(parsed.crn, type, overrides);
    const name = `${place} ${type} ${JSON.stringify(overrides)}`;
    if (expected === null) t.equal(found.kind, 'invalid', name);
    else t.equal(found.kind === 'endpoint' && found.baseUrls[0], expected[0], name);
    if (expected !== null && found.kind === 'endpoint')
      t.equal(found.baseUrls.length, expected.length, `${name}: hosts`);
  }
  const staging = parseKeyCrn(good.replace(':bluemix:', ':staging:'));
  if (staging.kind !== 'crn') throw new Error('staging is a valid CRN');
  t.equal(kmsEndpoint(staging.crn, 'public', {}).kind, 'invalid', 'staging has no published host');
  t.equal(kmsEndpoint(staging.crn, 'public', { [INSTANCE]: 'https://localhost' }).kind, 'endpoint');
  t.equal(kmsEndpoint(staging.crn, 'public', Object.create({ [INSTANCE]: 'https://x' })).kind, 'invalid', 'own only');
});

t.test('an address with a port of its own is never guessed; the advice is to give it', async (t) => {
  const advice = (place: string, overrides: Record<string, string> = {}) => {
    const parsed = parseKeyCrn(good.replace('kms:us-south', place));
    if (parsed.kind !== 'crn') throw new Error(place);
    const found = kmsEndpoint(parsed.crn, 'public', overrides);
    return found.kind === 'endpoint' ? found.whenUnknown : found.kind;
  };
  t.match(advice('hs-crypto:us-east'), /kms\.endpoints/);
  t.equal(advice('kms:us-east'), null);
  t.equal(advice('hs-crypto:us-east', { [INSTANCE]: 'https://kms.example' }), null, 'it was given');
});

t.test('only an instance of Hyper Protect Crypto Services without an override has a broker', async (t) => {
  const broker = (place: string, overrides: Record<string, string> = {}) => {
    const parsed = parseKeyCrn(good.replace('kms:us-south', place));
    if (parsed.kind !== 'crn') throw new Error(place);
    const found = kmsEndpoint(parsed.crn, 'private', overrides);
    return found.kind === 'endpoint' ? found.broker : found.kind;
  };
  const question = { region: 'us-east', instanceId: INSTANCE, type: 'private' } as const;
  t.strictSame(broker('hs-crypto:us-east'), question);
  t.equal(broker('kms:us-east'), null);
  t.equal(broker('hs-crypto:us-east', { [INSTANCE]: 'https://kms.example' }), null, 'the override comes first');
  for (const url of brokerUrls(question)) t.ok(new URL(url).hostname.endsWith('.hs-crypto.cloud.ibm.com'), url);
});

t.test('an answer of the broker leads to a host of the vendor in that region, and nowhere else', async (t) => {
  const question = { region: 'eu-de', instanceId: INSTANCE, type: 'public' } as const;
  const answer = (kms: unknown, more: object = {}): Buffer =>
    Buffer.from(JSON.stringify({ instance_id: INSTANCE, kms, ep11: { public: 'ep11.example:9876' }, ...more }));
  const port = 'api.eu-de.hs-crypto.cloud.ibm.com:11399';
  const own = `${INSTANCE}.api.eu-de.hs-crypto.appdomain.cloud`;
  const rows: [string, Buffer, string | null][] = [
    ['port style', answer({ public: port, private: 'x' }), `https://${port}`],
    ['instance style', answer({ public: own }), `https://${own}`],
    ['for another instance', answer({ public: port }, { instance_id: 'other' }), null],
    ['private only', answer({ private: 'api.private.eu-de.hs-crypto.cloud.ibm.com:11399' }), null],
    ['another region', answer({ public: 'api.us-east.hs-crypto.cloud.ibm.com:11399' }), null],
    ['a private host for public', answer({ public: 'api.private.eu-de.hs-crypto.cloud.ibm.com:11399' }), null],
    ['elsewhere', answer({ public: 'api.eu-de.hs-crypto.cloud.ibm.com.evil.example:11399' }), null],
    ['credentials', answer({ public: `user@${port}` }), null],
    ['a path', answer({ public: `${port}/x` }), null],
    ['a scheme', answer({ public: `https://${port}` }), null],
    ['port 0', answer({ public: 'api.eu-de.hs-crypto.cloud.ibm.com:0' }), null],
    ['port 70000', answer({ public: 'api.eu-de.hs-crypto.cloud.ibm.com:70000' }), null],
    ['a number', answer({ public: 7 }), null],
    ['no kms', answer(undefined), null],
    ['null', Buffer.from('null'), null],
    ['no JSON', Buffer.from('<html>'), null],
  ];
  for (const [name, body, expected] of rows) t.equal(parseBrokerAnswer(body, question), expected, name);
  const nearby = answer({ private: 'api.private.eu-de.hs-crypto.cloud.ibm.com:11399' });
  t.match(parseBrokerAnswer(nearby, { ...question, type: 'private' }), /^https:\/\/api\.private\./);
});

t.test('the private entry type moves only the published token service', async (t) => {
  const url = (setting: string, type: 'public' | 'private') => {
    const found = iamEndpoint(setting, type);
    return found.kind === 'endpoint' ? found.baseUrls[0] : found.kind;
  };
  t.equal(url('https://iam.cloud.ibm.com', 'public'), 'https://iam.cloud.ibm.com');
  t.equal(url('https://iam.cloud.ibm.com/', 'private'), 'https://private.iam.cloud.ibm.com');
  t.equal(url('https://10.0.2.2:8443', 'private'), 'https://10.0.2.2:8443');
  t.equal(url('http://iam.example', 'public'), 'invalid');
});

t.test('base URLs: plain http stays on the machine', async (t) => {
  const rows: [string, boolean][] = [
    ['https://kms.example', true],
    ['http://127.0.0.1:8080', true],
    ['http://127.9.9.9', true],
    ['http://localhost:1', true],
    ['http://[::1]:8080', true],
    ['http://127.0.0.1.evil.example', false],
    ['http://localhost.evil.example', false],
    ['http://10.0.2.2:8080', false],
    ['http://0.0.0.0:8080', false],
    ['ftp://127.0.0.1', false],
    ['https://user:secret@kms.example', false],
    ['https://kms.example/?x=1', false],
    ['https://kms.example/#x', false],
    ['kms.example', false],
    ['kms.example:443', false],
    ['https:kms.example', false],
    ['', false],
  ];
  for (const [text, ok] of rows) t.equal(parseBaseUrl(text).kind, ok ? 'url' : 'invalid', text);
  // Other spellings of 127.0.0.1 are normalised by the URL parser before they are judged.
  t.equal(parseBaseUrl('http://2130706433/').kind, 'url');
});
