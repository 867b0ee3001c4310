/** The units as text: order, identifiers, limits. What systemd makes of them is test/e2e/units.test.ts. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseConfiguration } from '../../agent/configuration-parse.ts';
import { daemonFolder, verbSocket } from '../../agent/keyd/places.ts';
import { revokeUnit } from '../../agent/keyd/revoke.ts';
import { cursorPath, loggingPlaces, rsyslogFiles } from '../../agent/logging/places.ts';
import { messages, textOf } from '../../agent/messages.ts';
import { expiryPath } from '../../agent/notices/expiry-file.ts';

const folder = fileURLToPath(new URL('../../systemd/', import.meta.url));
const names = readdirSync(folder).filter((name) => /\.(service|socket|target|timer|mount)$/.test(name));

/** `Section.Key` → values in order, systemd.syntax(7). Lists of unit names stay one value a line. */
type Unit = ReadonlyMap<string, readonly string[]>;

const parseUnit = (text: string): Unit => {
  const unit = new Map<string, string[]>();
  let section = '';
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const header = /^\[(\w+)\]$/.exec(line)?.[1];
    const setting = /^(\w+)=(.*)$/.exec(line);
    if (header !== undefined) section = header;
    else if (setting !== null) {
      const [, key = '', value = ''] = setting;
      const name = `${section}.${key}`;
      unit.set(name, [...(unit.get(name) ?? []), value]);
    } else throw new Error(`not a line of a unit: ${line}`);
  }
  return unit;
};

const units = new Map(names.map((name) => [name, parseUnit(readFileSync(join(folder, name), 'utf8'))]));
const unitNamed = (name: string): Unit => {
  const unit = units.get(name);
  if (unit === undefined) throw new Error(`no unit is called ${name}`);
  return unit;
};
const all = (name: string, key: string): readonly string[] => unitNamed(name).get(key) ?? [];
const one = (name: string, key: string): string | undefined => all(name, key).at(-1);
const words = (name: string, key: string): readonly string[] => all(name, key).flatMap((value) => value.split(/\s+/));
const seconds = (value: string | undefined): number => {
  const [, amount, unit] = /^(\d+)(min|ms|s)?$/.exec(value ?? '') ?? [];
  return Number(amount) * (unit === 'min' ? 60 : unit === 'ms' ? 0.001 : 1);
};

/** Units that start before `name` does, by After= and by the others' Before=. */
const earlier = (name: string): ReadonlySet<string> => {
  const found = new Set<string>();
  const visit = (current: string): void => {
    const direct = [
      ...(units.has(current) ? words(current, 'Unit.After') : []),
      ...names.filter((other) => words(other, 'Unit.Before').includes(current)),
    ];
    for (const next of direct) {
      if (found.has(next)) continue;
      found.add(next);
      visit(next);
    }
  };
  visit(name);
  return found;
};

t.test('stages start in this order', async (t) => {
  const stages = [
    'network-online.target',
    'triseed-network.service',
    'triseed-logging.service',
    'triseed-log-senders.service',
    'triseed-logging.target',
    'triseed-boot.service',
    'triseed-volumes.target',
    'triseed-keyd.service',
    'triseed-guarded.service',
    'triseed-workload.target',
    'hpl-catch-success.service',
  ];
  for (const [at, stage] of stages.entries()) {
    for (const before of stages.slice(0, at)) t.ok(earlier(stage).has(before), `${stage} after ${before}`);
    t.notOk(earlier(stage).has(stage), `${stage} does not wait for itself`);
  }
});

t.test('what the image enables brings everything', async (t) => {
  const wanted = new Set([...words('triseed.target', 'Unit.Requires'), ...words('triseed.target', 'Unit.Wants')]);
  for (const name of [
    'triseed-boot.service',
    'triseed-volumes.target',
    'triseed-keyd.service',
    'triseed-verify.timer',
    'triseed-notices.service',
    'triseed-workload.target',
    'hpl-catch-success.service',
  ])
    t.ok(wanted.has(name), name);
  t.equal(one('triseed.target', 'Install.WantedBy'), 'multi-user.target');
});

