/** A command group as a user calls it: arguments in, output and exit status out, in this process. */
import { type Command, CommanderError } from 'commander';
import type { CommandIo } from '../../agent/cli/io.ts';
import { describeChain, exitStatusOf } from '../../agent/errors.ts';
import type { ExitStatus } from '../../agent/messages.ts';
import type { Host } from '../../agent/ports.ts';
import { hostOnFiles } from './host-on-files.ts';

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Calling {
  readonly input?: string | Buffer;
  readonly at?: Date;
}

const everyCommand = (command: Command): readonly Command[] => [command, ...command.commands.flatMap(everyCommand)];

/** Calls the group that `make` makes over real files, at the time `at`. */
export const callCommand = async (
  make: (host: Host, io: CommandIo) => Command,
  args: readonly string[],
  { input = '', at = new Date() }: Calling = {},
): Promise<Ended> => {
  let status: 0 | ExitStatus = 0;
  const [stdout, stderr]: [Buffer[], string[]] = [[], []];
  const host = hostOnFiles();
  const io: CommandIo = {
    stdin: async () => Buffer.from(input),
    stdout: (bytes) => void stdout.push(Buffer.from(bytes)),
    stderr: (text) => void stderr.push(text),
    isTerminal: false,
    setExitStatus: (given) => {
      if (given > status) status = given;
    },
  };
  const command = make({ ...host, clock: { ...host.clock, now: () => at } }, io);
  for (const one of everyCommand(command))
    one.exitOverride().configureOutput({ writeOut: io.stdout, writeErr: io.stderr });
  const end = (code: number): Ended => ({
    status: code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: stderr.join(''),
  });
  try {
    await command.parseAsync([...args], { from: 'user' });
    return end(status);
  } catch (error) {
    if (error instanceof CommanderError) return end(error.exitCode === 0 ? 0 : 2);
    stderr.push(describeChain(error));
    return end(exitStatusOf(error));
  }
};
