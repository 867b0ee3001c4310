/** One guest with the volumes of a protocol: put back to the beginning, cut at an instant, started again, compared, judged. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { messages } from '../../agent/messages.ts';
import { breathe, type Content, fingerprint, MiB, take, tool } from '../e2e/cases/image.ts';
import { linesWith } from '../e2e/cases/journal.ts';
import { judge } from '../e2e/cases/judge.ts';
import type { Stage } from '../e2e/cases/stage.ts';
import { type MadeVolume, makeVolume, volumeText } from '../e2e/cases/volume-case.ts';
import type { Guest } from '../e2e/guest/guest.ts';
import { type Protocol, payload, type TorturedVolume } from './protocols.ts';
import { bootArgument, promisedIn, workloadFiles, workloadUnit } from './workload.ts';

/** Of a boot, and of whatever else is waited for. */
export const limitMs = 240_000;
const watchEveryMs = 2;
/** How much later than it happens a write may be seen: the host's file system tells the time in steps, and this process is one of many. */
const seenLateMs = 20;

export const volumesUp = /Reached target triseed-volumes\.target|HPL10000E/;
export const guestUp = /HPL10001I|HPL10000E/;

interface Tortured extends MadeVolume {
  readonly volume: TorturedVolume;
  readonly template: string;
}

/** Text by which a change is recognised: when it differs, something was written. */
export type Look = (file: string) => string;

/** Every write, as far as the clock of the host's file system tells them apart. */
export const lastWrite: Look = (file) => String(statSync(file, { bigint: true }).mtimeNs);

/** Places in the layout that the agent gives a disk (docs/volumes.md, "Layout"). */
const dataStart = 100 * MiB;
const headerBytes = 16 * MiB;
const headerCopyBytes = 16_384;

/** Header and metadata partition: what the daemon writes, and nothing that a workload does. */
export const secretsOnDisk: Look = (file) =>
  createHash('sha256')
    .update(take(file, MiB, dataStart - MiB + headerBytes))
    .digest('hex');

/** The place that a header commit writes first. */
export const secondaryHeader: Look = (file) =>
  take(file, dataStart + headerCopyBytes, headerCopyBytes).toString('latin1');

export const everyByte: Look = fingerprint;

export class Machine {
  readonly guest: Guest;
  readonly volumes: readonly Tortured[];
  readonly #protocol: Protocol;
  readonly #stage: Stage;
  /** Volume key → files whose content the guest has said to be on the disk. */
  readonly #promised = new Map<string, Record<string, string>>();

  private constructor(stage: Stage, protocol: Protocol, guest: Guest, volumes: readonly Tortured[]) {
    this.#stage = stage;
    this.#protocol = protocol;
    this.guest = guest;
    this.volumes = volumes;
  }

  static async make(stage: Stage, name: string, protocol: Protocol): Promise<Machine> {
    const scratch = stage.folder(name);
    const volumes: Tortured[] = [];
    for (const volume of protocol.volumes) {
      const made = await makeVolume(stage, scratch, volume);
      volumes.push({ ...made, volume, template: `${made.file}.template` });
    }
    const guest = await stage.guest(scratch, {
      name,
      volumes: protocol.volumes.map((volume) => volumeText(stage, volume)),
      disks: volumes.flatMap(({ disks }) => disks),
      pollSeconds: 1,
      options: {
        wantedUnits: [protocol.changedBy === 'boot' ? 'triseed-volumes.target' : 'triseed.target', workloadUnit],
        files: workloadFiles,
        limitSeconds: limitMs / 1000,
      },
    });
    const machine = new Machine(stage, protocol, guest, volumes);
    if (protocol.madeByABoot === true) await machine.#makeByABoot();
    for (const { file, template } of volumes) tool('cp', ['--sparse=always', file, template]);
    return machine;
  }

  async #makeByABoot(): Promise<void> {
    const { guest } = this;
    this.start('0.0.');
    await guest.waitForText(this.#protocol.changedBy === 'boot' ? volumesUp : guestUp, limitMs);
    const mounts = this.volumes.map(({ volume }) => `/mnt/${volume.key}`);
    for (const [name, text] of Object.entries(payload))
      for (const mount of mounts) await guest.check(`cat >${mount}/${name}`, { input: text });
    const ended = await guest.powerOff();
    if (ended !== 'poweredOff') throw new Error(`the guest that made the volumes ended: ${ended}`);
  }

  /** Every disk as it was made, and nothing promised. */
  async reset(): Promise<void> {
    for (const { file, template } of this.volumes) {
      await breathe();
      tool('cp', ['--sparse=always', template, file]);
      this.#protocol.prepare?.(file);
    }
    this.#promised.clear();
  }

  start(boot: string): void {
    this.guest.start({ kernelArguments: [bootArgument(boot)] });
  }

