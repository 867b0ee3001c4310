/** `triseed status`, as people and scripts call it, over a folder that looks like /run of a guest. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { statusCommand } from '../../../agent/cli/status.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { GuardState } from '../../../agent/keyd/status.ts';
import { renderOpened } from '../../../agent/volumes/opened-record.ts';
import { callCommand } from '../../fakes/command-line.ts';

const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
const folder = mkdtempSync(join(tmpdir(), 'status-'));
t.teardown(() => rmSync(folder, { recursive: true }));
let count = 0;

const statusText = (state: GuardState, of: string = bootId): string =>
  JSON.stringify({
    version: 1,
    bootId: of,
    atMs: 100_000,
    state,
    pollSeconds: 60,
    keys: [
      {
        key: 'key-1',
        state: state === 'grace' ? 'suspended' : 'active',
        lastActiveMs: 90_000,
        polls: { active: 3, other: 1 },
      },
    ],
    volumes: [
      {
        volume: 'data',
        key: 'key-1',
        state,
        deadlineMs: state === 'grace' ? 160_000 : null,
        keyVersion: 'v1',
        wrapping: 'current',
        rewraps: { done: 0, failed: 0 },
        stores: { done: 0, failed: 0 },
      },
    ],
    revocation: state === 'revoking' ? { volume: 'data', reason: 'the key was revoked' } : null,
  });

interface Guest {
  readonly opened?: readonly string[];
  readonly handedOver?: true;
  readonly answers?: string;
  readonly written?: string;
}

const status = async ({ opened, handedOver, answers, written }: Guest, ...args: readonly string[]) => {
  count += 1;
  const run = join(folder, String(count));
  mkdirSync(run);
  mkdirSync(`${run}-keyd`);
  const records = opened?.map((volume) => ({
    volume,
    mount: `/mnt/${volume}`,
    device: '/dev/vdb2',
    mapping: `triseed-${volume}`,
    scenario: 'open',
    luksUuid: '7f0d4d0a-3a39-4f31-8b0a-1f6a2a0d8a51',
  }));
  if (records !== undefined) writeFileSync(join(run, 'opened.json'), renderOpened(records as never));
  if (handedOver) writeFileSync(join(run, 'keyd.json'), '{}');
  if (written !== undefined) writeFileSync(`${run}-keyd/status.json`, written);
  return callCommand(
    (host, io) =>
      statusCommand({
        io,
        configured: async () => ({ host, settings: { paths: { run } } as never }),
        ask: async (path) => {
          t.equal(path, `${run}-keyd/status`);
          if (answers !== undefined) return Buffer.from(answers);
          throw new AgentError('SOCKET_NO_ANSWER', { path, reason: 'ECONNREFUSED' });
        },
      }),
    args,
  );
};

const cases: Readonly<Record<string, readonly [Guest, state: string, exit: number]>> = {
  guarded: [{ opened: ['data'], handedOver: true, answers: statusText('watching') }, 'guarded', 0],
  'without a root key': [{ opened: ['plain'] }, 'no root key', 0],
  'in grace': [{ opened: ['data'], handedOver: true, answers: statusText('grace') }, 'grace', 1],
  'being revoked': [{ opened: ['data'], handedOver: true, answers: statusText('revoking') }, 'revoking', 1],
  'daemon that has not said a word': [{ opened: ['data'], handedOver: true }, 'not guarded', 1],
  'daemon that fell silent': [
    { opened: ['data'], handedOver: true, written: statusText('watching') },
    'not guarded',
    1,
  ],
  'daemon that answers with something else': [
    { opened: ['data'], handedOver: true, answers: 'hello' },
    'not guarded',
    1,
  ],
  'daemon of another boot': [
    { opened: ['data'], handedOver: true, answers: statusText('watching', 'other') },
    'not guarded',
    1,
  ],
  'revocation that ended the daemon': [
    { opened: ['data'], handedOver: true, written: statusText('revoking') },
    'revoking',
    1,
  ],
  'before the boot': [{}, 'not booted', 1],
  'a boot without volumes': [{ opened: [] }, 'no volume', 0],
};

t.test('one word, and an exit status for scripts', async (t) => {
  for (const [name, [guest, state, exit]] of Object.entries(cases)) {
    const json = await status(guest, '--json');
    t.equal(JSON.parse(json.stdout).state, state, name);
    t.equal(json.status, exit, name);
    const words = await status(guest);
    t.ok(words.stdout.startsWith(`${state}: `), name);
    t.equal(words.status, exit, name);
  }
});

t.test('what people read', async (t) => {
  const { stdout } = await status({ opened: ['data'], handedOver: true, answers: statusText('grace') });
  t.equal(
    stdout,
    [
      'grace: a root key is not usable: the guest restarts unless it is active again in time',
      'volume data on /mnt/data',
      'key-1 of data: suspended, active 10 s ago',
      '  data: the guest restarts in 1 min',
      '',
    ].join('\n'),
  );
});

t.test('what the daemon says cannot move the cursor of a terminal', async (t) => {
  const hostile = '\u001b[2J\u009b31m\u202e\u2028';
  const planted = JSON.parse(statusText('grace'));
  planted.keys[0].key = `key-1${hostile}`;
  planted.keys[0].state = `suspended${hostile}`;
  planted.volumes[0].key = planted.keys[0].key;
  planted.volumes[0].volume = `data${hostile}`;
  planted.volumes[0].keyVersion = `v1${hostile}`;
  planted.revocation = { volume: `data${hostile}`, reason: hostile };
  const guest: Guest = { opened: ['data'], handedOver: true, answers: JSON.stringify(planted) };
  for (const args of [[], ['--json']]) {
    const { stdout, status: exit } = await status(guest, ...args);
    t.notMatch(stdout.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, args.join());
    t.match(stdout, 'suspended\ufffd[2J');
    t.equal(exit, 1);
  }
});
