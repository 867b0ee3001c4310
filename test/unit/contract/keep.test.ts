/** The record of a sealing: only its signer reads it, and nothing but the whole of it counts. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import {
  digestOf,
  hasEnoughLife,
  type KeepRecord,
  openRecord,
  recordLine,
  renderRecord,
} from '../../../agent/contract/keep.ts';

const keyIn = (name: string) =>
  createPrivateKey(readFileSync(join(import.meta.dirname, `../../../fixtures/keys/THROWAWAY-${name}-key.pem`)));
const [signer, other] = [keyIn('signer'), keyIn('other')];
const record: KeepRecord = {
  recipient: digestOf('recipient'),
  values: { env: { plaintext: digestOf('seed: short'), token: digestOf('token') } },
  certificate: { pem: '-----BEGIN CERTIFICATE-----', request: digestOf('90') },
};
const nonce = Buffer.alloc(12, 7);
const line = renderRecord(record, signer, nonce);

t.test('what was written is read by the same key, from any of its containers, and by no other', async (t) => {
  t.same(openRecord(line, signer), record);
  t.equal(renderRecord(record, signer, nonce), line, 'nothing else is random');
  const again = createPrivateKey(signer.export({ type: 'pkcs1', format: 'pem' }));
  t.same(openRecord(line, again), record, 'PKCS#1 and PKCS#8 are one key');
  t.equal(openRecord(line, other), null);
  t.equal(openRecord(null, signer), null);
  const without: KeepRecord = { ...record, certificate: null, values: {} };
  t.same(openRecord(renderRecord(without, signer, nonce), signer), without);
});

t.test('nothing of the digests can be seen', async (t) => {
  const packed = Buffer.from(line.split(' ')[2] ?? '', 'base64');
  for (const text of [digestOf('seed: short'), 'CERTIFICATE', 'plaintext', 'env'])
    t.notOk(packed.includes(text) || (packed.includes(Buffer.from(text, 'hex')) && text.length === 64), text);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  t.not(renderRecord(record, privateKey, nonce), line, 'the key is part of it');
});

t.test('a changed line is no record', async (t) => {
  const packed = Buffer.from(line.split(' ')[2] ?? '', 'base64');
  fc.assert(
    fc.property(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(packed);
      changed[at] = (changed[at] ?? 0) ^ change;
      return openRecord(`# triseed-keep: ${changed.toString('base64')}`, signer) === null;
    }),
    { numRuns: 100, seed: 20261123 },
  );
  for (const text of ['', '# triseed-keep: ', '# triseed-keep: AAAA', `${line}=`, `${line} x`, line.slice(2)])
    t.equal(openRecord(text, signer), null, text);
  for (const wrong of [null, 1, [], {}, { recipient: 'x' }, { recipient: 'x', values: { env: 'x' } }]) {
    const made = renderRecord(wrong as never, signer, nonce);
    t.equal(openRecord(made, signer), null, JSON.stringify(wrong));
  }
});

t.test('the line is found in a document, the last one', async (t) => {
  t.equal(recordLine(`workload: x\n${line}\n`), line);
  t.equal(recordLine(`workload: x\r\n${line}\r\n`), line);
  t.equal(recordLine(`# triseed-keep: AAAA\nworkload: x\n${line}`), line);
  t.equal(recordLine(`env: |\n  ${line}\n`), null, 'inside a section it is text');
  t.equal(recordLine('workload: x\n'), null);
});

t.test('a certificate is used again for the first half of its life', async (t) => {
  const end = new Date('2026-09-01T00:00:00Z');
  t.equal(hasEnoughLife(end, 90, new Date('2026-07-17T00:00:00Z')), true);
  t.equal(hasEnoughLife(end, 90, new Date('2026-07-18T00:00:00Z')), false, 'half is not more than half');
  t.equal(hasEnoughLife(new Date(Number.NaN), 90, new Date()), false, 'an unreadable date');
});
