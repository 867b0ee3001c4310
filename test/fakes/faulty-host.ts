/**
 * A host that fails where a test says so. Every use of a port is an effect with a name and a number; the test looks at each before it
 * happens and answers with a fault, or with nothing. Errors are those that the real ports throw.
 */
import { AgentError } from '../../agent/errors.ts';
import type { BlockDevice, Command, CommandResult, Host, HttpOutcome } from '../../agent/ports.ts';

export type EffectKind = 'run' | 'open' | 'read' | 'write' | 'flush' | 'close' | 'list' | 'files' | 'http' | 'lock';

export interface Effect {
  /** Counted from 0 over all effects. Which of two comes first may differ from run to run. */
  readonly number: number;
  /** Counted from 0 over the effects of this name. */
  readonly turn: number;
  readonly kind: EffectKind;
  /** Such as `cryptsetup luksFormat`, `read data`, `files writeSparse`, `POST /token`. */
  readonly name: string;
  /** Of reads and writes, in bytes. */
  readonly offset: number | null;
}

/** Fields of the end of a program that says nothing else. */
export type Ended = Partial<Pick<CommandResult, 'exit' | 'signal' | 'timedOut' | 'stderr'>>;

export type Fault =
  /** The port throws what it throws for this errno(3). Of a write, `part` (0 to 1) is on the device by then. */
  | { readonly do: 'errno'; readonly errno: string; readonly part?: number }
  /** A program ends like this, without having done anything or, `late`, after having done its work. */
  | { readonly do: 'end'; readonly ended: Ended; readonly late?: boolean }
  /** A program that cannot be started, execve(2). */
  | { readonly do: 'absent' }
  /** What the network makes of an answer. */
  | { readonly do: 'answer'; readonly change: (answer: HttpOutcome) => HttpOutcome | Promise<HttpOutcome> }
  /** Another process holds the lock. */
  | { readonly do: 'held' };

/** How a path is called in effects. */
export type NameOf = (path: string) => string;

const ended = ({ exit = null, signal = null, timedOut = false, stderr = '' }: Ended): CommandResult => ({
  exit,
  signal,
  timedOut,
  stdout: Buffer.alloc(0),
  stderr,
  elapsedMs: 0,
});

const commandName = ({ program, args }: Command): string => {
  const name = program.slice(program.lastIndexOf('/') + 1);
  const verb = /^[a-z]\w*$/i.test(args[0] ?? '') ? ` ${args[0]}` : '';
  return name + verb + (name === 'cryptsetup' && args.includes('--test-passphrase') ? ' test' : '');
};

const unreadable = (path: string, reason: string): AgentError => new AgentError('FILE_UNREADABLE', { path, reason });
const unwritable = (path: string, reason: string): AgentError => new AgentError('FILE_UNWRITABLE', { path, reason });

const writingFiles = new Set(['writeAtomically', 'writeNew', 'writeSparse', 'makeFolder', 'remove']);

export const faultyHost = <H extends Host>(host: H, nameOf: NameOf, faultAt: (effect: Effect) => Fault | null): H => {
  let count = 0;
  const turns = new Map<string, number>();
  const meet = (kind: EffectKind, name: string, offset: number | null = null): Fault | null => {
    const turn = turns.get(name) ?? 0;
    const fault = faultAt({ number: count, turn, kind, name, offset });
    count += 1;
    turns.set(name, turn + 1);
    return fault;
  };
  const errnoOf = (fault: Fault | null): { errno: string; part: number } | null => {
    if (fault === null) return null;
    if (fault.do !== 'errno') throw new TypeError(`a fault ${fault.do} does not fit here`);
    return { errno: fault.errno, part: fault.part ?? 0 };
  };

  const device = (real: BlockDevice, role: string): BlockDevice => ({
    ...real,
    read: async (offset, length) => {
      const fault = errnoOf(meet('read', `read ${role}`, offset));
      if (fault !== null) throw unreadable(real.path, fault.errno);
      return real.read(offset, length);
    },
    write: async (offset, bytes) => {
      const fault = errnoOf(meet('write', `write ${role}`, offset));
      if (fault === null) return real.write(offset, bytes);
      const reached = Math.floor((bytes.length * fault.part) / 512) * 512;
      await real.write(offset, bytes.subarray(0, reached));
      throw unwritable(real.path, fault.errno);
    },
    flush: async () => {
      const fault = errnoOf(meet('flush', `flush ${role}`));
      if (fault !== null) throw unwritable(real.path, fault.errno);
      return real.flush();
    },
    close: async () => {
      const fault = errnoOf(meet('close', `close ${role}`));
      await real.close();
      if (fault !== null) throw unwritable(real.path, fault.errno);
    },
  });

  const run: Host['run'] = async (command) => {
    const fault = meet('run', commandName(command));
    if (fault === null) return host.run(command);
    if (fault.do === 'absent')
      throw new AgentError('COMMAND_NOT_STARTED', { program: command.program, reason: 'ENOENT' });
    if (fault.do !== 'end') throw new TypeError(`a fault ${fault.do} does not fit a program`);
    if (fault.late === true) await host.run(command);
    return ended(fault.ended);
  };

  const files = Object.fromEntries(
    Object.entries(host.files).map(([name, use]) => [
      name,
      async (path: string, ...others: never[]) => {
        const fault = errnoOf(meet('files', `files ${name}`));
        const work = () => (use as (path: string, ...others: never[]) => unknown)(path, ...others);
        if (fault === null) return work();
        // Who runs out of room finds out when a part is there.
        if (name === 'writeSparse') await work();
        throw (writingFiles.has(name) ? unwritable : unreadable)(path, fault.errno);
      },
    ]),
  ) as unknown as Host['files'];

  return {
    ...host,
    run,
    files,
    disks: {
      list: async () => {
        const fault = errnoOf(meet('list', 'list disks'));
        return fault === null ? host.disks.list() : [];
      },
      open: async (path, access) => {
        const role = nameOf(path);
        const fault = errnoOf(meet('open', `open ${role} to ${access}`));
        if (fault !== null) throw unreadable(path, fault.errno);
        return device(await host.disks.open(path, access), role);
      },
    },
    http: async (request) => {
      const fault = meet('http', `${request.method} ${new URL(request.url).pathname.replace(/[0-9a-f-]{36}/, 'KEY')}`);
      const answer = await host.http(request);
      if (fault === null) return answer;
      if (fault.do !== 'answer') throw new TypeError(`a fault ${fault.do} does not fit an answer`);
      return fault.change(answer);
    },
    locks: {
      acquire: async (name) => (meet('lock', 'lock volume')?.do === 'held' ? null : host.locks.acquire(name)),
    },
  };
};
