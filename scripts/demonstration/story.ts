/** The story, in order. Nothing in it is played: real kernel, LUKS, systemd and https to a key management service. */
import { createHash } from 'node:crypto';
import type { Outcome } from '../../test/e2e/guest/command-line.ts';
import { parseJournalLine } from '../../test/e2e/guest/console.ts';
import { createGuest, type Guest } from '../../test/e2e/guest/guest.ts';
import { createContractDisk, createDisk, type Scratch } from '../../test/e2e/guest/scratch.ts';
import { contractText, Deployment } from '../../test/e2e/world/deployment.ts';
import type { KeyService, RootKey } from '../../test/e2e/world/key-service.ts';
import { shown } from './journal-lines.ts';
import { openByHand, type Token } from './open-by-hand.ts';
import type { Timeline } from './timeline.ts';

const mount = '/mnt/data';
const dataFile = `${mount}/ledger`;
const dataPartition = '/dev/ubda2';
const diskBytes = 10 * 1024 ** 3;
const pollSeconds = 1;
const kmsTimeoutMinutes = 1;
const bootLimitMs = 60_000;
/** A wait of kmsTimeout, one poll before it and the work around it. */
const waitSeconds = kmsTimeoutMinutes * 60 + pollSeconds;
const waitLimitMs = (waitSeconds + 60) * 1000;

export interface Stage {
  readonly timeline: Timeline;
  readonly scratch: Scratch;
  readonly service: KeyService;
  /** Called with the guest as soon as there is one, so that an interruption can end it. */
  readonly onGuest: (guest: Guest) => void;
}

const masked = (text: string): string =>
  text.replace(/(seed|apiKey|iamApiKey): "?[^"\n]+"?/g, (_, field: string) => `${field}: ********`);

const expect = (fact: boolean, what: string): void => {
  if (!fact) throw new Error(`the demonstration expected that ${what}`);
};

const expectOutcome = (outcome: Outcome, wanted: Outcome): void =>
  expect(outcome === wanted, `the guest is ${wanted}, and it is ${outcome}`);

/** Shows the guest's messages as they come. */
const follow = ({ timeline }: Stage, guest: Guest): void => {
  guest.onLine((raw) => {
    const line = parseJournalLine(raw);
    const message = line && shown(line);
    if (!message) return;
    const [head = '', ...rest] = message.text.split('\n');
    const style = { info: null, warning: 'yellow', error: 'red' } as const;
    const colour = style[message.severity];
    timeline.line(colour === null ? head : timeline.style(colour, head));
    for (const step of rest) timeline.detail(step.includes('!') ? timeline.style('yellow', step) : step);
  });
};

const bootUp = async (guest: Guest): Promise<void> => {
  guest.start();
  await guest.waitForText(/HPL10001I/, bootLimitMs);
};

const checksum = async (guest: Guest): Promise<string> => (await guest.check(`sha256sum ${dataFile}`)).slice(0, 64);

const expectIntact = async ({ timeline }: Stage, guest: Guest, written: string): Promise<void> => {
  const found = await checksum(guest);
  expect(found === written, `the data has the checksum ${written}, and it has ${found}`);
  timeline.proven(`data intact: sha256 ${found.slice(0, 16)}…`);
};

/** The record in the LUKS header, read with stock cryptsetup. */
const tokenOf = async (guest: Guest): Promise<Token> =>
  JSON.parse(await guest.check(`cryptsetup token export --token-id 0 ${dataPartition}`)) as Token;

const prepare = async (stage: Stage) => {
  const { timeline, scratch, service } = stage;
  timeline.chapter('A key owner creates a root key, a deployer writes and seals a contract');
  await service.start();
  const key = await service.createRootKey('demonstration');
  timeline.line(`key management service on ${service.url} (API of IBM Key Protect), root key ${key.id}`);
  const deployment = new Deployment(scratch.path('deployer'));
  await deployment.makeKeys();
  const secret = (): string =>
    createHash('sha256')
      .update(crypto.getRandomValues(new Uint8Array(32)))
      .digest('hex')
      .slice(0, 32);
  const volume = {
    key: 'data',
    mount,
    envSeed: secret(),
    workloadSeed: secret(),
    kms: [{ crn: key.crn, apiKey: service.apiKey }],
    kmsTimeout: kmsTimeoutMinutes,
  };
  const text = contractText([volume]);
  timeline.line('the contract, before sealing (secrets hidden here):');
  timeline.detail(timeline.style('dim', masked(text)));
  const sealed = await deployment.seal(text);
  timeline.proven(`triseed contract seal: both sections encrypted for this guest, signed; ${sealed.length} bytes`);
  timeline.detail(
    timeline.style(
      'dim',
      sealed
        .split('\n')
        .map((line) => `${line.slice(0, 72)}…`)
        .slice(0, 3)
        .join('\n'),
    ),
  );
  const disk = createDisk(scratch, { name: 'data', sizeBytes: diskBytes, serial: 'data' });
  const contractDisk = createContractDisk(scratch, { userData: sealed, metaData: 'local-hostname: demonstration\n' });
  const guest = createGuest(scratch, {
    hostname: 'demonstration',
    disks: [disk],
    contractDisk,
    network: true,
    wantedUnits: ['triseed.target'],
    files: deployment.guestFiles(service, { pollSeconds }),
    limitSeconds: 300,
  });
  stage.onGuest(guest);
  follow(stage, guest);
  return { key, deployment, disk, guest };
};

