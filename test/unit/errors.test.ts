/** One error class, one place that words a chain. */
import t from 'tap';
import { AgentError, describeChain, exitStatusOf, hasCode } from '../../agent/errors.ts';
import { messages } from '../../agent/messages.ts';

const refused = new AgentError('VOLUME_FOREIGN_DATA', { volume: 'data', detail: 'data at byte 512' });
const unread = new AgentError('FILE_UNREADABLE', { path: '/etc/x', reason: 'EACCES' });

t.test('an error carries name, facts and id', async (t) => {
  t.equal(refused.code, 'VOLUME_FOREIGN_DATA');
  t.strictSame(refused.facts, { volume: 'data', detail: 'data at byte 512' });
  t.equal(refused.id, messages.VOLUME_FOREIGN_DATA.id);
  t.ok(refused instanceof Error);
});

t.test('hasCode tells errors apart', async (t) => {
  t.ok(hasCode(refused, 'VOLUME_FOREIGN_DATA'));
  for (const other of [unread, new Error('VOLUME_FOREIGN_DATA'), 'VOLUME_FOREIGN_DATA', null, undefined])
    t.notOk(hasCode(other, 'VOLUME_FOREIGN_DATA'));
});

t.test('exit status', async (t) => {
  const cases: readonly (readonly [unknown, number])[] = [
    [refused, 1],
    [new AgentError('USAGE', { reason: 'x' }), 2],
    [unread, 3],
    [new Error('a bug'), 3],
    ['not even an error', 3],
  ];
  for (const [error, status] of cases) t.equal(exitStatusOf(error), status, String(error));
});

t.test('the chain: what failed, because of what, what is true now, what to do', async (t) => {
  const system = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
  const error = new AgentError(
    'LUKS_OPEN_FAILED',
    { volume: 'data', detail: 'seeds' },
    { cause: new AgentError('FILE_UNREADABLE', { path: '/etc/x', reason: 'EACCES' }, { cause: system }) },
  );
  const lines = describeChain(error).split('\n');
  t.match(lines[0], /^HPL02003E: /);
  t.match(lines[1], /^ {2}because: TSD00004E: .*\/etc\/x/);
  t.equal(lines[2], '    because: EACCES: permission denied');
  t.match(lines[3], /^state: /);
  t.match(lines[4], /^do: /);
  t.equal(lines.length, 5);
});

t.test('the text of a cause is not pasted into the error above it', async (t) => {
  const error = new AgentError('USAGE', { reason: 'x' }, { cause: new Error('the cause') });
  t.notOk(error.message.includes('the cause'));
  t.equal(describeChain(error).split('the cause').length, 2, 'and worded once');
});

t.test('every attempt of a fallback is shown', async (t) => {
  const cause = new AggregateError([unread, new Error('second'), new AggregateError([new Error('third')], 'inner')]);
  const text = describeChain(new AgentError('USAGE', { reason: 'x' }, { cause }));
  for (const part of ['several attempts failed', '/etc/x', 'because: second', 'because: inner', 'because: third'])
    t.ok(text.includes(part), part);
});

t.test('an error that is no AgentError is called a bug, with its own words', async (t) => {
  t.match(describeChain(new TypeError('undefined is not a function')), /bug[\s\S]*undefined is not a function/);
  t.match(describeChain('thrown text'), /bug[\s\S]*thrown text/);
});

t.test('on the console of a guest texts of errors that are not ours are left out', async (t) => {
  const read = Object.assign(new Error('PLANTED in a path'), { code: 'ENOENT' });
  const ours = describeChain(new AgentError('USAGE', { reason: 'x' }, { cause: read }), false);
  t.match(ours, /because: ENOENT$/m);
  for (const error of [read, new TypeError('PLANTED'), 'PLANTED', new AggregateError([], 'PLANTED')])
    t.notMatch(describeChain(error, false), /PLANTED/);
  t.match(describeChain(new TypeError('PLANTED'), false), /bug[\s\S]*TypeError/);
});

t.test('a chain that bites its tail ends', async (t) => {
  const first = new Error('first');
  first.cause = new Error('second', { cause: first });
  const text = describeChain(new AgentError('USAGE', { reason: 'x' }, { cause: first }));
  t.ok(text.split('\n').length < 20);
});