t.test('the lines consumers wait for are those of the catalogue, under its identifiers', async (t) => {
  const reports = [
    ['hpl-catch-success.service', 'SERVICES_SUCCEEDED', 'VSI has started successfully.'],
    ['hpl-catch-failed.service', 'SERVICE_FAILED', 'VSI has failed to start!'],
  ] as const;
  for (const [unit, name, sentence] of reports) {
    t.equal(one(unit, 'Service.SyslogIdentifier'), messages[name].component);
    t.equal(one(unit, 'Service.StandardOutput'), 'journal+console');
    t.strictSame(all(unit, 'Service.ExecStart'), [
      `/bin/echo "${sentence}"`,
      `/bin/echo "${messages[name].id}: ${textOf(name, {})}"`,
    ]);
  }
  t.equal(one('triseed-keyd.service', 'Service.SyslogIdentifier'), messages.KEY_DAEMON_STARTED.component);
  t.equal(one('triseed-volumes.target', 'Unit.Description'), 'Data volumes are mounted ready to be used');
});

t.test('encryption is checked as soon as the volumes are there, and every hour', async (t) => {
  for (const name of ['triseed-verify.timer', 'triseed-verify.service'])
    t.ok(earlier(name).has('triseed-volumes.target'), name);
  t.strictSame(all('triseed-verify.service', 'Service.ExecStart'), ['/usr/bin/triseed volume verify']);
  t.equal(one('triseed-verify.service', 'Service.SyslogIdentifier'), messages.VOLUME_IS_ENCRYPTED.component);
  t.equal(one('triseed-verify.timer', 'Timer.OnUnitActiveSec'), '1h');
  t.ok(seconds(one('triseed-verify.timer', 'Timer.OnActiveSec')) <= 5);
  // A wall clock that jumps must not skip or repeat the check.
  t.equal(one('triseed-verify.timer', 'Timer.OnCalendar'), undefined);
  t.equal(one('triseed-verify.service', 'Unit.OnFailure'), undefined, 'a failed check is told, and the guest goes on');
  // A private /home or /tmp would hide a volume that is mounted below it.
  for (const key of ['ProtectHome', 'PrivateTmp']) t.equal(one('triseed-verify.service', `Service.${key}`), undefined);
});

t.test('every failure has an end', async (t) => {
  const stages = [
    'triseed-network.service',
    'triseed-logging.service',
    'triseed-log-senders.service',
    'triseed-logging.target',
  ];
  for (const name of [...stages, 'triseed-boot.service', 'triseed-workload.target']) {
    t.equal(one(name, 'Unit.OnFailure'), 'hpl-catch-failed.service', name);
    t.equal(one(name, 'Unit.OnFailureJobMode'), 'replace-irreversibly', name);
  }
  t.equal(one('hpl-catch-failed.service', 'Unit.SuccessAction'), 'poweroff');
  t.equal(one('hpl-catch-failed.service', 'Unit.FailureAction'), 'poweroff-force');
  t.equal(one('hpl-catch-failed.service', 'Unit.JobTimeoutAction'), 'poweroff-force');
  const [, mark] = /^!(\/run\/\S+)$/.exec(one('hpl-catch-failed.service', 'Unit.ConditionPathExists') ?? '') ?? [];
  t.strictSame(all(revokeUnit, 'Service.ExecStartPre'), [`-/usr/bin/touch ${mark}`], 'a revocation is no failed start');
  t.ok(words('hpl-catch-failed.service', 'Unit.Conflicts').includes('shutdown.target'), 'nor is a shutdown');
  t.equal(one('triseed-keyd.service', 'Unit.OnFailure'), revokeUnit);
  t.equal(one(revokeUnit, 'Unit.FailureAction'), 'reboot-force');
});

