/**
 * A whole Linux guest (kernel, systemd, udev, dm-crypt) as an ordinary unprivileged process, in about a second.
 *
 *   const scratch = openScratch('name');                      // below .cache/guests/, everything is written there
 *   const disk = createDisk(scratch, { name: 'data', sizeBytes: 64 << 20, serial: 'abc' });   // /dev/disk/by-id/virtio-abc
 *   const guest = createGuest(scratch, { disks: [disk], network: true, wantedUnits: ['triseed.target'], files: { … } });
 *   guest.start();                                            // one boot; the disks stay, everything else is new each time
 *   await guest.ready();                                      // wanted units started, disks have their names
 *   await guest.run('cryptsetup --version');                  // { status, stdout, stderr, bytes }
 *   await guest.waitForText(/HPL10001I/, 20_000);             // in this boot's console, which carries the whole journal
 *   guest.journal();                                          // [{ at, identifier, pid, text }] of this boot
 *   guest.cutNetwork(); guest.mendNetwork();                  // the host's 127.0.0.1 is 10.0.2.2 in the guest
 *   await guest.cutPower();                                   // SIGKILL; finished writes are on the disks
 *   await guest.waitForExit(30_000);                          // poweredOff | restarting | panicked | killed | timedOut | failed
 *   await guest.stop(); scratch.remove();                     // or `await using guest`, `using scratch`
 *
 * `onLine` gives the console line by line as it happens. Whatever becomes of the driver, nothing outlives it: the starter
 * (starter.pl) kills the guest when the driver's end of its socket closes, and every guest has a time limit.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Boot } from './boot.ts';
import { commandLine, type Machine, type Outcome } from './command-line.ts';
import type { Console, JournalLine } from './console.ts';
import { allowedCpus, checkout, place } from './place.ts';
import { type Recorded, readRecorded, recordingMarks } from './recorder.ts';
import { type Disk, handOver, type Scratch } from './scratch.ts';
import type { CommandOptions, CommandResult } from './shell.ts';
import { type GuestFiles, writeTree } from './tree.ts';

export interface GuestOptions {
  readonly hostname?: string;
  /** In order /dev/ubda, /dev/ubdb, … */
  readonly disks?: readonly Disk[];
  /** /dev/ubdp, label cidata. */
  readonly contractDisk?: Disk;
  readonly network?: boolean;
  /** Units started with the guest, after basic.target. Those of the checkout's systemd folder are installed. */
  readonly wantedUnits?: readonly string[];
  /** Further or replaced files, by absolute path; read again at each start. */
  readonly files?: GuestFiles;
  /** Host programs whose arguments and environment are recorded (recorder.ts). */
  readonly recordPrograms?: readonly string[];
  readonly memoryMiB?: number;
  /** Each boot is killed after this many seconds, whatever happens to the driver. Default 300. */
  readonly limitSeconds?: number;
  readonly kernelArguments?: readonly string[];
}

const init = fileURLToPath(new URL('./init', import.meta.url));

/** CPUs of the guests of this process that run now. */
const takenCpus: number[] = [];

/** The CPU with the fewest guests. Files of tests that run at the same time (tap numbers its jobs) begin at different ones. */
const takeCpu = (): number => {
  const cpus = allowedCpus();
  const first = Number(process.env.TAP_JOB_ID ?? 0) % cpus.length;
  const guestsOn = (cpu: number): number => takenCpus.filter((taken) => taken === cpu).length;
  const [cpu = 0] = [...cpus.slice(first), ...cpus.slice(0, first)].sort(
    (one, other) => guestsOn(one) - guestsOn(other),
  );
  takenCpus.push(cpu);
  return cpu;
};

const giveBackCpu = (cpu: number): void => {
  takenCpus.splice(takenCpus.indexOf(cpu), 1);
};

export class Guest {
  readonly name: string;
  /** Where this guest's tree, consoles and records are. */
  readonly folder: string;
  #options: GuestOptions;
  readonly #listeners = new Set<(line: string) => void>();
  readonly #consoles: Console[] = [];
  #boot: Boot | undefined;

  constructor(scratch: Scratch, options: GuestOptions) {
    this.name = options.hostname ?? 'guest';
    this.#options = options;
    this.folder = mkdtempSync(scratch.path(`${this.name}-`));
    handOver(this.folder);
  }

