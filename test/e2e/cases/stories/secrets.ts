/**
 * No secret leaves the agent: seeds, API key, the third seeds, passphrases and volume keys are planted or computed, then looked for in
 * every argument list and environment, the journal, the consoles and every byte of every disk.
 */
import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Guest } from '../../guest/guest.ts';
import { hostPrograms } from '../../guest/recorder.ts';
import { sweep } from '../../guest/sweep.ts';
import { mixOfTwo, passphraseOf } from '../by-hand.ts';
import { MiB, partitionOf, take } from '../image.ts';
import { tokenOnDisk } from '../judge.ts';
import { volumeKeyOf } from '../luks-file.ts';
import type { Stage } from '../stage.ts';
import {
  handMadeKms,
  luksIn,
  type MadeVolume,
  makeVolume,
  metadata,
  quick,
  seeds,
  steps,
  table,
  type VolumeCase,
  volumeText,
} from '../volume-case.ts';
import { disable, rotate, up } from './root-keys.ts';

/** systemd-udevd is another name of udevadm, and the guest's init needs umount before anything can be recorded. */
const recorded = [...hostPrograms.filter((program) => program !== 'udevadm' && program !== 'umount'), 'wipefs'];

const volumesUnder = (keyName: string): readonly VolumeCase[] => {
  const kms: VolumeCase['kms'] = (stage) => [stage.entry(keyName)];
  return [
    { key: 'two' },
    { key: 'three', kms },
    { key: 'open', disk: steps(table('metadata', 'data'), metadata({}), luksIn(2)) },
    { key: 'adopted', kms, disk: handMadeKms(keyName, passphraseOf, quick) },
  ];
};

/** Where the API key may lie, readable by root or by the key daemon alone: in memory that is not swapped. */
const handedOver = ['guest /run/credentials/triseed-keyd.service/keyd', 'guest /run/triseed/keyd.json'];

/** A program that the kernel pipes core dumps to: whether the API key is in one, for the process of that number. */
const coreReader = `\
#!/bin/sh
grep -azcF -f /tmp/sought >/tmp/cores/new.$1
mv /tmp/cores/new.$1 /tmp/cores/found.$1
`;

/** Crashes the key daemon and answers its number, when the next one runs. */
const crashDaemon = async (guest: Guest): Promise<string> => {
  const pid = 'systemctl show -p MainPID --value triseed-keyd';
  const before = (await guest.check(pid)).trim();
  await guest.check('systemctl kill --kill-who=main -s ABRT triseed-keyd');
  await guest.check(`while [ "$(${pid})" = ${before} ] || [ "$(${pid})" = 0 ]; do sleep 0.2; done`);
  return before;
};

/** Crashes the key daemon where crashes leave core files, and where they are piped to a program; and a shell to show that they do. */
const crashLeavesNothing = async (t: Test, guest: Guest): Promise<void> => {
  const pattern = '/proc/sys/kernel/core_pattern';
  await guest.check(`mkdir -p /tmp/cores && chmod 1777 /tmp/cores && echo /tmp/cores/core.%e.%p >${pattern}`);
  await guest.run("sh -c 'ulimit -c unlimited; kill -ABRT $$'");
  t.match(await guest.check('ls /tmp/cores'), /^core\.sh\./, 'a crash leaves a core file here');
  await guest.check('rm /tmp/cores/*');
  await crashDaemon(guest);
  t.equal(await guest.check('ls /tmp/cores'), '', 'and that of the key daemon leaves none');

  await guest.check(`grep -o '"apiKey":"[^"]*"' /run/triseed/keyd.json | cut -d '"' -f 4 | grep -m 1 . >/tmp/sought`);
  await guest.check(`echo '|/etc/core-reader %p' >${pattern}`);
  const found = async (pid: string): Promise<string> =>
    (await guest.check(`until cat /tmp/cores/found.${pid} 2>&-; do sleep 0.2; done`)).trim();
  const shell = await guest.run("sh -c 'ulimit -c 0; KEY=$(cat /tmp/sought); echo $$; kill -ABRT $$'");
  t.not(
    await found(shell.stdout.trim()),
    '0',
    'what a program gets holds what the crashed one knew, whatever its limit',
  );
  t.equal(await found(await crashDaemon(guest)), '0', 'but not what the key daemon knew');
  const running = 'cat /proc/$(systemctl show -p MainPID --value triseed-keyd)/coredump_filter';
  t.match(await guest.check(running), /^0+$/m, 'the kernel has the filter');
  for (const unit of ['triseed-boot', 'triseed-keyd', 'triseed-revoke', 'triseed-store@1'])
    t.match(
      await guest.check(`systemctl show -p LimitCORE,CoredumpFilter ${unit}`),
      /^LimitCORE=0\nCoredumpFilter=0x0$/m,
      unit,
    );
};

const headerOf = (stage: Stage, file: string): string => {
  const piece = stage.piece();
  writeFileSync(piece, take(file, partitionOf(file, 2).offset, 16 * MiB + 4096));
  return piece;
};