t.test('nothing is started that the log server of the contract does not see', async (t) => {
  const requires = (name: string): readonly string[] => words(name, 'Unit.Requires');
  t.ok(requires('triseed-boot.service').includes('triseed-logging.target'));
  for (const sender of ['triseed-log-forwarding.service', 'triseed-log-router.service']) {
    t.ok(words('triseed-log-senders.service', 'Service.ExecStart').includes(sender), sender);
    // An administrator who restarts a sender would stop the boot, and with it the volumes.
    for (const name of names)
      for (const key of ['Requires', 'BindsTo', 'Requisite', 'PartOf'])
        t.notOk(words(name, `Unit.${key}`).includes(sender), `${name} does not stop with ${sender}`);
    t.ok(earlier('triseed-boot.service').has(sender), `${sender} stops after everything it has to tell of`);
    t.equal(one(sender, 'Service.Restart'), 'always', sender);
    t.equal(one(sender, 'Unit.StartLimitIntervalSec'), '0', sender);
    t.equal(one(sender, 'Service.DynamicUser'), 'yes', sender);
  }
  for (const name of ['triseed-logging.service', 'triseed-log-senders.service'])
    t.ok(requires('triseed-logging.target').includes(name), name);
  for (const name of [
    'triseed-network.service',
    'triseed-logging.service',
    'triseed-log-senders.service',
    'triseed-logging.target',
  ])
    t.equal(one(name, 'Unit.RefuseManualStop'), 'yes', name);
  t.ok(requires('triseed-logging.service').includes('triseed-network.service'));
  t.equal(one('triseed-logging.target', 'Unit.Description'), 'Logging to remote log server is initiated');
  for (const [unit, name] of [
    ['triseed-network.service', 'NETWORK_READY'],
    ['triseed-logging.service', 'LOGGING_SET_UP'],
    ['triseed-notices.service', 'CONTRACT_VALID'],
  ] as const)
    t.equal(one(unit, 'Service.SyslogIdentifier'), messages[name].component, unit);
});

/** Units of ours whose stop `name` goes along with: systemd.unit(5), "Requires=" and "RequiresMountsFor=". */
const stoppedWith = (name: string): readonly string[] => {
  const needed = ['Requires', 'Requisite', 'BindsTo', 'PartOf', 'StopPropagatedFrom'].flatMap((key) =>
    words(name, `Unit.${key}`),
  );
  const below = words(name, 'Unit.RequiresMountsFor').map((path) => `${path}/`);
  const holds = (mount: string): boolean => below.some((path) => path.startsWith(`${one(mount, 'Mount.Where')}/`));
  return names.filter((other) => needed.includes(other) || (other.endsWith('.mount') && holds(other)));
};

t.test('nothing that stops the key daemon can be stopped by hand', async (t) => {
  const found = new Set(['triseed-keyd.service']);
  // What is added meanwhile is visited, too.
  for (const name of found) for (const next of stoppedWith(name)) found.add(next);
  t.ok(found.has('triseed-boot.service') && found.has('triseed-network.service'), 'the rule sees through targets');
  for (const name of found) t.equal(one(name, 'Unit.RefuseManualStop'), 'yes', name);
  t.strictSame(
    [...found].filter((name) => name.endsWith('.mount')),
    [],
    'nor do those stop it that go along with the file system below them',
  );
});

t.test('the sending units find what the set-up leaves', async (t) => {
  const places = loggingPlaces(parseConfiguration('').paths.run);
  const loaded = (name: string): ReadonlyMap<string, string> =>
    new Map(all(name, 'Service.LoadCredential').map((value) => value.split(':', 2) as [string, string]));
  const unit = 'triseed-log-forwarding.service';
  t.strictSame(
    loaded(unit),
    new Map([
      ['conf', places.rsyslogConfiguration],
      ['ca', places.ca],
      ['cert', places.cert],
      ['key', places.key],
    ]),
  );
  t.equal(one(unit, 'Unit.ConditionPathExists'), places.rsyslogConfiguration);
  for (const name of ['ca', 'cert', 'key'] as const) t.equal(rsyslogFiles[name], `/run/credentials/${unit}/${name}`);
  t.equal(rsyslogFiles.work, `/run/${one(unit, 'Service.RuntimeDirectory')}`);
  const router = 'triseed-log-router.service';
  t.strictSame(loaded(router), new Map([['log-router', places.logRouter]]));
  t.equal(one(router, 'Unit.ConditionPathExists'), places.logRouter);
  t.equal(dirname(cursorPath), `/run/${one(router, 'Service.RuntimeDirectory')}`);
  const expiry = expiryPath(parseConfiguration('').paths.run);
  t.strictSame(loaded('triseed-notices.service'), new Map([['expiry', expiry]]));
  t.equal(one('triseed-notices.service', 'Unit.ConditionPathExists'), expiry);
});

