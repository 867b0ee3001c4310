/** Attestation records in every spelling, and hostile ones. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { compareSections, isSameUserData } from '../../../agent/attestation/compare.ts';
import {
  type AttestationRecord,
  expectedHashes,
  maximumRecordBytes,
  parseRecord,
} from '../../../agent/attestation/record.ts';
import { readDelivered } from '../../../agent/contract/delivered.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const h = (digit: string): string => digit.repeat(64);
const read = (text: string | Buffer): AttestationRecord => {
  const parsed = parseRecord(Buffer.from(text));
  if (parsed.kind === 'unreadable') throw new Error(parsed.reason);
  return parsed.record;
};

const whole = `26.7.1
Machine Type/Plant/Serial: 8562/02/4C598
Image age: 12 days since creation.
Encryption Certificate valid until: Jul 06 06:44:41 2027 UTC
Ultravisor CUID: 0x${'ab'.repeat(16)}
Host HKD: 8562-02-4C598
AP device present: true
Number of configured APs: 1
${h('1')} AP(1):secret
${h('2')} uv_firmware.state
${h('3')} certificate_expiry_date.json
${h('4')} root.tar.gz
${h('5')} baseimage
${h('6')} sbom
${h('7')} /dev/disk/by-label/cidata
${h('8')} cidata/meta-data
${h('9')} cidata/user-data
${h('a')} cidata/vendor-data
${h('b')} contract:workload
${h('c')} contract:env
${h('d')} contract:attestationPublicKey
${h('e')} contract:envWorkloadSignature
`;

t.test('a record of today, line by line', async (t) => {
  const { version, labels, hashes, unreadableLines } = read(whole);
  t.equal(version, '26.7.1');
  t.same(unreadableLines, []);
  t.equal(labels.length, 7);
  t.same(labels[0], { label: 'Machine Type/Plant/Serial', value: '8562/02/4C598', line: 2 });
  t.same(labels[2], {
    label: 'Encryption Certificate valid until',
    value: 'Jul 06 06:44:41 2027 UTC',
    line: 4,
  });
  t.equal(hashes.length, 14);
  t.same(hashes[0], { name: 'AP(1):secret', sha256: h('1'), line: 9 });
  for (const name of expectedHashes)
    t.ok(
      hashes.some((hash) => hash.name === name),
      name,
    );
});

t.test('every spelling of the name of a section', async (t) => {
  const spellings: Readonly<Record<string, string>> = {
    today: `${h('c')} contract:env`,
    'a space behind': `${h('c')} contract:env `,
    'a space inside': `${h('c')} contract: env`,
    bare: `${h('c')} env`,
    'as sha256sum writes': `${h('c')}  contract:env`,
    'as sha256sum -b writes': `${h('c')} *contract:env`,
    'CR LF': `${h('c')} contract:env\r`,
    'capital letters': `${h('C')} contract:env`,
  };
  for (const [name, line] of Object.entries(spellings)) {
    for (const end of ['\n', ''])
      t.same(read(`0.0.0\n${line}${end}`).hashes, [{ name: 'contract:env', sha256: h('c'), line: 2 }], name);
  }
  t.equal(read(`1.2\n${h('c')} environment`).hashes[0]?.name, 'environment', 'no other name is taken for one');
});

t.test('what is no record', async (t) => {
  const line = `${h('c')} contract:env\n`;
  const table: Readonly<Record<string, string | Buffer>> = {
    empty: '',
    'no hash': '26.7.1\nMachine: x\n',
    'a short hash': `26.7.1\n${h('c').slice(1)} contract:env\n`,
    'no UTF-8': Buffer.from([...Buffer.from(line), 0xff, 0xfe]),
    'a control character': `${line}\u001b[2J: x\n`,
    'a NUL': `${line}a\0b: x\n`,
    'a long line': `${line}${'x'.repeat(1025)}\n`,
    'many lines': `${line}${'\n'.repeat(1000)}`,
    'many bytes': `${line}${`${'x'.repeat(1000)}\n`.repeat(70)}`,
    'a token': `hyper-protect-basic.${'A'.repeat(684)}.U2FsdGVkX1`,
  };
  for (const [name, content] of Object.entries(table))
    t.equal(parseRecord(Buffer.from(content)).kind, 'unreadable', name);
  t.equal(parseRecord(Buffer.alloc(maximumRecordBytes + 1, 'a')).kind, 'unreadable');
});

t.test('whatever the bytes are, the answer comes and fits them', async () => {
  const piece = fc.oneof(
    fc.constantFrom(...whole.split('\n'), 'env', ' ', ':', `${h('f')}`, `${h('0')} `, '\r'),
    fc.string({ maxLength: 40, unit: 'binary' }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (lines) => {
      const parsed = parseRecord(Buffer.from(lines.join('\n')));
      if (parsed.kind === 'unreadable') return parsed.reason.length > 5;
      const { hashes, labels, unreadableLines, version } = parsed.record;
      const text = lines.join('\n').split('\n');
      const filled = text.filter((line) => line.trim() !== '').length;
      const seen = hashes.length + labels.length + unreadableLines.length + (version === null ? 0 : 1);
      return seen === filled && hashes.every(({ line, sha256: hash }) => text[line - 1]?.toLowerCase().includes(hash));
    }),
    { numRuns: 300 },
  );
});

const workload = 'type: workload\nplay: {}\n';
const token = `hyper-protect-basic.${Buffer.alloc(512, 1).toString('base64')}.${Buffer.from(`Salted__12345678${'x'.repeat(16)}`).toString('base64')}`;
const contract = Buffer.from(
  `workload: |\n  type: workload\n  play: {}\nenv: ${token}\nenvWorkloadSignature: c2lnbmF0dXJl\n`,
);
const delivered = (bytes: Buffer) => {
  const outcome = readDelivered(bytes);
  if (outcome.kind === 'refused') throw new Error(outcome.findings[0]?.message);
  return outcome.value;
};
const compare = (lines: Readonly<Record<string, string>>, bytes = contract): Readonly<Record<string, string>> => {
  const text = Object.entries(lines).map(([name, hash]) => `${hash} ${name}`);
  const { hashes } = read(`1.2.3\n${h('0')} baseimage\n${text.join('\n')}\n`);
  return Object.fromEntries(
    compareSections(hashes, delivered(bytes)).map((one) => [one.section, 'reading' in one ? one.reading : one.result]),
  );
};

t.test('sections are compared in both readings', async (t) => {
  const good = {
    workload: sha256(workload),
    env: sha256(token),
    'contract:envWorkloadSignature': sha256('c2lnbmF0dXJl'),
  };
  t.same(compare(good), { workload: 'exact', env: 'exact', envWorkloadSignature: 'exact' });
  t.same(compare({ ...good, workload: sha256(workload.replaceAll('\n', '')) }), {
    workload: 'withoutLineBreaks',
    env: 'exact',
    envWorkloadSignature: 'exact',
  });
  t.equal(compare({ ...good, workload: sha256(workload.trimEnd()) }).workload, 'differs', 'no third reading');
  t.equal(compare({ ...good, env: sha256('other') }).env, 'differs');
  t.equal(compare({ workload: good.workload, env: good.env }).envWorkloadSignature, 'notInRecord');
  t.equal(compare({ ...good, 'contract:attestationPublicKey': h('1') }).attestationPublicKey, 'notInContract');
  t.equal(compare({ ...good, 'contract:env': sha256('other') }).env, 'differs', 'a name that stands twice');
  t.equal(compare({ ...good, 'contract:env': good.env }).env, 'differs', 'also with the right hash');
  const nested = Buffer.from(`workload: {type: workload}\nenv: ${token}\n`);
  t.equal(compare(good, nested).workload, 'notComparable');
});

t.test('the user data as a whole', async (t) => {
  const record = (hash: string): AttestationRecord => read(`1.2.3\n${hash} cidata/user-data\n`);
  t.equal(isSameUserData(record(sha256(contract.toString())).hashes, contract), true);
  t.equal(isSameUserData(record(h('1')).hashes, contract), false);
  t.equal(isSameUserData(read(`1.2.3\n${h('1')} baseimage\n`).hashes, contract), null);
});