  /** What `look` says of each volume's disk. */
  async looks(look: Look): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const { volume, file } of this.volumes) {
      await breathe();
      found.set(volume.key, look(file));
    }
    return found;
  }

  /** Resolves at the first write to the disk of volume `key` that `look` notices, or when the console says `otherwise`. */
  async firstWrite(key: string, look: Look, otherwise: RegExp): Promise<void> {
    const { file = '' } = this.volumes.find(({ volume }) => volume.key === key) ?? {};
    const before = look(file);
    let ended = false;
    void this.guest
      .waitForText(otherwise, limitMs)
      .catch(() => undefined)
      .then(() => {
        ended = true;
      });
    while (!ended && look(file) === before) await sleep(watchEveryMs);
  }

  /**
   * Milliseconds from the first write to a disk until the last one before the change was said to be done, of the slowest volume.
   * Throws an Error after the limit.
   */
  async slowest(change: () => Promise<void>): Promise<number> {
    const { id } = messages[this.#protocol.doneBy];
    const watched = this.volumes.map(({ volume: { key }, file }) => ({
      key,
      file,
      seen: lastWrite(file),
      firstAt: 0,
      lastAt: 0,
    }));
    const done = new Set<string>();
    const stop = this.guest.onLine((line) => {
      const key = line.includes(`${id}: `) ? / volume ([\w-]+)\b/.exec(line)?.[1] : undefined;
      if (key !== undefined) done.add(key);
    });
    const deadline = performance.now() + limitMs;
    const changing = change();
    while (done.size < watched.length) {
      const now = performance.now();
      if (now > deadline) throw new Error(`not every volume was changed\n${this.guest.lastLines(40)}`);
      for (const one of watched) {
        const seen = lastWrite(one.file);
        if (done.has(one.key) || seen === one.seen) continue;
        Object.assign(one, { seen, lastAt: now, firstAt: one.firstAt === 0 ? now : one.firstAt });
      }
      await sleep(watchEveryMs);
    }
    stop();
    await changing;
    const longest = Math.max(...watched.map(({ firstAt, lastAt }) => lastAt - firstAt));
    if (longest === 0) throw new Error('the disks were not written');
    return Math.ceil(longest) + seenLateMs;
  }

  /** Power fails now. What the workload was promised until then is kept in mind. */
  async cut(): Promise<void> {
    await this.guest.cutPower();
    this.#remember();
  }

  #remember(): void {
    for (const { key, name, text } of promisedIn(this.guest))
      this.#promised.set(key, { ...this.#promised.get(key), [name]: text });
  }

  #said(id: string, key: string): boolean {
    return linesWith(this.guest, id).some((line) => / volume ([\w-]+)\b/.exec(line)?.[1] === key);
  }

  #keysWhere(holds: (key: string) => boolean): ReadonlySet<string> {
    return new Set(this.volumes.map(({ volume }) => volume.key).filter(holds));
  }

  /** Whether the present or last boot planned more for a volume than to open it. */
  #hasPlannedWork(key: string): boolean {
    const [plan] = linesWith(this.guest, messages.VOLUME_PLAN.id, `volume ${key}: `);
    return plan !== undefined && !/: open → mount /.test(plan);
  }

  /** Volumes for which that boot found something that was left to do. */
  workLeft(): ReadonlySet<string> {
    return this.#keysWhere((key) => this.#hasPlannedWork(key) || this.#said(messages.VOLUME_FILESYSTEM_GROWN.id, key));
  }

  /** Volumes of which that boot, or its daemon, has not said that the change is done. */
  unfinished(by: Protocol['changedBy']): ReadonlySet<string> {
    const done = messages[this.#protocol.doneBy].id;
    return this.#keysWhere((key) =>
      by === 'rotation'
        ? !this.#said(done, key)
        : this.#hasPlannedWork(key) && !this.#said(messages.VOLUME_MOUNTED.id, key) && !this.#said(done, key),
    );
  }

  /** Messages by which a boot refuses to go on. */
  refusals(): readonly string[] {
    return linesWith(this.guest, messages.SERVICE_FAILED.id);
  }

  #contentOf(volume: TorturedVolume): Content {
    const before = !volume.madeHere || this.#protocol.madeByABoot === true ? payload : {};
    return { ...before, ...this.#promised.get(volume.key) };
  }

  /** Compares every file that was written before by its SHA-256, in the guest that runs. */
  async compare(): Promise<{ readonly compared: number; readonly losses: readonly string[] }> {
    this.#remember();
    const wanted = this.volumes.flatMap(({ volume }) =>
      Object.entries(this.#contentOf(volume)).map(([name, text]) => ({
        path: `/mnt/${volume.key}/${name}`,
        sha256: createHash('sha256').update(text).digest('hex'),
      })),
    );
    const { stdout } = await this.guest.run('sha256sum /mnt/*/payload /mnt/*/promised-*');
    const lines = new Set(stdout.split('\n'));
    const losses = wanted.filter(({ path, sha256 }) => !lines.has(`${sha256}  ${path}`));
    const mounted = this.volumes.filter(
      ({ volume }) => linesWith(this.guest, messages.VOLUME_MOUNTED.id, `volume ${volume.key} `).length === 0,
    );
    return {
      compared: wanted.length,
      losses: [
        ...losses.map(({ path }) => `${path} is gone or different`),
        ...mounted.map(({ volume }) => `${volume.key} was not mounted`),
      ],
    };
  }

  /** Stock tools look at every disk; the guest is off. Answers the volumes they do not agree about. */
  async judged(t: Test): Promise<readonly string[]> {
    const wrong: string[] = [];
    for (const { volume, file, seeds } of this.volumes) {
      const { key, madeHere } = volume;
      await t.test(`stock tools on ${key}`, async (t) => {
        const content = this.#contentOf(volume);
        await judge(t, this.#stage, { ...volume.judged, key, file, seeds, madeHere, content }).catch((error) =>
          t.fail(String(error)),
        );
        if (!t.passing()) wrong.push(`${key}: stock tools do not agree`);
      });
    }
    return wrong;
  }
}
