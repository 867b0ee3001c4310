/**
 * Taking the keys away and ending the guest: by a restart, or by a power-off when it has been restarted too often (restarts.ts). After
 * it no volume key is left in the kernel, or the machine is restarted by force. No step reads a header from a device, and no stuck step can hold up the restart: each is abandoned after its
 * limit (a child in uninterruptible sleep cannot be killed, so waiting for it to end would be waiting for the disk), and a timer of
 * systemd, started first, restarts the machine whatever becomes of this process.
 */
import { AgentError, reasonOf } from '../errors.ts';
import { withinTime } from '../kms/time-limit.ts';
import type { Command, Host } from '../ports.ts';
import type { AskSocket } from '../service-ports.ts';
import type { HandedVolume, HandOver } from './hand-over.ts';
import { verbSocket } from './places.ts';
import { readKept } from './read-hand-over.ts';
import { countRestart } from './restart-record.ts';
import type { Revocation } from './state.ts';

const secondMs = 1000;
const systemctlPath = '/usr/bin/systemctl';
export const revokeUnit = 'triseed-revoke.service';
const forcedRestartTimer = 'triseed-forced-restart.timer';
const forcedRestart = 'triseed-forced-restart.service';
const forcedPowerOffTimer = 'triseed-forced-power-off.timer';
const forcedPowerOff = 'triseed-forced-power-off.service';
const workloadTarget = 'triseed-workload.target';
/** How long the workload may take to stop. */
const workloadLimitMs = 30 * secondMs;
const unmountLimitMs = 20 * secondMs;
const countLimitMs = 5 * secondMs;
const longestReason = 300;

const systemctl = (args: readonly string[], timeoutMs: number): Command => ({
  program: systemctlPath,
  args,
  timeoutMs,
});

/** udev is left out (`--noudevsync`): nobody will need its links again, and waiting for it could take forever. */
const dmsetup = (args: readonly string[], timeoutMs: number): Command => ({
  program: '/usr/sbin/dmsetup',
  args: ['--noudevsync', ...args],
  timeoutMs,
});

const umount = (mount: string, timeoutMs: number): Command => ({
  program: '/usr/bin/umount',
  args: ['--', mount],
  timeoutMs,
});

/** Runs `command`: what it printed, or null when it did not succeed in time. Tells why not, and never throws. */
const attemptOutput = async (host: Host, step: string, command: Command): Promise<string | null> => {
  const failed = (reason: string): null => {
    host.journal.message('REVOKE_STEP_FAILED', { step, reason });
    return null;
  };
  try {
    const result = await withinTime(host.clock, command.timeoutMs + secondMs, host.run(command));
    if (result === null || result.timedOut) return failed(`not done within ${command.timeoutMs / secondMs} s`);
    return result.exit === 0 ? result.stdout.toString('utf8') : failed(`exit status ${result.exit ?? result.signal}`);
  } catch (error) {
    return failed(reasonOf(error));
  }
};

/** Whether `command` succeeded in time. */
const attempt = async (host: Host, step: string, command: Command): Promise<boolean> =>
  (await attemptOutput(host, step, command)) !== null;

/**
 * Stops the workload's target and its units, and waits until they are down. Waiting for the target is not enough: the units that
 * are PartOf= it and start before it stop after it (systemd.unit(5), "Before=, After=": the inverse order), and a volume they
 * still use is busy. Their names are asked for first, while the target still has them.
 */
const stopWorkload = async (host: Host): Promise<void> => {
  const question = ['show', '--property=ConsistsOf', '--value', workloadTarget];
  const parts = await attemptOutput(host, 'asking for the units of the workload', systemctl(question, 5 * secondMs));
  const units = (parts ?? '').split(/\s+/).filter((unit) => unit !== '');
  await attempt(host, 'stopping the workload', systemctl(['stop', '--', workloadTarget, ...units], workloadLimitMs));
};

/**
 * Name of a mapping, null of a block device that is none. Undefined when the kernel does not say: a mapping that is removed while its
 * name is read ends the read with ENODEV, and others are being removed at the same time.
 */
const mappingName = async (host: Host, block: string): Promise<string | null | undefined> => {
  if (!block.startsWith('dm-')) return null;
  try {
    return (await host.files.read(`/sys/block/${block}/dm/name`, 4096))?.toString('utf8').trim() ?? null;
  } catch {
    return undefined;
  }
};

const looks = 3;

/**
 * Whether the kernel still has a mapping of this name: read from sysfs, so that a broken dmsetup is not taken for "gone". One that
 * cannot be read again and again may be the one.
 */
const isMapped = async (host: Host, mapping: string): Promise<boolean> => {
  for (let look = 0; look < looks; look += 1) {
    const blocks = await host.files.list('/sys/block').catch(() => null);
    if (blocks === null) continue;
    const names = await Promise.all(blocks.map((block) => mappingName(host, block)));
    if (names.includes(mapping)) return true;
    if (!names.includes(undefined)) return false;
  }
  return true;
};

/**
 * Removes the mapping, which frees its key. A busy one is suspended (its file system is frozen and written out first, if the disk
 * still answers) and its key is wiped: what `cryptsetup luksSuspend` does, without the header it would read. Linux
 * Documentation/admin-guide/device-mapper/dm-crypt.rst, "Message interface": the device must be suspended.
 */
