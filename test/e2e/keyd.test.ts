/**
 * The key daemon as systemd runs it: as nobody, with two sockets for what it may not do itself, and whatever is done to it from inside
 * the guest buys no time.
 */
import t from 'tap';
import { handOver, standInGuest } from './cases/stand-in.ts';
import { openScratch } from './guest/scratch.ts';

const scratch = openScratch('keyd');
t.setTimeout(900_000);
t.teardown(() => scratch.remove());

const node = '/opt/triseed/node_modules/.bin/node';
const asUser = (user: string): string => `setpriv --reuid=${user} --regid=${user} --clear-groups --`;
const asDaemon = asUser('triseed-keyd');
const asNobody = asUser('65534');

/** Says something at a socket and prints the answer, or why there is none. */
const ask = `\
import { createConnection } from 'node:net';
const [path, text = ''] = process.argv.slice(2);
const connection = createConnection({ path, allowHalfOpen: true });
connection.on('error', ({ code }) => console.log(code));
connection.on('connect', () => connection.end(text));
connection.on('data', (bytes) => process.stdout.write(bytes));
connection.on('end', () => connection.destroy());
`;

/** Connects as often as it can, and tells how often. */
const flood = `\
import { createConnection } from 'node:net';
const [path, seconds] = process.argv.slice(2);
const end = performance.now() + Number(seconds) * 1000;
let tried = 0;
const again = () => {
  if (performance.now() > end) return;
  tried += 1;
  createConnection(path).on('error', () => {}).on('close', () => setImmediate(again)).resume();
};
for (let at = 0; at < 50; at += 1) again();
process.on('exit', () => console.log(tried));
setTimeout(() => process.exit(), Number(seconds) * 1000);
`;

const pidOf = 'systemctl show --property=MainPID --value triseed-keyd.service';

t.test('the daemon is nobody; a flood changes nothing; it may ask for two things', async (t) => {
  const guest = standInGuest(t, scratch, handOver({ kmsTimeoutMinutes: 5 }), {
    '/etc/ask.mjs': ask,
    '/etc/flood.mjs': flood,
  });
  await guest.waitForText(/HPL10001I/, 240_000);
  const pid = (await guest.check(pidOf)).trim();
  const { bytes: _, ...status } = await guest.run(`cat /proc/${pid}/status`);
  t.match(status.stdout, /^Uid:\t951\t951\t951\t951$/m);
  t.match(status.stdout, /^CapEff:\t0+$/m);
  t.match(status.stdout, /^NoNewPrivs:\t1$/m);

  const said = async (command: string): Promise<string> => (await guest.run(command)).stdout.trim();
  const fails = async (command: string, why: string) => t.not((await guest.run(command)).status, 0, why);
  await fails(`${asDaemon} cat /run/triseed/keyd.json`, 'the hand-over is for root');
  await fails(`${asDaemon} dd if=/dev/ubda of=/dev/null count=1`, 'no disk');
  await fails(`${asDaemon} systemctl start triseed-revoke.service`, 'no unit');
  const verbs = '/run/triseed-verbs';
  for (const verb of ['store', 'revoke'])
    t.equal(
      await said(`${asNobody} ${node} /etc/ask.mjs ${verbs}/${verb}`),
      'EACCES',
      `${verb} is for the daemon alone`,
    );
  const request = { version: 1, volume: 'data', crn: 'crn:other', wrapped: 'bmV3', keyVersion: 'v2' };
  const asked = (change: object): Promise<string> =>
    said(`${asDaemon} ${node} /etc/ask.mjs ${verbs}/store '${JSON.stringify({ ...request, ...change })}'`);
  t.match(await asked({}), /"stored":false.*another root key/);
  t.match(await asked({ volume: 'root' }), /"stored":false.*no such volume/);
  const [handed] = handOver().volumes;
  const answer = await asked({ crn: handed?.crn });
  t.match(answer, /"stored":false/, 'the header on that disk is none that boot opened');
  t.match(answer, /TSD07/);

  const shown = async () => JSON.parse(await said(`${asNobody} triseed status --json`));
  const before = await shown();
  t.match(before, {
    state: 'grace',
    opened: null,
    daemon: { isAnswering: true, status: { keys: [{ state: 'unreachable' }] } },
  });
  t.equal((await guest.run('triseed status')).status, 1);
  t.match(await said(`${asNobody} cat /run/triseed-keyd/triseed.prom`), /^triseed_volume_grace\{volume="data"\} 1$/m);
  await fails(`${asNobody} cat /run/triseed-keyd/events.json`, 'not for everybody');
  t.equal((await guest.run('triseed keyd --replay /run/triseed-keyd/events.json')).status, 0);
  t.match(await said('journalctl -t triseed-audit -o cat'), /"what":"key-state".*"to":"unreachable"/);

  const stillPid = await said(pidOf);
  if (stillPid !== pid) t.comment(guest.lastLines(150));
  t.equal(stillPid, pid, 'no other daemon until now');
  const tried = Number(await said(`${asNobody} ${node} /etc/flood.mjs /run/triseed-keyd/status 20`));
  t.ok(tried > 500, `${tried} connections`);
  const after = await shown();
  const polls = (status: typeof before): number => status.daemon.status.keys[0].polls.other;
  t.ok(polls(after) - polls(before) >= 4, `polls went on: ${polls(before)} → ${polls(after)}`);
  t.equal(await said(pidOf), pid, 'the same daemon');

  await guest.check('systemctl reload triseed-keyd.service');
  await guest.waitForText(/TSD18009I/, 60_000);

  // Nobody answers there: the guest goes down while it waits.
  await guest.run(`${asDaemon} ${node} /etc/ask.mjs ${verbs}/revoke`).catch(() => undefined);
  t.equal(await guest.waitForExit(180_000), 'restarting', 'all that the daemon can get by it is what it is for');
  t.ok(guest.journal().some(({ text }) => text.startsWith('TSD18002I: volume is closed')));
});

t.test('killed and stopped in grace: the watchdog ends it, and no time is bought', async (t) => {
  const guest = standInGuest(t, scratch, handOver({ kmsTimeoutMinutes: 1 }));
  await guest.waitForText(/HPL10001I/, 240_000);
  const first = (await guest.check(pidOf)).trim();
  await guest.check(`kill -KILL ${first}`);
  const started = (): number => guest.journal().filter(({ text }) => text.startsWith('HPL18003I')).length;
  for (let tries = 0; started() < 2 && tries < 60; tries += 1) await guest.run('sleep 0.5');
  // Its successor has polled once at least; then nobody can act but systemd.
  await guest.run('sleep 5');
  await guest.check(`kill -STOP $(${pidOf})`);
  t.equal(await guest.waitForExit(300_000), 'restarting');
  const lines = guest.journal();
  const at = (text: RegExp): number => lines.find((line) => text.test(line.text))?.at ?? Number.NaN;
  t.ok(at(/Watchdog timeout/) > 0, 'systemd noticed');
  t.ok(at(/^HPL18003W/) > at(/Watchdog timeout/), 'its successor acted at once');
  t.ok(at(/^HPL18003W/) - at(/^HPL18002W/) > 55, 'not before the grace was over');
  t.ok(at(/^HPL18003W/) - at(/Watchdog timeout/) < 40, 'without a grace of its own');
  t.equal(lines.filter(({ text }) => text.startsWith('HPL18002W')).length, 1, 'one grace, told once');
  t.ok(at(/^TSD18002I: volume is closed/) > 0);
});
