/** Volumes of a running guest or of this machine, opened by the agent or by hand, and closed again. */
import { mappingOf } from '../agent/volumes/plan.ts';

const commandLimitMs = 900_000;
export const script = '/usr/local/bin/open-by-hand';

/** Runs a command as root and answers its output; throws when it fails. */
export interface Shell {
  check(command: string, options: { readonly timeoutMs: number }): Promise<string>;
}

/** Volumes, the contract that names them and the agent's configuration that names the contract. */
export interface Contract {
  readonly name: string;
  readonly volumes: readonly { readonly key: string; readonly disk: string }[];
}

export const configurationOf = ({ name }: Contract): string => `/etc/triseed/${name}.yaml`;
export const contractOf = ({ name }: Contract): string => `/etc/triseed/${name}.contract`;
const mountOf = (key: string): string => `/mnt/${key}`;

/** Microseconds of a command, whatever it prints, then what it prints. */
const timed = (command: string): string =>
  `bash -c 't=\${EPOCHREALTIME/./}; o=$(${command} 2>&1) || { echo "$o" >&2; exit 1; }; e=\${EPOCHREALTIME/./}; echo $((e - t)); echo "$o"'`;

/** Peak resident memory of a command and its children, KiB: getrusage(2), RUSAGE_CHILDREN, ru_maxrss. */
const peakOf = (command: string): string =>
  `perl -e 'system(@ARGV) == 0 or die; my $usage = "\\0" x 144; syscall(98, -1, $usage) == 0 or die; print((unpack "q18", $usage)[4])' ${command}`;

/** Opens volumes, says what it took, and closes them again. */
export class Bench {
  readonly #shell: Shell;
  readonly #serviceUrl: string | null;

  constructor(shell: Shell, serviceUrl: string | null) {
    this.#shell = shell;
    this.#serviceUrl = serviceUrl;
  }

  #check(command: string): Promise<string> {
    return this.#shell.check(command, { timeoutMs: commandLimitMs });
  }

  #close(mappings: readonly string[], { volumes }: Contract): Promise<unknown> {
    const unmounts = volumes.map(({ key }) => `umount ${mountOf(key)}`);
    return this.#check([...unmounts, ...mappings.map((name) => `dmsetup remove --retry ${name}`)].join(' && '));
  }

  /** With what the workload was handed: a boot finds these folders empty. */
  async #closeOurs(contract: Contract): Promise<void> {
    await this.#close(
      contract.volumes.map(({ key }) => mappingOf(key)),
      contract,
    );
    await this.#check('find /data1 /var/hyperprotect /root/.docker -xdev -mindepth 1 -delete');
  }

  /** Milliseconds. */
  async byAgent(contract: Contract): Promise<number> {
    const [micros] = (await this.#check(timed(`triseed boot --config ${configurationOf(contract)}`))).split('\n');
    await this.#closeOurs(contract);
    return Number(micros) / 1000;
  }

  /** Milliseconds from the start of the program to its end when nothing is asked of it. */
  async startOfAgent(): Promise<number> {
    const [micros] = (await this.#check(timed('triseed --version'))).split('\n');
    return Number(micros) / 1000;
  }

  /** Milliseconds in all, and of the parts: contract, keyfile, key-service, cryptsetup, mount, with --prove proof, too. */
  async byHand(
    contract: Contract,
    options: '' | '--prove' = '',
  ): Promise<{ readonly ms: number; readonly parts: ReadonlyMap<string, number> }> {
    const runs = contract.volumes.map(({ key, disk }) =>
      [script, options, contractOf(contract), key, disk, mountOf(key), this.#serviceUrl ?? ''].join(' '),
    );
    const [micros, ...lines] = (await this.#check(timed(runs.join(' && ')))).trim().split('\n');
    await this.#close(
      contract.volumes.map(({ key }) => `by-hand-${key}`),
      contract,
    );
    const parts = new Map<string, number>();
    for (const [, name = '', value] of lines.map((line) => /^([a-z-]+) (\d+)$/.exec(line) ?? []))
      parts.set(name, (parts.get(name) ?? 0) + Number(value) / 1000);
    return { ms: Number(micros) / 1000, parts };
  }

  /** MiB. */
  async peakOfAgent(contract: Contract): Promise<number> {
    const kibibytes = await this.#check(peakOf(`triseed boot --config ${configurationOf(contract)}`));
    await this.#closeOurs(contract);
    return Number(kibibytes) / 1024;
  }

  async peakOfNode(): Promise<number> {
    return Number(await this.#check(peakOf('/opt/triseed/node_modules/.bin/node -e 0'))) / 1024;
  }
}
