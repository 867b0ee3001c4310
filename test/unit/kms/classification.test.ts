import fc from 'fast-check';
import t from 'tap';
import {
  classifyIam,
  classifyKms,
  describeRefusal,
  errorReasonOf,
  keyStateOf,
  refusalTable,
} from '../../../agent/kms/classify.ts';
import { bootPolling, parseRetryAfter, retryDelayMs } from '../../../agent/kms/retry.ts';
import { keyServiceBody, keyServiceRefusals, tokenServiceBody, tokenServiceRefusals } from './documented-refusals.ts';

const kmsBody = (code: string, field?: string): string =>
  JSON.stringify({
    metadata: { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 },
    resources: [
      {
        errorMsg: `Some wording that nobody may rely on (${code})`,
        reasons: [
          { code, message: 'words', status: 400, ...(field ? { target: { type: 'field', name: field } } : {}) },
        ],
      },
    ],
  });
const plain401 = JSON.stringify({
  metadata: { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 },
  resources: [{ errorMsg: 'Unauthorized: The user does not have access to the specified resource' }],
});
const html = '<html><body>no healthy upstream</body></html>';

t.test('every documented refusal has a row of its own, and every row is documented', async (t) => {
  for (const refusal of keyServiceRefusals) {
    const { situation, status, code, means } = refusal;
    const answer = { status, headers: {}, body: Buffer.from(keyServiceBody(refusal)) };
    t.match(classifyKms(answer), { kind: means }, `${status} ${code}: ${situation}`);
    t.ok(
      refusalTable.some(([rowStatus, rowCode]) => rowStatus === status && rowCode === code),
      `${status} ${code}: decided on purpose`,
    );
    // Neither a gateway's page nor other words change what the status and the code say.
    if (code === null) t.equal(classifyKms({ ...answer, body: Buffer.from(html) }).kind, means, `${status} as a page`);
    const reworded = keyServiceBody(refusal).replace('Wording', 'Mots').replace('words', 'autres mots');
    t.equal(classifyKms({ ...answer, body: Buffer.from(reworded) }).kind, means, `${status} ${code} in other words`);
  }
  const documented = new Set(keyServiceRefusals.map(({ status, code }) => `${status} ${code}`));
  // Rows for a status as such stand behind the codes of that status.
  const bare = ['403 null', '404 null', '410 null'];
  for (const [status, code] of refusalTable) {
    t.ok(documented.has(`${status} ${code}`) || bare.includes(`${status} ${code}`), `${status} ${code} is documented`);
  }
  for (const refusal of tokenServiceRefusals) {
    const { situation, status, code, means } = refusal;
    const body = Buffer.from(tokenServiceBody(refusal));
    t.match(classifyIam({ status, headers: {}, body }), { kind: means }, `${status} ${code}: ${situation}`);
  }
});

t.test('answers of the key service mean what the documentation says', async (t) => {
  const rows: [number, string, string, object?][] = [
    [401, plain401, 'denied', { by: 'kms' }],
    [401, html, 'denied', { by: 'kms' }],
    [400, kmsBody('BEARER_SUB_EXTRACTION_ERR'), 'denied', { by: 'kms' }],
    [403, kmsBody('SERVICE_ONLY_ERR'), 'denied', { by: 'kms' }],
    [403, kmsBody('CONFIG_RULE_CONFLICT_ERR'), 'denied', { by: 'kms' }],
    [404, kmsBody('KEY_NOT_FOUND_ERR'), 'gone'],
    [404, '404 page not found', 'retryable'],
    [404, html, 'retryable'],
    [409, kmsBody('KEY_ACTION_INVALID_STATE_ERR'), 'notActive', { state: 'unknown' }],
    [409, kmsBody('REQ_TOO_EARLY_ERR'), 'retryable'],
    [409, kmsBody('KEY_ROTATION_NOT_PERMITTED'), 'retryable'],
    [410, kmsBody('KEY_DELETED_ERR'), 'gone'],
    [410, '', 'gone'],
    [422, kmsBody('UNPROCESSABLE_CIPHERTEXT_ERR'), 'badCiphertext'],
    [422, kmsBody('INVALID_SIG_EXP_ERR'), 'badCiphertext'],
    [422, kmsBody('SOME_NEW_ERR'), 'retryable'],
    [409, kmsBody('SOME_NEW_ERR'), 'retryable'],
    [400, kmsBody('SOME_NEW_ERR'), 'retryable'],
    [400, kmsBody('INVALID_FIELD_ERR', 'ciphertext'), 'badCiphertext'],
    [400, kmsBody('INVALID_FIELD_ERR', 'plaintext'), 'badConfiguration'],
    [400, kmsBody('INVALID_FIELD_ERR'), 'badConfiguration'],
    [400, kmsBody('KEY_ROOT_REQ_ERR'), 'badConfiguration'],
    [400, kmsBody('KEY_EXPIRED_ERR'), 'notActive', { state: 'deactivated' }],
    [400, kmsBody('BAD_BODY_ERR'), 'badConfiguration'],
    [400, kmsBody('NO_BODY_ERR'), 'badConfiguration'],
    [400, html, 'retryable'],
    [408, '', 'retryable'],
    [429, '', 'retryable'],
    [500, kmsBody('INCOMPLETE_METADATA_ERR'), 'retryable'],
    [501, '', 'retryable'],
    [502, html, 'retryable'],
    [503, 'no healthy upstream: no crypto units are in kms-initialized state at this time', 'retryable'],
    [504, '', 'retryable'],
    [302, html, 'retryable'],
    [204, '', 'retryable'],
  ];
  for (const [status, body, kind, more = {}] of rows) {
    t.match(
      classifyKms({ status, headers: {}, body: Buffer.from(body) }),
      { kind, ...more },
      `${status} ${body.slice(0, 90)}`,
    );
  }
});

