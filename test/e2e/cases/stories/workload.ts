/** What a workload finds in a real guest: content, modes, where it lies; and that nothing of it reaches a disk. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parse } from 'yaml';
import { messages } from '../../../../agent/messages.ts';
import { createGuest } from '../../guest/guest.ts';
import { sweep } from '../../guest/sweep.ts';
import { contractText } from '../../world/deployment.ts';
import { fingerprint } from '../image.ts';
import { stackTraces } from '../journal.ts';
import type { Stage } from '../stage.ts';
import { makeVolume, seeds, volumeText } from '../volume-case.ts';
import { up } from './root-keys.ts';

const composeText = `services: { web: { image: "registry.example.com/web@sha256:${'0'.repeat(64)}" } }\n`;

const secrets = {
  'variable of env': 'CANARY of_env 4c1d $HOME',
  'variable of workload': "CANARY of 'workload' 8f2b \\",
  'registry password': 'CANARY-registry-password-51ae',
  'variable of the archive': 'CANARY-of-the-archive-90c3',
};

/** The project as its owner packs it. */
const archiveOf = (folder: string): string => {
  mkdirSync(join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'docker-compose.yaml'), composeText);
  writeFileSync(join(folder, 'bin/tool'), '#!/bin/sh\n');
  chmodSync(join(folder, 'bin/tool'), 0o755);
  writeFileSync(join(folder, '.env'), `OWN=${secrets['variable of the archive']}\nBOTH=archive`);
  return execFileSync('tar', ['czf', '-', '-C', folder, '.']).toString('base64');
};

const changed = (text: string, before: string, after: string): string => {
  if (!text.includes(before)) throw new Error(`the contract has no ${before}`);
  return text.replace(before, () => after);
};

const volume = { key: 'db', contract: { mount: '/data1/compose/db' } };

const contractFor = (stage: Stage, archive: string): string => {
  const variables = (all: Readonly<Record<string, string>>): string => `  env: ${JSON.stringify(all)}\n`;
  const auths = { 'registry.example.com': { username: 'reader', password: secrets['registry password'] } };
  const workload = variables({ BOTH: secrets['variable of workload'], SEED: seeds.workload });
  const env = variables({ BOTH: 'of env', ONLY: secrets['variable of env'] });
  const plain = contractText([volumeText(stage, volume)]);
  return changed(
    changed(plain, '  play: {}\n', `  compose: { archive: ${archive} }\n${workload}`),
    '  type: env\n',
    `  type: env\n${env}  auths: ${JSON.stringify(auths)}\n`,
  );
};

const modes = `\
755 root /var/hyperprotect
755 root /var/hyperprotect/cidata
644 root /var/hyperprotect/cidata/meta-data
644 root /var/hyperprotect/cidata/vendor-data
644 root /var/hyperprotect/unsigned-checksums.txt
600 root /var/hyperprotect/user-data.decrypted
700 root /root/.docker
600 root /root/.docker/config.json
600 root /data1/compose/.env
700 root /data1/compose/bin
755 root /data1/compose/bin/tool
644 root /data1/compose/docker-compose.yaml
`;

