/** The documented schedules, hour by hour, against counts that a calendar gives. */
import t from 'tap';
import { expiryPath, parseExpiry, renderExpiry } from '../../../agent/notices/expiry-file.ts';
import { type Notice, noticesAtStart, noticesDue, shownDate, shownLeft } from '../../../agent/notices/schedule.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const end = new Date('2027-06-15T10:30:00Z');

/** Every hour from `fromDays` before the end to `toDays` before it. */
const hours = (fromDays: number, toDays: number): readonly Date[] => {
  const found: Date[] = [];
  const from = Math.ceil((end.getTime() - fromDays * dayMs) / hourMs) * hourMs;
  for (let at = from; at < end.getTime() - toDays * dayMs; at += hourMs) found.push(new Date(at));
  return found;
};
const said = (ends: { contract?: Date; certificate?: Date }, fromDays: number, toDays: number): readonly Notice[] =>
  hours(fromDays, toDays).flatMap((at) =>
    noticesDue({ contract: ends.contract ?? null, certificate: ends.certificate ?? null }, at),
  );

t.test('contract: monthly, daily, every four hours, hourly', async (t) => {
  const parts: readonly (readonly [what: string, from: number, to: number, count: number, name: Notice['name']])[] = [
    // 2026-07-01 to 2027-05-01: the first of May is the last before the last thirty days.
    ['first day of each month', 365, 30, 11, 'CONTRACT_VALID'],
    ['daily', 30, 7, 23, 'CONTRACT_WILL_EXPIRE'],
    ['every four hours', 7, 1, 36, 'CONTRACT_WILL_EXPIRE'],
    ['hourly in the last day', 1, 0, 24, 'CONTRACT_WILL_EXPIRE'],
    ['hourly afterwards', 0, -2, 48, 'CONTRACT_HAS_EXPIRED'],
  ];
  for (const [what, from, to, count, name] of parts) {
    const notices = said({ contract: end }, from, to);
    t.equal(notices.length, count, what);
    t.strictSame([...new Set(notices.map((notice) => notice.name))], [name], what);
  }
});

t.test('encryption certificate: every 24 hours, every 12, every 4 afterwards', async (t) => {
  const parts: readonly (readonly [what: string, from: number, to: number, count: number, name: Notice['name']])[] = [
    ['every 24 hours', 30, 7, 23, 'CERTIFICATE_WILL_EXPIRE'],
    ['every 12 hours', 7, 0, 14, 'CERTIFICATE_WILL_EXPIRE'],
    ['every 4 hours afterwards', 0, -2, 12, 'CERTIFICATE_HAS_EXPIRED'],
  ];
  t.strictSame(said({ certificate: end }, 365, 30), [], 'nothing before');
  for (const [what, from, to, count, name] of parts) {
    const notices = said({ certificate: end }, from, to);
    t.equal(notices.length, count, what);
    t.strictSame([...new Set(notices.map((notice) => notice.name))], [name], what);
  }
});

t.test('at the start of a guest', async (t) => {
  const at = (days: number): Date => new Date(end.getTime() - days * dayMs);
  const names = (days: number): readonly string[] =>
    noticesAtStart({ contract: end, certificate: end }, at(days)).map(({ name }) => name);
  t.strictSame(names(300), ['CONTRACT_VALID']);
  t.strictSame(names(29), ['CONTRACT_WILL_EXPIRE', 'CERTIFICATE_WILL_EXPIRE']);
  t.strictSame(names(-1), ['CONTRACT_HAS_EXPIRED', 'CERTIFICATE_HAS_EXPIRED']);
  t.strictSame(noticesAtStart({ contract: null, certificate: null }, end), []);
});

t.test('dates and durations as people read them', async (t) => {
  t.equal(shownDate(new Date('2027-03-03T09:05:00Z')), '03 March 2027 at 09:05:00 UTC');
  const left: readonly (readonly [number, string])[] = [
    [400 * dayMs, 'over 13 months'],
    [60 * dayMs, 'over 2 months'],
    [59 * dayMs, 'over 59 days'],
    [2 * dayMs, 'over 2 days'],
    [47 * hourMs, 'over 47 hours'],
    [90 * 60_000, 'over 90 minutes'],
    [-5, 'over 0 minutes'],
  ];
  for (const [ms, text] of left) t.equal(shownLeft(ms), text);
});

t.test('dates from the boot to the process that tells them', async (t) => {
  for (const ends of [
    { contract: end, certificate: null },
    { contract: null, certificate: end },
    { contract: null, certificate: null },
  ])
    t.same(parseExpiry(renderExpiry(ends)), ends);
  for (const text of [
    '',
    '{}',
    '{"version":1,"contract":"soon","certificate":null}',
    '{"version":1,"contract":7,"certificate":null}',
  ])
    t.throws(() => parseExpiry(text), { code: 'EXPIRY_FILE_INVALID' }, text);
  t.equal(expiryPath('/run/triseed'), '/run/triseed/expiry.json');
});