t.test('answers of the token service', async (t) => {
  const iam = (code: string): string => JSON.stringify({ errorCode: code, errorMessage: 'words', context: {} });
  const rows: [number, string, string][] = [
    [400, iam('BXNIM0415E'), 'denied'],
    [400, iam('BXNIM0106E'), 'denied'],
    [400, html, 'retryable'],
    [400, '', 'retryable'],
    [401, '', 'denied'],
    [403, html, 'denied'],
    [404, '', 'retryable'],
    [429, '', 'retryable'],
    [500, iam('BXNIM0999E'), 'retryable'],
    [503, html, 'retryable'],
  ];
  for (const [status, body, kind] of rows) {
    t.match(classifyIam({ status, headers: {}, body: Buffer.from(body) }), { kind }, `${status} ${body}`);
  }
});

t.test('no body makes the classification throw, and no text of the service gets into ours', async (t) => {
  const body = fc.oneof(
    fc.uint8Array(),
    fc.json().map((text) => Buffer.from(text)),
    fc.string().map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 999 }), body, (status, bytes) => {
      const refusal = classifyKms({ status, headers: {}, body: bytes });
      return (
        /^[\x20-\x7e]{0,200}$/.test(describeRefusal(refusal)) &&
        classifyIam({ status, headers: {}, body: bytes }) !== null
      );
    }),
    { numRuns: 300 },
  );
  t.same(errorReasonOf(Buffer.from(kmsBody('lower <script>'))), { code: null, field: null });
  t.same(errorReasonOf(Buffer.from('{"resources":[{"reasons":{"code":"A_B_C"}}]}')), { code: null, field: null });
  const wordy = classifyKms({ status: 503, headers: {}, body: Buffer.from('seed\u001b[2J api key') });
  t.equal(describeRefusal(wordy), 'HTTP 503');
});

t.test('key states', async (t) => {
  const numbers = [0, 1, 2, 3, 4, 5, 6, '1', null, undefined, 1.5];
  t.same(numbers.map(keyStateOf), [
    'preActivation',
    'active',
    'suspended',
    'deactivated',
    'unknown',
    'destroyed',
    'unknown',
    'unknown',
    'unknown',
    'unknown',
    'unknown',
  ]);
});

t.test('Retry-After: seconds, or a date against the date of the answer itself', async (t) => {
  const rows: [Record<string, string>, number | null][] = [
    [{}, null],
    [{ 'retry-after': '' }, null],
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': ' 0 ' }, 0],
    [{ 'retry-after': '-5' }, null],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:30 GMT' }, null],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:30 GMT', date: 'Wed, 21 Oct 2026 07:28:00 GMT' }, 30_000],
    [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT', date: 'Wed, 21 Oct 2026 07:28:30 GMT' }, 0],
  ];
  for (const [headers, expected] of rows) t.equal(parseRetryAfter(headers), expected, JSON.stringify(headers));
  t.match(classifyKms({ status: 429, headers: { 'retry-after': '9' }, body: Buffer.alloc(0) }), { afterMs: 9000 });
});

t.test('delays stay within floor, cap and Retry-After, and grow with the attempts', async (t) => {
  const fraction = fc.double({ min: 0, max: 0.999999, noNaN: true });
  const after = fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: null });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), fraction, after, (attempt, share, afterMs) => {
      const delay = retryDelayMs(bootPolling, attempt, share, afterMs);
      const asked = Math.min(afterMs ?? 0, bootPolling.retryAfterCapMs);
      return delay >= bootPolling.floorMs && delay >= asked && delay <= Math.max(bootPolling.capMs, asked);
    }),
  );
  t.ok(retryDelayMs(bootPolling, 1, 0.999, null) <= 1000, 'quick at first');
  t.equal(retryDelayMs(bootPolling, 1, 0, null), 250, 'never a busy loop');
  t.equal(retryDelayMs(bootPolling, 20, 0.9999999, null), 10_000, 'at most ten seconds');
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fraction,
      (attempt, share) =>
        retryDelayMs(bootPolling, attempt, share, null) <= retryDelayMs(bootPolling, attempt + 1, share, null),
    ),
  );
});