export const handedToWorkload = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('workload');
  const made = await makeVolume(stage, scratch, volume);
  const contract = contractFor(stage, archiveOf(scratch.path('project')));
  const cidata = { metaData: 'instance-id: e2e\nlocal-hostname: shop\n', vendorData: '#cloud-config\n' };
  const guest = await stage.guest(scratch, {
    name: 'workload',
    volumes: [],
    contract,
    seed: cidata,
    disks: made.disks,
    options: { memoryMiB: 512 },
  });
  guest.start();
  t.match(await up(guest), /HPL10001I/);

  const paths = modes.match(/\/\S+/g) ?? [];
  t.equal(await guest.check(`stat -c '%a %U %n' ${paths.join(' ')}`), modes);
  for (const place of ['/var/hyperprotect', '/root/.docker', '/data1'])
    t.match(await guest.check(`findmnt -no FSTYPE,OPTIONS ${place}`), /^tmpfs .*nosuid,nodev/, place);
  t.match(await guest.check('findmnt -no SOURCE /data1/compose/db'), /^\/dev\/mapper\/triseed-/, 'inside the project');
  // Not all of /: each folder of this machine that the guest looks into costs a descriptor of its kernel's process.
  const written = '/data1 /etc/triseed /root/.docker /run /var/hyperprotect';
  t.equal(await guest.check(`find ${written} -name '.*.new'`), '', 'no temporary file is left');

  const read = (path: string): Promise<string> => guest.check(`cat ${path}`);
  t.equal(await read('/data1/compose/docker-compose.yaml'), composeText);
  t.equal(await read('/var/hyperprotect/cidata/meta-data'), cidata.metaData);
  t.equal(await read('/var/hyperprotect/cidata/vendor-data'), cidata.vendorData);
  const { auths } = JSON.parse(await read('/root/.docker/config.json'));
  const login = Buffer.from(auths['registry.example.com'].auth, 'base64').toString('utf8');
  t.equal(login, `reader:${secrets['registry password']}`);
  const shell = '. /data1/compose/.env; printf "%s\\n" "$OWN" "$BOTH" "$ONLY" "$SEED"';
  t.strictSame((await guest.check(shell)).split('\n').slice(0, -1), [
    secrets['variable of the archive'],
    secrets['variable of workload'],
    secrets['variable of env'],
    seeds.workload,
  ]);

  const blanked = parse(await read('/var/hyperprotect/user-data.decrypted'));
  const [workload, env] = [parse(blanked.workload), parse(blanked.env)];
  t.equal(workload.volumes.db.seed, '*'.repeat(seeds.workload.length));
  t.equal(env.volumes.db.seed, '*'.repeat(seeds.env.length));
  t.equal(workload.env.SEED, '*'.repeat(seeds.workload.length), 'a seed that is used twice');
  t.equal(env.auths['registry.example.com'].password, secrets['registry password']);

  const delivered = readFileSync(join(scratch.path('cidata'), 'user-data'), 'utf8');
  const sealed = parse(delivered);
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  const record = await read('/var/hyperprotect/unsigned-checksums.txt');
  for (const line of [
    `${hash(cidata.metaData)} cidata/meta-data`,
    `${hash(delivered)} cidata/user-data`,
    `${hash(cidata.vendorData)} cidata/vendor-data`,
    ...['workload', 'env', 'envWorkloadSignature'].map((name) => `${hash(sealed[name])} contract:${name}`),
  ])
    t.ok(record.includes(`${line}\n`), line);
  t.ok(
    guest.journal().some(({ text }) => text === `${hash(sealed.env)} contract:env`),
    'the journal has the hash, too',
  );
  const unpinned = (await guest.journalFields()).filter(({ MESSAGE }) => /^TSD05030W: /.test(String(MESSAGE)));
  t.match(unpinned, [{ PRIORITY: '4', SYSLOG_IDENTIFIER: 'hpcr-contract' }], 'a warning has the priority of one');

  await guest.check('sync');
  const files = [made.file, join(scratch.folder, 'cidata.iso')];
  const all = { ...secrets, 'env seed': seeds.env, 'workload seed': seeds.workload };
  t.strictSame((await sweep({ secrets: all, guest, files })).findings, [], 'nothing on disks, journal or consoles');
  t.equal(await guest.powerOff(), 'poweredOff');
  t.strictSame((await sweep({ secrets: all, guest, ended: true, files })).findings, [], 'nor after the end');

  guest.start();
  t.match(await up(guest), /HPL10001I/, 'the next boot begins with empty folders');
  t.match(await guest.check('cat /data1/compose/.env'), /CANARY/);
  t.strictSame([...stackTraces(guest, 1), ...stackTraces(guest, 2)], []);
  await guest.stop();
};

/** By hand in one guest: a folder on the plain root disk, then an archive that gets in the way of a mount point. */
export const notHandedToWorkload = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('not-handed');
  const made = await makeVolume(stage, scratch, volume);
  const before = fingerprint(made.file);
  const project = scratch.path('project');
  const good = archiveOf(project);
  writeFileSync(join(project, 'db'), 'a file where the volume is mounted');
  const obstructing = archiveOf(project);
  const filesFor = (name: string, archive: string, settings: string) => ({
    [`/etc/triseed/${name}.yaml`]: `contract: { sources: [ { file: /etc/triseed/${name}.contract } ] }\n${settings}\n`,
    [`/etc/triseed/${name}.contract`]: { content: contractFor(stage, archive), mode: 0o600 },
  });
  const guest = createGuest(scratch, {
    disks: made.disks,
    files: {
      ...filesFor('plain', good, 'workload: { folder: /srv/app }'),
      ...filesFor('obstructing', obstructing, ''),
      ...filesFor('good', good, ''),
    },
    wantedUnits: ['var-hyperprotect.mount', 'data1.mount', 'root-.docker.mount', 'modprobe@dm_mod.service'],
  });
  t.teardown(() => guest.stop());
  guest.start();
  await guest.ready();
  const boot = (name: string) => guest.run(`triseed boot --config /etc/triseed/${name}.yaml`, { timeoutMs: 60_000 });
  const opened = () => guest.check('ls /dev/mapper | grep -c triseed- || true');

  const plain = await boot('plain');
  t.equal(plain.status, 1);
  t.match(plain.stderr, new RegExp(`^${messages.WORKLOAD_PLACE_NOT_PRIVATE.id}: .*/srv/app`, 'm'));
  t.notMatch(plain.stderr, new RegExp(messages.VOLUME_PLAN.id), 'before any volume was planned');
  await guest.check('sync; test ! -e /srv/app && test ! -e /root/.docker/config.json');
  t.equal(fingerprint(made.file), before, 'the disk is as it was');

  const obstructed = await boot('obstructing');
  t.equal(obstructed.status, 1);
  t.match(obstructed.stderr, new RegExp(`^${messages.FILE_UNWRITABLE.id}: .*/data1/compose/db`, 'm'));
  t.match(obstructed.stderr, new RegExp(`${messages.VOLUMES_DONE.id}: `), 'the volume had been mounted');
  t.equal(await opened(), '0\n', 'and was closed again');
  t.notMatch(await guest.check('cat /proc/mounts'), /compose/);

  await guest.check('rm -r /data1/compose');
  const well = await boot('good');
  t.equal(well.status, 0, well.stderr);
  t.equal(await opened(), '1\n');
  for (const { stderr } of [plain, obstructed, well]) t.notMatch(stderr, /CANARY|internal error|^\s+at /m);
  t.equal(await guest.powerOff(), 'poweredOff');
};