const firstBoot = async ({ timeline }: Stage, guest: Guest): Promise<string> => {
  timeline.chapter('A Linux guest starts with the sealed contract and a blank 10 GiB disk');
  await bootUp(guest);
  const profile = await guest.check(`cryptsetup luksDump ${dataPartition} | grep -E 'cipher|sector|PBKDF|Key:'`);
  timeline.line('stock cryptsetup luksDump says:');
  timeline.detail(timeline.style('dim', profile.replace(/\t/g, ' ')));
  await guest.check(`head -c 8000000 /dev/urandom > ${dataFile} && sync`);
  const written = await checksum(guest);
  timeline.proven(`8 MB written to ${mount} on the encrypted volume: sha256 ${written.slice(0, 16)}…`);
  return written;
};

const restart = async (guest: Guest): Promise<void> => {
  await guest.run('systemctl --no-block reboot').catch(() => undefined);
  expectOutcome(await guest.waitForExit(bootLimitMs), 'restarting');
};

const reboot = async (stage: Stage, guest: Guest, written: string): Promise<void> => {
  stage.timeline.chapter('The guest restarts: same disk, nothing is formatted');
  await restart(guest);
  await bootUp(guest);
  await expectIntact(stage, guest, written);
};

const rotate = async ({ timeline, service }: Stage, guest: Guest, key: RootKey): Promise<void> => {
  timeline.chapter('The key owner rotates the root key: the workload notices nothing');
  const before = await tokenOf(guest);
  await service.key('rotate', key.id, '--yes');
  timeline.line('triseed kms key rotate');
  await guest.waitForText(/HPL18001I/, bootLimitMs);
  const after = await tokenOf(guest);
  expect(
    after.key_version !== before.key_version && after.wrapped !== before.wrapped,
    'the stored seed was wrapped anew',
  );
  timeline.proven(
    `stored seed rewrapped: key version ${before.key_version.slice(0, 8)}… → ${after.key_version.slice(0, 8)}…`,
  );
};

const suspend = async ({ timeline, service }: Stage, guest: Guest, key: RootKey): Promise<void> => {
  timeline.chapter('The key owner suspends the root key: the machine obeys');
  await service.key('disable', key.id, '--yes');
  timeline.line('triseed kms key disable');
  const restarted = guest.waitForExit(waitLimitMs);
  await guest.waitForText(/HPL18002W/, bootLimitMs);
  const warned = guest.waitForText(/HPL18003W/, waitLimitMs);
  await timeline.countdown('kmsTimeout runs: the key may come back', waitSeconds, warned);
  expectOutcome(await restarted, 'restarting');
  timeline.proven('the volume was closed and the guest restarted');
  guest.start();
  const off = guest.waitForExit(waitLimitMs);
  await guest.waitForText(/TSD06007W/, bootLimitMs);
  await timeline.countdown('the boot asks for the key until kmsTimeout is over', kmsTimeoutMinutes * 60, off);
  expectOutcome(await off, 'poweredOff');
  expect(!/HPL02002I/.test(guest.consoleText()), 'no volume was mounted');
  timeline.proven('the volume stayed closed and the guest powered itself off');
};

const enable = async (stage: Stage, guest: Guest, key: RootKey, written: string): Promise<void> => {
  stage.timeline.chapter('The key owner enables the root key again');
  await stage.service.key('enable', key.id);
  stage.timeline.line('triseed kms key enable');
  await bootUp(guest);
  await expectIntact(stage, guest, written);
};

/** Tells the whole story. Throws when anything in it is not as it should be. */
export const tellStory = async (stage: Stage): Promise<void> => {
  const { timeline } = stage;
  const { key, deployment, disk, guest } = await prepare(stage);
  const written = await firstBoot(stage, guest);
  await reboot(stage, guest, written);
  await rotate(stage, guest, key);
  await suspend(stage, guest, key);
  await enable(stage, guest, key, written);
  const token = await tokenOf(guest);
  expectOutcome(await guest.powerOff(bootLimitMs), 'poweredOff');
  await openByHand(stage, { key, deployment, disk, token });
  timeline.chapter('What is left to look at');
  timeline.line(`disk image     ${disk.file}`);
  for (const [at, file] of guest.consoleFiles.entries()) timeline.line(`journal ${at + 1}      ${file}`);
  timeline.line(`contract       ${deployment.path('contract.yaml')} (plain; its seeds are throw-away)`);
};
