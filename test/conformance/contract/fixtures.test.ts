/** Every contract fixture through the very check that `triseed contract validate` runs. One fault, one code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkContractContent } from '../../../agent/contract/content/check-content.ts';
import { renderFindings } from '../../../agent/contract/finding.ts';
import { findingRules } from '../../../agent/contract/finding-rules.ts';
import type { Profile } from '../../../agent/contract/types.ts';
import { messages } from '../../../agent/messages.ts';

const folder = join(import.meta.dirname, '../../../fixtures/contracts');
const load = (kind: string) =>
  readdirSync(join(folder, kind))
    .sort()
    .map((name) => {
      const bytes = readFileSync(join(folder, kind, name));
      const header = (key: string): string | null =>
        new RegExp(`^# ${key}: (.+)$`, 'm').exec(bytes.toString('utf8'))?.[1]?.trim() ?? null;
      const profile = (header('profile') ?? 'hpvs') as Profile;
      return { name, bytes, expect: header('expect'), codes: header('codes'), profile };
    });
const at = new Date('2026-06-01T00:00:00Z');
const check = async (bytes: Buffer, profile: Profile) =>
  (await checkContractContent(bytes, { profile, minimumSerial: 0, key: null, at })).findings;

t.test('valid fixtures have no error, and exactly the remarks their header names', async (t) => {
  for (const { name, bytes, codes, profile } of load('valid')) {
    const found = await check(bytes, profile);
    t.same([...new Set(found.map(({ code }) => code))], codes === null ? [] : codes.split(' '), name);
    t.notOk(
      found.some(({ severity }) => severity === 'error'),
      name,
    );
  }
});

t.test('invalid fixtures have exactly the one error their header names', async (t) => {
  const seen = new Set<string>();
  for (const { name, bytes, expect, profile } of load('invalid')) {
    const errors = (await check(bytes, profile)).filter(({ severity }) => severity === 'error');
    t.same(
      errors.map(({ code }) => code),
      [expect],
      `${name}\n${renderFindings(errors, name)}`,
    );
    seen.add(expect ?? '');
  }
  t.ok(seen.size >= 25, `${seen.size} different codes are covered`);
});

t.test('no excerpt shows a secret of the fixtures', async (t) => {
  const secrets = /_phrase|phrase_|phrase\/|not_a_real|aGVsbG8|aaaaaaaa|1234567890123456|notreal/;
  for (const kind of ['valid', 'invalid']) {
    for (const { name, bytes, profile } of load(kind))
      t.notMatch(renderFindings(await check(bytes, profile), name), secrets, name);
  }
});

t.test("an id of a finding names one thing: ours are not used twice, HPCR's as its list has them", async (t) => {
  const own = Object.values(findingRules).filter((id) => id.startsWith('TSD'));
  t.equal(new Set(own).size, own.length);
  const shared = new Map(Object.entries(messages).map(([name, { id }]) => [id, name]));
  for (const [code, id] of Object.entries(findingRules)) {
    const name = shared.get(id);
    if (id.startsWith('TSD') && name !== undefined) {
      t.match(`${code} ${name}`, /SERIAL_TOO_LOW CONTRACT_OUTDATED|SIGNER_NOT_YET_VALID CONTRACT_NOT_YET_VALID/);
    }
  }
});
