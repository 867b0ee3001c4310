/** Child processes: the only importer of execa. No shell, no inherited environment, absolute paths, a time limit always. */
import { execa } from 'execa';
import { AgentError } from '../errors.ts';
import type { Command, CommandResult, RunCommand } from '../ports.ts';
import { Secret } from '../secret.ts';

/** C locale so that the few outputs we parse do not depend on the guest's language. */
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', HOME: '/' };
const outputLimitBytes = 4 * 1024 * 1024;
const killDelayMs = 2_000;

const start = (command: Command) => {
  const child = execa(command.program, command.args, {
    env: environment,
    extendEnv: false,
    reject: false,
    encoding: 'buffer',
    stripFinalNewline: false,
    stdin: command.stdin === undefined ? 'ignore' : 'pipe',
    timeout: command.timeoutMs,
    forceKillAfterDelay: killDelayMs,
    maxBuffer: outputLimitBytes,
  });
  if (command.stdin === undefined || child.stdin === null) return child;
  // A child that exits before reading its input raises EPIPE here; its exit status tells the story.
  child.stdin.on('error', () => {});
  // execa's `input` option would leave a copy of the secret in our memory; writing to the pipe does not.
  if (command.stdin instanceof Secret) {
    const stdin = child.stdin;
    command.stdin.expose((bytes) => stdin.end(bytes));
  } else child.stdin.end(command.stdin);
  return child;
};

export const runCommand: RunCommand = async (command: Command): Promise<CommandResult> => {
  if (!command.program.startsWith('/')) throw new TypeError(`not an absolute path: ${command.program}`);
  const result = await start(command);
  if (result.exitCode === undefined && !result.isTerminated && !result.timedOut && !result.isMaxBuffer) {
    throw new AgentError('COMMAND_NOT_STARTED', { program: command.program, reason: result.code ?? 'unknown' });
  }
  return {
    exit: result.exitCode ?? null,
    signal: result.signal ?? null,
    timedOut: result.timedOut,
    stdout: Buffer.from(result.stdout ?? []),
    stderr: Buffer.from(result.stderr ?? []).toString('utf8'),
    elapsedMs: result.durationMs,
  };
};
