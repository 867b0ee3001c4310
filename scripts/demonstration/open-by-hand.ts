/** The last chapter but one: the volume opens without triseed and without the guest, as in a recovery. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import type { Disk } from '../../test/e2e/guest/scratch.ts';
import type { Deployment } from '../../test/e2e/world/deployment.ts';
import type { KeyService, RootKey } from '../../test/e2e/world/key-service.ts';
import { triseedDone } from '../../test/e2e/world/triseed.ts';
import type { Timeline } from './timeline.ts';

const mebibyte = 1024 * 1024;

/** Our token as `cryptsetup token export` shows it. */
export interface Token {
  readonly scheme: string;
  readonly wrapped: string;
  readonly key_version: string;
}

/**
 * The data partition's header as a file of its own: cryptsetup tries a passphrase on it without device-mapper or root.
 * The partition starts at 100 MiB, LUKS2 data 16 MiB into it.
 */
const copyHeader = (image: string, copy: string): void => {
  const bytes = Buffer.alloc(17 * mebibyte);
  const descriptor = openSync(image, 'r');
  try {
    readSync(descriptor, bytes, 0, bytes.length, 100 * mebibyte);
  } finally {
    closeSync(descriptor);
  }
  writeFileSync(copy, bytes, { mode: 0o600 });
};

/** Without triseed and without the guest: seeds from the contract, seed3 from the key service, sha256sum, cryptsetup. */
export const openByHand = async (
  { timeline, service }: { readonly timeline: Timeline; readonly service: KeyService },
  made: { readonly key: RootKey; readonly deployment: Deployment; readonly disk: Disk; readonly token: Token },
): Promise<void> => {
  const { key, deployment, disk, token } = made;
  timeline.chapter('The volume is opened by hand, from seeds and stock tools alone');
  const file = (name: string): string => deployment.path(name);
  const contract = readFileSync(file('contract.yaml'), 'utf8');
  const [workloadSeed = '', envSeed = ''] = [...contract.matchAll(/seed: "(\w+)"/g)].map(([, seed]) => seed ?? '');
  for (const [name, text] of [
    ['env.seed', envSeed],
    ['workload.seed', workloadSeed],
    ['wrapped', token.wrapped],
  ] as const)
    writeFileSync(file(name), text, { mode: 0o600 });
  rmSync(file('seed3'), { force: true });
  await service.key('unwrap', key.id, '--ciphertext-file', file('wrapped'), '--seed-out', file('seed3'));
  copyHeader(disk.file, file('data-partition.luks'));
  const recipe = await triseedDone(
    ...['volume', 'recover', '--env-seed-file', file('env.seed'), '--workload-seed-file', file('workload.seed')],
    ...['--seed3-file', file('seed3'), '--device', file('data-partition.luks')],
  );
  timeline.line('triseed volume recover prints what to type on any Linux machine with the disk:');
  timeline.detail(timeline.style('dim', recipe));
  const tried = recipe
    .split('\n')
    .filter((line) => !/^(#|mount)/.test(line))
    .join('\n');
  const command = tried
    .replace('cryptsetup open --readonly', 'cryptsetup open --test-passphrase')
    .replace(/ recovered$/, '');
  execFileSync('/bin/sh', ['-euc', command], { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, stdio: 'pipe' });
  timeline.proven('the passphrase computed with sha256sum opens the volume in stock cryptsetup');
};