const closeVolume = async (host: Host, { key, mapping }: HandedVolume): Promise<'removal' | 'wipe' | 'open'> => {
  if (!(await isMapped(host, mapping))) return 'removal';
  if (await attempt(host, `closing ${key}`, dmsetup(['remove', '--', mapping], 5 * secondMs))) return 'removal';
  const isSuspended =
    (await attempt(host, `suspending ${key}`, dmsetup(['suspend', '--', mapping], 10 * secondMs))) ||
    (await attempt(
      host,
      `suspending ${key} without writing out`,
      dmsetup(['suspend', '--noflush', '--nolockfs', '--', mapping], 5 * secondMs),
    ));
  const isWiped =
    isSuspended &&
    (await attempt(host, `wiping the key of ${key}`, dmsetup(['message', mapping, '0', 'key', 'wipe'], 5 * secondMs)));
  return isWiped ? 'wipe' : 'open';
};

const closeAndTell = async (host: Host, volume: HandedVolume): Promise<'removal' | 'wipe' | 'open'> => {
  const by = await closeVolume(host, volume);
  if (by === 'open') host.journal.message('VOLUME_NOT_CLOSED', { volume: volume.key });
  else host.journal.message('VOLUME_CLOSED', { volume: volume.key, by });
  return by;
};

const unmountAll = async (host: Host, volumes: readonly HandedVolume[]): Promise<void> => {
  const endMs = host.clock.monotonicMs() + unmountLimitMs;
  // A volume mounted inside another one has the longer path and must go first.
  for (const { key, mount } of [...volumes].sort((a, b) => b.mount.length - a.mount.length)) {
    const leftMs = endMs - host.clock.monotonicMs();
    if (leftMs > 0) await attempt(host, `unmounting ${key}`, umount(mount, Math.min(leftMs, 10 * secondMs)));
  }
};

/** When every key is gone: Node asks few disks at a time, and four that hang would keep it from reading any other file. */
const counted = async (host: Host, { volumes }: HandOver, guardedMs: number): Promise<'restart' | 'powerOff'> => {
  const paths = volumes.flatMap(({ metadataDevice }) => (metadataDevice === null ? [] : [metadataDevice]));
  return (await withinTime(host.clock, countLimitMs, countRestart(host, paths, guardedMs))) ?? 'restart';
};

/** From now on what hangs is powered off. One of the two timers is armed at every moment. */
const armPowerOff = async (host: Host): Promise<void> => {
  const isArmed = await attempt(
    host,
    'arming the forced power-off',
    systemctl(['start', forcedPowerOffTimer], 5 * secondMs),
  );
  if (isArmed)
    await attempt(host, 'disarming the forced restart', systemctl(['stop', forcedRestartTimer], 5 * secondMs));
};

/** Stops the workload, closes every volume of `handOver`, ends the guest. Resolves when that was asked for. */
export const revokeGuest = async (host: Host, handOver: HandOver, reason: string): Promise<void> => {
  await attempt(host, 'arming the forced restart', systemctl(['start', forcedRestartTimer], 5 * secondMs));
  const guardedMs = Math.max(0, host.clock.monotonicMs() - handOver.provenAtMs);
  await stopWorkload(host);
  await unmountAll(host, handOver.volumes);
  const closed = await Promise.all(handOver.volumes.map((volume) => closeAndTell(host, volume)));
  const action = await counted(host, handOver, guardedMs);
  if (action === 'powerOff') {
    host.journal.message('TOO_MANY_RESTARTS', { reason });
    await armPowerOff(host);
  }
  const forced = action === 'powerOff' ? forcedPowerOff : forcedRestart;
  // With a suspended file system an orderly shutdown would wait for it without end.
  const isOrderly = closed.every((by) => by === 'removal');
  const isForced =
    !isOrderly && (await attempt(host, 'ending by force', systemctl(['start', '--no-block', forced], 5 * secondMs)));
  if (!isForced) await host.power[action](reason);
};

/**
 * The whole of triseed-revoke.service: for a daemon that asked for it, and for a daemon that could not be kept alive. In the
 * second case nobody has told why yet.
 */
export const runRevocation = async (host: Host, handOver: HandOver): Promise<void> => {
  const kept = await readKept(host.files, handOver.settings.paths.run).catch(() => null);
  const revocation = kept?.bootId === handOver.bootId ? kept.revocation : null;
  // The record belongs to the daemon, which is not root: what it says goes to the journal and nowhere else.
  const reason = revocation?.reason.slice(0, longestReason) ?? 'it could not be kept running';
  if (revocation === null) host.journal.message('KEY_DAEMON_FAILED', { reason });
  await revokeGuest(host, handOver, reason);
};

const startAttempts = 3;
const betweenAttemptsMs = 2 * secondMs;
const nothing = new Uint8Array();

/**
 * Hands the revocation to a unit of its own, which triseed-revoke.socket starts: the daemon lives in a mount namespace where unmounting
 * would not reach the guest, and is nobody who may do it. Nothing is said over the socket, so there is nothing to believe.
 * @throws REVOKE_NOT_STARTED when systemd does not take it; the daemon then ends, and its unit starts the revocation
 */
export const startRevocation = async (
  host: Host,
  ask: AskSocket,
  handOver: HandOver,
  revocation: Revocation,
): Promise<void> => {
  const { power, paths } = handOver.settings;
  if (power === 'report') return host.power.restart(revocation.reason);
  let reason = '';
  for (let tried = 1; tried <= startAttempts; tried += 1) {
    try {
      await ask(verbSocket(paths.run, 'revoke'), nothing, { timeoutMs: 5 * secondMs, maxAnswerBytes: 0 });
      return;
    } catch (error) {
      reason = reasonOf(error);
      host.journal.message('REVOKE_STEP_FAILED', { step: `asking for ${revokeUnit}`, reason });
    }
    if (tried < startAttempts) await host.clock.sleep(betweenAttemptsMs);
  }
  throw new AgentError('REVOKE_NOT_STARTED', { unit: revokeUnit, reason });
};
