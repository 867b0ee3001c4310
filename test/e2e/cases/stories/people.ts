/** What people type in a guest: plan, status, verify, header-backup, wipe, adopt; dd puts a header back; the data is intact. */
import { copyFileSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import { messages } from '../../../../agent/messages.ts';
import { handOver } from '../../guest/scratch.ts';
import { triseed } from '../../world/triseed.ts';
import { linesWith, stackTraces } from '../journal.ts';
import { judge } from '../judge.ts';
import type { Stage } from '../stage.ts';
import { contentMadeElsewhere, filesystemIn, type MadeVolume, makeVolume, volumeText } from '../volume-case.ts';

const diskOf = (serial: string): string => `/dev/disk/by-id/virtio-${serial}`;

export const peoplesCommands = async (t: Test, stage: Stage): Promise<void> => {
  const scratch = stage.folder('people');
  const volumes = [{ key: 'two' }, { key: 'three', kms: () => [stage.entry('main')] }];
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const spare = await makeVolume(stage, scratch, { key: 'spare', disk: filesystemIn(0, contentMadeElsewhere) });
  const guest = await stage.guest(scratch, {
    name: 'people',
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: [...made, spare].flatMap(({ disks }) => disks),
    options: { wantedUnits: ['triseed-volumes.target', 'triseed-keyd.service', 'triseed-verify.timer'] },
  });
  const boot = async (): Promise<void> => {
    guest.start();
    await guest.waitForText(/Reached target triseed-volumes\.target|HPL10000E/, 360_000);
    t.strictSame(linesWith(guest, 'HPL10000E'), []);
  };
  const type = async (command: string, expected: number) => {
    const said = await guest.run(`triseed volume ${command}`, { timeoutMs: 60_000 });
    t.equal(said.status, expected, `volume ${command}\n${said.status === expected ? '' : said.stdout + said.stderr}`);
    return said;
  };

  await boot();
  await guest.check('printf kept-two >/mnt/two/written; printf kept-three >/mnt/three/written; sync');
  await guest.waitForText(new RegExp(messages.VOLUMES_ARE_ENCRYPTED.id), 180_000);
  const check = guest.journal().filter(({ identifier }) => identifier === 'verify-disk-encryption');
  t.match(check.map(({ text }) => text.slice(0, 9)).sort(), ['HPL13000I', 'HPL13001I', 'HPL13003I', 'HPL13003I']);
  for (const { key } of volumes)
    t.equal(
      linesWith(guest, 'HPL13003I', `/mnt/${key} is encrypted with LUKS, key slots: 1`).length,
      1,
      `${key}: by its timer`,
    );

  const status = JSON.parse((await type('status --json', 0)).stdout);
  t.match(status.volumes, [
    {
      volume: 'two',
      mount: '/mnt/two',
      cipher: 'aes-xts-plain64',
      keyslots: 1,
      seeds: 2,
      rootKey: null,
      objection: null,
    },
    { volume: 'three', mount: '/mnt/three', keyslots: 1, seeds: 3, rootKey: { state: 'active' }, objection: null },
  ]);
  t.match((await type('status', 0)).stdout, /volume three\n[\s\S]*root key +active, last known to be active \d+ s ago/);

  const plan = await type('plan --save-observation /run/case.json', 0);
  t.match(plan.stdout, /volume two on \S+: open, digest [\s\S]*it is open now[\s\S]*1\. open [\s\S]*2\. mount /);
  t.match(plan.stdout, /volume three on \S+: open-kms, digest /);
  t.notMatch(plan.stdout, /!/, 'the next boot destroys nothing');
  const observation = await guest.check('cat /run/case.json');
  for (const secret of [...Object.values(made[0]?.seeds ?? {}), stage.service.apiKey])
    if (secret !== null) t.notOk(observation.includes(secret), 'no secret in the observation');
  const kept = scratch.path('case.json');
  writeFileSync(kept, observation);
  t.equal(
    (await triseed('volume', 'plan', '--observation', kept)).stdout,
    plan.stdout,
    'the same plan outside the guest',
  );
  t.match(
    (await type('plan --offline', 0)).stdout,
    /volume three[\s\S]*wrapped anew[\s\S]*commit-token[\s\S]*not asked/,
  );

  await guest.check('mount -t tmpfs none /mnt/two');
  const hidden = await type('verify', 1);
  t.match(hidden.stderr, /TSD07070E: mount point \/mnt\/two /);
  t.match(hidden.stderr, /HPL13003I: mount point \/mnt\/three /, 'the others are looked at all the same');
  await guest.check('umount /mnt/two');
  await type('verify', 0);

  const data = `${diskOf('two')}-part2`;
  await type(`header-backup ${data} -o /run/two.header`, 0);
  t.match((await type(`wipe ${diskOf('two')} --name two`, 1)).stderr, /TSD07075E.*in use/);
  await guest.check(`mkdir /run/here; mount ${diskOf('spare')} /run/here`);
  t.match((await type(`wipe ${diskOf('spare')} --name spare`, 1)).stderr, /TSD07075E.*in use/);
  await guest.check('umount /run/here');
  t.match((await type(`wipe ${data} --name two`, 1)).stderr, /it is a partition/);
  t.match((await type(`wipe ${diskOf('spare')} --name two`, 1)).stderr, /the name is spare/);
  await type(`wipe ${diskOf('spare')} --name spare`, 0);
  t.equal(
    await guest.check(`wipefs --no-act ${diskOf('spare')}; cmp ${diskOf('spare')} /dev/zero 2>&1 | grep -c EOF`),
    '1\n',
  );

  await guest.check('umount /mnt/two; dmsetup remove triseed-two');
  const plain = `0 200000 linear $(readlink -f ${diskOf('spare')}) 0`;
  await guest.check(`dmsetup create triseed-two --table "${plain}"; mkfs.ext4 -q /dev/mapper/triseed-two`);
  await guest.check('mount /dev/mapper/triseed-two /mnt/two');
  t.match((await type('verify', 1)).stderr, /TSD07070E.*not an encrypted mapping/);
  await guest.check('umount /mnt/two; dmsetup remove triseed-two');

  await guest.check(`dd if=/dev/zero of=${data} bs=1M count=16 conv=fsync`);
  t.match((await type('plan', 1)).stdout, /volume two on \S+: refused[\s\S]*TSD07013E/);
  await guest.check(
    'cd /run; sha256sum two.header | cut -c1-64 | grep -q "$(sed -n \'s/.*"sha256": "\\(.*\\)".*/\\1/p\' two.header.json)"',
  );
  await guest.check(`dd if=/run/two.header of=${data} bs=1M conv=notrunc,fsync`);
  t.match((await type('plan', 0)).stdout, /volume two on \S+: open, digest/);
  t.equal(await guest.powerOff(), 'poweredOff');

  copyFileSync(made[0]?.file ?? '', spare.file);
  handOver(spare.file);
  await boot();
  for (const { key } of volumes) t.equal(await guest.check(`cat /mnt/${key}/written`), `kept-${key}`);
  const before = await guest.check(`sha256sum <${diskOf('spare')}`);
  t.match((await type(`adopt ${diskOf('spare')} --volume two`, 0)).stdout, /: open, digest [\s\S]*1\. open /);
  t.match((await type(`adopt ${diskOf('spare')} --volume three`, 1)).stdout, /refused/, 'it is not that volume');
  t.equal(await guest.check(`sha256sum <${diskOf('spare')}`), before, 'adopt wrote nothing');
  t.equal(await guest.powerOff(), 'poweredOff');
  t.strictSame([...stackTraces(guest, 1), ...stackTraces(guest, 2)], []);
  const [two] = made;
  if (two !== undefined)
    await judge(t, stage, {
      key: 'two',
      file: two.file,
      seeds: two.seeds,
      madeHere: true,
      content: { written: 'kept-two' },
    });
};
