import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { notifyOver } from '../../../agent/host/notify.ts';

/** Receives one datagram and prints it: Node has no unix datagram sockets. systemd-notify(1) sends a barrier after it. */
const listener = `
  use Socket;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die;
  $| = 1; print "ready\\n"; recv($s, my $m, 65536, 0); print $m;`;

t.test('systemd-notify sends what the report says', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'notify-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'socket');
  const receiver = spawn('/usr/bin/perl', ['-e', listener, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  let received = '';
  receiver.stdout.setEncoding('utf8').on('data', (text) => {
    received += text;
  });
  await once(receiver.stdout, 'data');
  const closed = once(receiver, 'close');
  await notifyOver(socket)({ ready: true, alive: true, watchdogMs: 180_000, status: 'one\nline' });
  await closed;
  t.strictSame(
    received
      .split('\n')
      .filter((line) => line !== '' && line !== 'ready')
      .sort(),
    ['READY=1', 'STATUS=one line', 'WATCHDOG=1', 'WATCHDOG_USEC=180000000'],
  );
});

t.test('outside systemd, and when nobody listens, nothing happens', async (t) => {
  const report = { ready: true, alive: true, watchdogMs: null, status: 'well' };
  await t.resolves(notifyOver(null)(report));
  await t.resolves(notifyOver('/nonexistent/socket')(report));
});