  /**
   * Starts the guest's process and returns at once: `ready`, `run` and `waitForText` wait for what they need.
   * `changes` to the options hold for this boot and later ones.
   */
  start(changes: GuestOptions = {}): void {
    if (this.running) throw new Error(`${this.name} is running`);
    this.#options = { ...this.#options, ...changes };
    const { network = false, memoryMiB = 512, limitSeconds = 300 } = this.#options;
    const consoleFile = join(this.folder, `console-${this.boots + 1}.log`);
    const commandsFolder = join(this.folder, 'commands');
    const cpu = takeCpu();
    const program = this.#commandLine({ cpu, memoryMiB, network }, commandsFolder);
    this.#boot = new Boot({
      program,
      folder: this.folder,
      consoleFile,
      commandsFolder,
      memoryMiB,
      limitSeconds,
      network,
    });
    this.#boot.ended.then(() => giveBackCpu(cpu)).catch(() => undefined);
    for (const listener of this.#listeners) this.#boot.console.onLine(listener);
    this.#consoles.push(this.#boot.console);
  }

  /** Writes the guest's files and names everything as its process sees it. */
  #commandLine(machine: Pick<Machine, 'cpu' | 'memoryMiB' | 'network'>, commandsFolder: string): readonly string[] {
    const { disks = [], contractDisk, files = {}, wantedUnits = [], recordPrograms = [] } = this.#options;
    const { inside, guestMount } = place();
    const tree = join(this.folder, 'tree');
    rmSync(tree, { recursive: true, force: true });
    writeTree(tree, { hostname: this.name, files, wantedUnits, recordPrograms });
    handOver(tree);
    const seenInside = (disk: Disk): Disk => ({ ...disk, file: inside(disk.file) });
    return commandLine({
      ...machine,
      disks: disks.map(seenInside),
      contractDisk: contractDisk === undefined ? null : seenInside(contractDisk),
      paths: {
        init: inside(init),
        tree: inside(tree),
        checkout: inside(checkout),
        commands: inside(commandsFolder),
        recorded: this.records ? inside(this.#recordingFolder()) : null,
        guestMount,
      },
      extra: this.#options.kernelArguments ?? [],
    });
  }

  #recordingFolder(): string {
    const folder = this.recordedFolder;
    mkdirSync(folder, { recursive: true });
    handOver(folder);
    // Services of any user record there.
    chmodSync(folder, 0o1777);
    for (const [name, text] of Object.entries(recordingMarks)) writeFileSync(join(folder, name), text);
    return folder;
  }

  get #current(): Boot {
    if (this.#boot === undefined) throw new Error(`${this.name} was never started`);
    return this.#boot;
  }

  get running(): boolean {
    return this.#boot?.running ?? false;
  }

  /** The session of this boot's processes, and of no others on the host. */
  get session(): number {
    return this.#current.session;
  }

  /** Boots so far. */
  get boots(): number {
    return this.#consoles.length;
  }

  /** Resolves when every disk has its names under /dev/disk and the wanted units have been started. */
  async ready(timeoutMs = 120_000): Promise<void> {
    await this.waitForText(/Reached target e2e\.target/, timeoutMs);
    await this.check('udevadm settle', { timeoutMs });
  }

  /** Runs a command with /bin/sh as the guest's root, as soon as the guest has a shell. */
  run(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    return this.#current.shell.run(command, options);
  }

  /** Like `run`, but a non-zero status throws an Error with the output. Answers stdout. */
  async check(command: string, options: CommandOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(command, options);
    if (status !== 0) throw new Error(`status ${status} of: ${command}\n${stdout}${stderr}`);
    return stdout;
  }

  /** The journal of this boot (or of boot `number`, from 1), as the console received it. */
  journal(number = this.boots): readonly JournalLine[] {
    return this.#consoles[number - 1]?.journal ?? [];
  }

  /** The console's text of this boot (or of boot `number`, from 1). */
  consoleText(number = this.boots): string {
    return this.#consoles[number - 1]?.text ?? '';
  }

  /** The console files of all boots. */
  get consoleFiles(): readonly string[] {
    return this.#consoles.map((console) => console.file);
  }

  /** Every field of the journal, from journalctl(1) `-o json`; the guest must be running. */
  async journalFields(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const text = await this.check('journalctl -b -o json --no-pager --all');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
  }

  /** Calls `listener` with every console line of this and all later boots; the answer stops that. */
  onLine(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    if (this.running) this.#current.console.onLine(listener);
    return () => {
      this.#listeners.delete(listener);
      for (const console of this.#consoles) console.forget(listener);
    };
  }

  /** The first console line of this boot that matches. Throws when none comes, or none came before the guest's end. */
  waitForText(pattern: RegExp, timeoutMs: number): Promise<string> {
    const { console, ended } = this.#current;
    const found = console.lines.find((line) => pattern.test(line));
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const fail = (why: string) =>
        finish(() => reject(new Error(`${this.name}: ${why} ${pattern}\n${this.lastLines()}`)));
      const stop = console.onLine((line) => {
        if (pattern.test(line)) finish(() => resolve(line));
      });
      const timer = setTimeout(() => fail(`not seen within ${timeoutMs} ms:`), timeoutMs);
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        stop();
        settle();
      };
      ended.then((outcome) => fail(`ended (${outcome}) without`)).catch(() => undefined);
    });
  }

  /** The end of the console, for messages about a failed test. */
  lastLines(count = 30): string {
    return this.consoleText().split('\n').slice(-count).join('\n');
  }

  /** How the guest's process ended. Throws when it is still running after `timeoutMs`. */
  async waitForExit(timeoutMs: number): Promise<Outcome> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${this.name} still runs after ${timeoutMs} ms\n${this.lastLines()}`)),
        timeoutMs,
      );
    });
    return Promise.race([this.#current.ended, late]).finally(() => clearTimeout(timer));
  }

  /** Stops the network between guest and host: packets are lost until it is mended. */
  cutNetwork(): void {
    this.#current.tell('cut');
  }

  mendNetwork(): void {
    this.#current.tell('mend');
  }

  /** Power fails now. Resolves when nothing of the guest is left. */
  async cutPower(): Promise<void> {
    this.#current.tell('kill');
    await this.#current.ended;
  }

  /** Asks the guest to shut down and waits for it. */
  async powerOff(timeoutMs = 120_000): Promise<Outcome> {
    await this.run('systemctl --no-block poweroff').catch(() => undefined);
    return this.waitForExit(timeoutMs);
  }

  /** The recorded starts of `recordPrograms`, of all boots. */
  recorded(): readonly Recorded[] {
    return readRecorded(this.recordedFolder);
  }

  /** Whether starts of programs are recorded. */
  get records(): boolean {
    return (this.#options.recordPrograms ?? []).length > 0;
  }

  get recordedFolder(): string {
    return join(this.folder, 'recorded');
  }

  /** Cuts the power if the guest still runs. */
  async stop(): Promise<void> {
    if (this.running) await this.cutPower();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export const createGuest = (scratch: Scratch, options: GuestOptions = {}): Guest => new Guest(scratch, options);