t.test('limits fit together', async (t) => {
  const keyd = (key: string): number => seconds(one('triseed-keyd.service', key));
  t.ok(keyd('Service.WatchdogSec') >= 2 * 60 + 30, 'two default poll intervals and a request');
  t.ok(keyd('Service.TimeoutStartSec') > 30, 'ready comes after one poll');
  const longestLife = Math.max(keyd('Service.WatchdogSec'), keyd('Service.TimeoutStartSec'));
  const oneTurn = longestLife + keyd('Service.TimeoutStopSec') + keyd('Service.RestartSec');
  const burst = Number(one('triseed-keyd.service', 'Unit.StartLimitBurst'));
  t.ok(burst * oneTurn < keyd('Unit.StartLimitIntervalSec'), 'even a daemon that only hangs is given up');
  const armed = seconds(one('triseed-forced-restart.timer', 'Timer.OnActiveSec'));
  t.ok(armed >= 90 + 30, 'a revocation (90 s at most) and an orderly shutdown come first');
  t.ok(seconds(one(revokeUnit, 'Service.TimeoutStartSec')) > armed, 'the timer, not the time limit, ends a stuck one');
  t.equal(one('triseed-boot.service', 'Service.TimeoutStartSec'), 'infinity', 'kmsTimeout may be 1000 minutes');
});

t.test('what mounts and unmounts for the guest has no mounts of its own', async (t) => {
  const ofItsOwn =
    /^Service\.(Protect(System|Home|Kernel\w+|ControlGroups|Proc)|Private(Tmp|Mounts|Devices|Users|IPC)|ProcSubset|\w+Paths|Root\w+|TemporaryFileSystem|MountFlags|DynamicUser)$/;
  for (const name of ['triseed-boot.service', revokeUnit]) {
    t.strictSame(
      [...unitNamed(name).keys()].filter((key) => ofItsOwn.test(key)),
      [],
      name,
    );
  }
  t.ok(
    [...unitNamed('triseed-keyd.service').keys()].some((key) => ofItsOwn.test(key)),
    'the rule sees what it forbids',
  );
});

t.test('what speaks to the network is not root, and can ask for two things', async (t) => {
  const daemon = 'triseed-keyd.service';
  const user = one(daemon, 'Service.User');
  t.match(readFileSync(join(folder, 'sysusers.conf'), 'utf8'), `u ${user} `, 'the package makes this user');
  t.equal(one(daemon, 'Service.PrivateDevices'), 'yes');
  const reaching = names.filter((name) => all(name, 'Service.RestrictAddressFamilies').join().includes('AF_INET'));
  const staying = reaching.filter((name) => one(name, 'Service.Type') !== 'oneshot');
  t.strictSame(
    reaching.filter((name) => !staying.includes(name)),
    ['triseed-boot.service', 'triseed-logging.service', 'triseed-network.service'],
    'who reaches the network as root, and ends',
  );
  t.strictSame(staying, [daemon, 'triseed-log-forwarding.service', 'triseed-log-router.service']);
  for (const name of staying)
    t.ok(one(name, 'Service.User') !== undefined || one(name, 'Service.DynamicUser') === 'yes', `${name} is not root`);
  const { run } = parseConfiguration('').paths;
  const sockets = { store: 'triseed-store.socket', revoke: 'triseed-revoke.socket' } as const;
  for (const [verb, socket] of Object.entries(sockets)) {
    t.equal(one(socket, 'Socket.ListenStream'), verbSocket(run, verb as keyof typeof sockets));
    t.equal(one(socket, 'Socket.SocketUser'), user, 'for the daemon alone');
    t.equal(one(socket, 'Socket.SocketMode'), '0600');
    t.ok(words(daemon, 'Unit.Wants').includes(socket));
    t.ok(earlier(daemon).has(socket));
    t.notOk(words(daemon, 'Unit.Requires').includes(socket), 'to stop it does not stop the daemon');
  }
  t.equal(one(daemon, 'Service.RuntimeDirectory'), basename(daemonFolder(run)));
  t.equal(one(daemon, 'Service.RuntimeDirectoryPreserve'), 'yes', 'to start it again buys no time');
  t.equal(one('triseed-revoke.socket', 'Socket.Service'), revokeUnit);
  t.ok(Number(one('triseed-store.socket', 'Socket.MaxConnections')) <= 4);
  t.notOk(unitNamed('triseed-store@.service').has('Service.PrivateNetwork'), 'it could not see the lock of a volume');
  t.equal(one('triseed-store@.service', 'Service.CapabilityBoundingSet'), '');
});

