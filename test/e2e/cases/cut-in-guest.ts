/**
 * Loaded before the agent in a guest (`node --import`): holds each volume that the kernel's command line names (effects.ts) at its
 * moment, while the others go on, and stops the whole JavaScript thread for ever when the last one is there. So at the cut nothing
 * that comes after any of these moments has happened, however slow or busy the machine is.
 */
import { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, openSync, readFileSync, readlinkSync, realpathSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { cutMark, type Held, heldLine, momentsIn, nameOfProgram, nameOfWrite, tornBytes } from './effects.ts';

const awaited = new Map(Object.entries(momentsIn(readFileSync('/proc/cmdline', 'latin1'))));

const say = (line: string): void => {
  const console = openSync('/dev/console', 'w');
  writeSync(console, `${line}\n`);
};

const hold = (volume: string, onDisk: Held['onDisk']): void => {
  const moment = awaited.get(volume);
  if (moment === undefined) throw new Error(`${volume} goes on although it is held`);
  say(heldLine({ volume, moment, onDisk }));
  awaited.delete(volume);
  if (awaited.size > 0) return;
  say(cutMark);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};

/** Work that is held. Node fails when a file that nobody can reach any more was left open. */
const kept: unknown[] = [];

/** A promise that nothing settles. It keeps no process alive: an agent that has nothing else to do ends, and its unit fails. */
const never = <T>(): Promise<T> => new Promise((resolve) => kept.push(resolve));

interface Place {
  /** Serial number of the disk, which in these stories is the volume's key. */
  readonly volume: string;
  readonly partition: number;
  readonly startBytes: number;
  readonly diskBytes: number;
}

const sysfsNumber = (path: string): number => Number(readFileSync(path, 'latin1'));

/** Where an open file is on a disk with a serial number (Documentation/ABI/stable/sysfs-block); null when it is nowhere there. */
const placeOf = (descriptor: number): Place | null => {
  const path = readlinkSync(`/proc/self/fd/${descriptor}`);
  const named = `/sys/class/block/${basename(path)}`;
  if (dirname(path) !== '/dev' || !existsSync(named)) return null;
  const own = realpathSync(named);
  const isPartition = existsSync(`${own}/partition`);
  const disk = isPartition ? dirname(own) : own;
  if (!existsSync(`${disk}/serial`)) return null;
  return {
    volume: readFileSync(`${disk}/serial`, 'latin1').trim(),
    partition: isPartition ? sysfsNumber(`${own}/partition`) : 0,
    startBytes: isPartition ? sysfsNumber(`${own}/start`) * 512 : 0,
    diskBytes: sysfsNumber(`${disk}/size`) * 512,
  };
};

type Write = (
  this: FileHandle,
  bytes: Buffer,
  from: number,
  length: number,
  offset: number,
) => Promise<{ bytesWritten: number; buffer: Buffer }>;

const someFile = await open('/dev/null');
const fileHandles = Object.getPrototypeOf(someFile) as { write: Write; sync: FileHandle['sync'] };
await someFile.close();
const { write, sync } = fileHandles;

fileHandles.write = async function (this: FileHandle, bytes, from, length, offset) {
  const place = placeOf(this.fd);
  const moment = place === null ? undefined : awaited.get(place.volume);
  if (place === null || moment === undefined) return write.call(this, bytes, from, length, offset);
  const given = bytes.subarray(from, from + length);
  const effect = nameOfWrite({ ...place, offset, bytes: given });
  if (effect === null || !moment.endsWith(` ${effect}`)) return write.call(this, bytes, from, length, offset);
  const wanted = moment.startsWith('torn') ? tornBytes(given) : length;
  const { bytesWritten } = await write.call(this, bytes, from, wanted, offset);
  if (bytesWritten !== wanted) throw new Error(`${moment}: ${bytesWritten} of ${wanted} bytes were written`);
  if (moment.startsWith('unsynced')) hold(place.volume, null);
  else {
    await sync.call(this);
    const sha256 = createHash('sha256').update(given.subarray(0, wanted)).digest('hex');
    hold(place.volume, { offset: place.startBytes + offset, length: wanted, sha256 });
  }
  return never();
};

type Spawn = (this: ChildProcess, options: { readonly args?: readonly string[] }) => unknown;

const children = ChildProcess.prototype as unknown as { spawn: Spawn };
const { spawn } = children;

children.spawn = function (this: ChildProcess, options) {
  const found = nameOfProgram(options.args ?? []);
  const moment = found === null ? undefined : awaited.get(found.volume);
  const answer = spawn.call(this, options);
  if (found === null || !moment?.endsWith(` ${found.effect}`)) return answer;
  const { emit } = this;
  let ended = false;
  kept.push(this);
  // Whoever waits for this program never learns of its end.
  this.emit = (event: string, ...facts: unknown[]) => {
    if (event !== 'exit' && event !== 'close') return emit.call(this, event, ...facts);
    if (!ended && moment.startsWith('after')) hold(found.volume, null);
    ended = true;
    return true;
  };
  if (moment.startsWith('during')) hold(found.volume, null);
  return answer;
};