/** What nobody but the agent may know, by name. */
const secretsOf = async (
  stage: Stage,
  keyName: string,
  made: readonly MadeVolume[],
): Promise<Readonly<Record<string, string | Uint8Array>>> => {
  const found: Record<string, string | Uint8Array> = {
    'env seed': seeds.env,
    'workload seed': seeds.workload,
    'API key': stage.service.apiKey,
    'passphrase of two seeds': mixOfTwo(seeds),
    // The digest as bytes, before it became text.
    'digest of two seeds': createHash('sha256')
      .update(seeds.env + seeds.workload)
      .digest(),
  };
  for (const { volume, file } of made) {
    const { wrapped } = volume.key === 'open' ? { wrapped: undefined } : tokenOnDisk(file, stage.piece());
    const third = wrapped === undefined ? null : await stage.unwrap(keyName, wrapped);
    const passphrase = passphraseOf({ ...seeds, third });
    const header = headerOf(stage, file);
    found[`volume key of ${volume.key}`] = volumeKeyOf(header, passphrase);
    rmSync(header);
    if (third === null) continue;
    found[`third seed of ${volume.key}`] = third;
    found[`third seed of ${volume.key}, bytes`] = Buffer.from(third, 'base64');
    found[`passphrase of ${volume.key}`] = passphrase;
  }
  return found;
};

export const noSecretAnywhere = async (t: Test, stage: Stage, keyName: string): Promise<void> => {
  const volumes = volumesUnder(keyName);
  const scratch = stage.folder('secrets');
  const made: MadeVolume[] = [];
  for (const volume of volumes) made.push(await makeVolume(stage, scratch, volume));
  const guest = await stage.guest(scratch, {
    name: 'secrets',
    volumes: volumes.map((volume) => volumeText(stage, volume)),
    disks: made.flatMap(({ disks }) => disks),
    wholeStart: true,
    pollSeconds: 3,
    options: {
      recordPrograms: recorded,
      // The recorder writes there.
      files: {
        '/etc/core-reader': { content: coreReader, mode: 0o755 },
        ...Object.fromEntries(
          ['triseed-keyd', 'triseed-guarded', 'triseed-network', 'triseed-logging', 'triseed-log-senders'].map(
            (unit) => [
              `/usr/lib/systemd/system/${unit}.service.d/record.conf`,
              '[Service]\nReadWritePaths=/var/lib/recorded\n',
            ],
          ),
        ),
      },
    },
  });
  const files = [...made.map(({ file }) => file), join(scratch.folder, 'cidata.iso')];
  guest.start();
  t.match(await up(guest), /HPL10001I/);
  await guest.check('sync');
  const secrets = await secretsOf(stage, keyName, made);
  t.equal(Object.keys(secrets).length, 5 + volumes.length + 2 * 3);

  const running = await sweep({ secrets, guest, files });
  t.strictSame(running.findings, [], 'after formatting, opening and adopting');
  t.ok(['processes', 'journal', ...files, ...guest.consoleFiles].every((place) => running.searched.includes(place)));

  // /tmp and most others are folders of the machine that runs the tests.
  const folders = ['/run', '/var/hyperprotect'];
  const inMemory = await sweep({ secrets, guest, files: [], folders });
  t.strictSame(
    inMemory.findings.map(({ secret, where }) => `${secret}: ${where}`).sort(),
    handedOver.map((where) => `API key: ${where}`),
    'the API key is handed over, and nothing else is in a file',
  );
  for (const where of handedOver)
    t.match(await guest.check(`stat -c %a ${where.slice('guest '.length)}`), /^[64]00$/m, where);
  t.equal(await guest.check('cat /proc/swaps | tail -n +2'), '', 'no swap');
  await crashLeavesNothing(t, guest);

  await rotate(stage, keyName);
  await guest.waitForText(/HPL18001I.*three/, 180_000);
  await guest.waitForText(/HPL18001I.*adopted/, 180_000);
  t.strictSame((await sweep({ secrets, guest, files })).findings, [], 'after a rotation');

  await disable(stage, keyName);
  t.equal(await guest.waitForExit(360_000), 'restarting');
  t.strictSame((await sweep({ secrets, guest, ended: true, files })).findings, [], 'after a revocation');

  const started = guest.recorded();
  const programs = new Set(started.map(({ argv }) => argv[0]?.split('/').at(-1)));
  for (const program of ['cryptsetup', 'dmsetup', 'mkfs.ext4', 'mount', 'wipefs', 'systemctl'])
    t.ok(programs.has(program), `${program} was recorded`);
  const cryptsetups = started.filter(({ argv }) => /\/cryptsetup$/.test(argv[0] ?? ''));
  t.strictSame(
    cryptsetups.filter(({ argv }) => !argv.some((word) => /^--header=\/run\/triseed\//.test(word))),
    [],
    'cryptsetup never reads a header from a device',
  );
  t.strictSame(
    started.filter(({ argv }) => argv.includes('--showkeys')),
    [],
  );

  guest.start();
  await guest.run(`blkid --version ${passphraseOf(seeds)}; systemd-cat echo ${Buffer.from(seeds.env).toString('hex')}`);
  const planted = await sweep({ secrets, guest, files: [] });
  t.ok(planted.findings.some(({ secret, where }) => secret === 'passphrase of two seeds' && /recorded/.test(where)));
  t.ok(
    planted.findings.some(({ secret, form, where }) => secret === 'env seed' && form === 'hex' && where === 'journal'),
  );
  const header = headerOf(stage, made[0]?.file ?? '');
  writeFileSync(header, secrets['volume key of three'] ?? '', { flag: 'a' });
  t.match((await sweep({ secrets, files: [header] })).findings, [{ secret: 'volume key of three', form: 'plain' }]);
  await guest.stop();
};