t.test('the forced restart outlives the shutdown that hangs', async (t) => {
  for (const name of [
    'triseed-forced-restart.timer',
    'triseed-forced-restart.service',
    'triseed-forced-power-off.timer',
    'triseed-forced-power-off.service',
  ])
    t.equal(one(name, 'Unit.DefaultDependencies'), 'no', name);
});

t.test('whoever holds a secret leaves no core dump and is spared when memory is short', async (t) => {
  // Dates of expiry are no secret.
  const ours = names.filter((name) => all(name, 'Service.ExecStart').join().includes('/usr/bin/triseed'));
  for (const name of ours.filter((name) => name !== 'triseed-notices.service')) {
    t.equal(one(name, 'Service.LimitCORE'), '0', name);
    t.equal(one(name, 'Service.UMask'), '0077', name);
    t.ok(Number(one(name, 'Service.OOMScoreAdjust')) <= -900, name);
    t.equal(one(name, 'Service.NoNewPrivileges'), 'yes', name);
  }
  for (const name of names.filter((name) => unitNamed(name).has('Service.LimitCORE')))
    t.equal(one(name, 'Service.CoredumpFilter'), '0', `${name}, in a dump that is piped`);
});

const analyze = '/usr/bin/systemd-analyze';
const version = Number(/^systemd (\d+)/.exec(execFileSync(analyze, ['--version'], { encoding: 'utf8' }))?.[1]);

t.test('systemd-analyze verify finds nothing', async (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'units-'));
  t.teardown(() => rmSync(copy, { recursive: true }));
  for (const name of names) {
    // The program is not installed here; everything else is judged as it is.
    writeFileSync(
      join(copy, name),
      readFileSync(join(folder, name), 'utf8').replaceAll('/usr/bin/triseed', '/bin/true'),
    );
  }
  const verified = spawnSync(analyze, ['verify', '--man=no', ...names.map((name) => join(copy, name))], {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', SYSTEMD_UNIT_PATH: `${copy}:` },
  });
  t.equal(verified.stderr, '');
  t.equal(verified.status, 0);
});

t.test('exposure, systemd-analyze security', { skip: version < 250 && 'needs --offline' }, async (t) => {
  const limits = {
    'triseed-keyd.service': 1.4,
    'triseed-store@.service': 1.3,
    'triseed-revoke.service': 4.2,
    'triseed-verify.service': 2.4,
    'triseed-boot.service': 5.0,
    'triseed-network.service': 1.8,
    'triseed-logging.service': 1.8,
    'triseed-log-senders.service': 1.6,
    'triseed-log-forwarding.service': 1.4,
    'triseed-log-router.service': 1.4,
    'triseed-notices.service': 0.3,
    'triseed-guarded.service': 3.7,
    'hpl-catch-success.service': 3.7,
    'hpl-catch-failed.service': 3.7,
  };
  for (const [name, limit] of Object.entries(limits)) {
    const args = ['security', '--offline=true', '--no-pager', `--threshold=${limit * 10}`, join(folder, name)];
    const { status, stdout } = spawnSync(analyze, args, { encoding: 'utf8' });
    t.equal(status, 0, /exposure level for .*/.exec(stdout)?.[0] ?? name);
  }
});

t.test('what the workload gets lies in memory before the boot begins', async (t) => {
  const { paths, workload } = parseConfiguration('');
  const places = [paths.state, workload.folder, dirname(workload.registryAuth)];
  const mounts = names.filter((name) => name.endsWith('.mount'));
  t.strictSame(
    new Set(mounts.map((name) => one(name, 'Mount.Where'))),
    new Set(places),
    'as the agent is configured by default',
  );
  for (const name of mounts) {
    const where = one(name, 'Mount.Where') ?? '';
    const escaped = execFileSync('systemd-escape', ['--path', '--suffix=mount', where], { encoding: 'utf8' }).trim();
    t.equal(escaped, name, 'systemd finds a mount unit by its name');
    t.ok(words('triseed-boot.service', 'Unit.Wants').includes(name), `${name} is pulled in`);
    t.ok(earlier('triseed-boot.service').has(name), `${name} is there first, and goes last`);
    t.equal(one(name, 'Unit.RefuseManualStop'), 'yes', name);
    t.equal(one(name, 'Mount.Type'), 'tmpfs', name);
    t.match(one(name, 'Mount.Options'), /(^|,)size=\d+[M%],nosuid,nodev/, name);
  }
});
