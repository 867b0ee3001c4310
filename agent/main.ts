#!/usr/bin/env node
/**
 * Composition root: argv → host → command → exit status. The only place that reads arguments and environment, prints
 * errors and ends the process.
 */
import { Command, CommanderError } from 'commander';
import type { CommandIo } from './cli/io.ts';
import type { AgentConfiguration } from './configuration.ts';
import { AgentError, describeChain, exitStatusOf } from './errors.ts';
import { files } from './host/files.ts';
import { makeHost } from './host/host.ts';
import { makeHttp } from './host/http.ts';
import { isJournalStream, type JournalSink, stderrJournal, systemdJournal } from './host/journal.ts';
import { notifyOver } from './host/notify.ts';
import { processIo } from './host/process-io.ts';
import type { Host } from './ports.ts';

const version = '0.1.0';
const maxConfigurationBytes = 1024 * 1024;

/** A debugger port must not be opened by a signal: somebody who may send one could read every secret. */
process.on('SIGUSR1', () => {});
process.umask(0o077);

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort(signal));

const openJournal = (): JournalSink =>
  isJournalStream(process.env.JOURNAL_STREAM)
    ? systemdJournal((text) => process.stderr.write(text))
    : stderrJournal((text) => process.stderr.write(text));

const sink = openJournal();
const io: CommandIo & { readonly exitStatus: () => number } = processIo();

/** The host of commands that need no agent configuration. */
const plainHost = (): Promise<Host> => makeHost({ journal: sink.journal, ca: [], proxy: null, power: 'report' });

const configured = async (path: string): Promise<{ readonly settings: AgentConfiguration; readonly host: Host }> => {
  const { parseConfiguration } = await import('./configuration-parse.ts');
  const bytes = await files.read(path, maxConfigurationBytes);
  if (bytes === null) throw new AgentError('CONFIGURATION_INVALID', { path, reason: 'it does not exist' });
  const settings = parseConfiguration(bytes.toString('utf8'), path);
  const { ca, proxy } = settings.kms;
  return { settings, host: await makeHost({ journal: sink.journal, ca, proxy, power: settings.power }) };
};

const notify = notifyOver(process.env.NOTIFY_SOCKET ?? null);
const credentialsFolder = process.env.CREDENTIALS_DIRECTORY ?? null;

/** Each group is loaded when it is asked for: a boot does not pay for the authoring commands. */
const groups: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Command> }>> = {
  contract: {
    about: 'write, check, encrypt and sign contracts',
    load: async () => (await import('./cli/contract.ts')).contractCommand(await plainHost(), io),
  },
  attestation: {
    about: 'open and verify what a guest says about itself',
    load: async () => (await import('./cli/attestation.ts')).attestationCommand(await plainHost(), io),
  },
  boot: {
    about: 'open the contract and its volumes (run by systemd)',
    load: async () => (await import('./cli/boot.ts')).bootCommand({ configured, credentialsFolder }, io),
  },
  keyd: {
    about: 'watch the root keys of opened volumes (run by systemd)',
    load: async () =>
      (await import('./cli/keyd.ts')).keydCommand({ configured, credentialsFolder, notify, signal: stopping.signal }),
  },
  volume: {
    about: 'see what is on volumes, what a boot would do, check, back up, recover, wipe',
    load: async () =>
      (await import('./cli/volume.ts')).volumeCommand({
        host: await plainHost(),
        io,
        configured,
        credentialsFolder,
        signal: stopping.signal,
        ask: async (question, signal) => (await import('./host/ask.ts')).askTerminal(question, signal),
      }),
  },
  kms: {
    about: 'root keys, and a local key management service to try them with',
    load: async () =>
      (await import('./cli/kms.ts')).kmsCommand(await plainHost(), io, {
        signal: stopping.signal,
        makeHttp,
        serve: async (options) => (await import('./host/http-server.ts')).serveHttp(options),
        calendar: async (expression, work) => (await import('./host/calendar.ts')).calendar(expression, work),
        openLineFile: async (path) => (await import('./host/line-file.ts')).openLineFile(path),
        credentialsFolder,
        ask: async (question, signal) => (await import('./host/ask.ts')).askTerminal(question, signal),
      }),
  },
};

/** The one command that needs the whole tree. */
const completion = 'completion';

const program = async (first: string | undefined): Promise<Command> => {
  const root = new Command('triseed')
    .description(
      'Boot agent for confidential virtual machines: sealed contracts, protected volumes, customer root keys',
    )
    .version(version)
    .showHelpAfterError('(add --help for the options)')
    .helpCommand(false);
  for (const [name, { about, load }] of Object.entries(groups)) {
    if (name === first || first === completion) root.addCommand(await load());
    else root.command(name).description(about);
  }
  if (first === completion) root.addCommand((await import('./cli/completion.ts')).completionCommand(io, root));
  else root.command(completion).description('print a script that completes commands and options in your shell');
  const strict = (command: Command): void => {
    command.exitOverride();
    command.commands.forEach(strict);
  };
  strict(root);
  return root;
};

/** boot and keyd know only 0 and 1: their caller is systemd. */
const unattended = new Set(['boot', 'keyd']);

/** commander ends help and --version with status 0 and everything else it refuses is wrong usage: status 2. */
const statusOf = (error: unknown, first: string | undefined): number => {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return first !== undefined && unattended.has(first) ? 1 : exitStatusOf(error);
};

const run = async (): Promise<number> => {
  const [, , ...given] = process.argv;
  // A boot that waits for a key or a disk ends at once when the guest shuts down; every cut of it is an ordinary state.
  if (given[0] === 'boot') stopping.signal.addEventListener('abort', () => process.exit(1));
  try {
    const root = await program(given[0]);
    if (given.length === 0) {
      io.stderr(root.helpInformation());
      return 2;
    }
    await root.parseAsync(given, { from: 'user' });
    return io.exitStatus();
  } catch (error) {
    if (!(error instanceof CommanderError)) io.stderr(`${describeChain(error)}\n`);
    return statusOf(error, given[0]);
  }
};

const status = await run();
await sink.close();
// Not exitCode alone: a request in flight would hold the process, and systemd waits 15 s for a daemon it stopped.
process.exit(status);
