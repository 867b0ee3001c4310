#!/usr/bin/env node
/**
 * Composition root: argv → host → command → exit status. The only place that reads arguments and environment, prints
 * errors and ends the process.
 *
 * Everything is loaded when it is needed, and nothing is awaited at top level: the single executable is one CommonJS script.
 */
import type { CommandIo } from './cli/io.ts';
import type { ProgramContext } from './cli/program.ts';
import type { JournalSink } from './host/journal.ts';
import { lasts } from './long-lived.ts';
import type { Host } from './ports.ts';
import type { Notify } from './service-ports.ts';
import { version } from './version.ts';

const maxConfigurationBytes = 1024 * 1024;

/** A debugger port must not be opened by a signal: somebody who may send one could read every secret. */
process.on('SIGUSR1', () => {});
process.umask(0o077);

const stopping = new AbortController();
/** How many questions wait for a person; a signal answers them. */
let questions = 0;

const openJournal = async (): Promise<JournalSink> => {
  const { isJournalStream, stderrJournal } = await import('./host/journal.ts');
  const write = (text: string) => process.stderr.write(text);
  if (!isJournalStream(process.env.JOURNAL_STREAM)) return stderrJournal(write);
  return (await import('./host/journal-stream.ts')).systemdJournal(write);
};

const contextOver = ({ journal }: JournalSink, io: CommandIo): ProgramContext => {
  const plainHost = async (): Promise<Host> =>
    (await import('./host/host.ts')).makeHost({ journal, ca: [], proxy: null, power: 'report' });
  const configured: ProgramContext['configured'] = async (path) => {
    const [{ parseConfiguration }, { AgentError }, { files }, { makeHost }] = await Promise.all([
      import('./configuration-parse.ts'),
      import('./errors.ts'),
      import('./host/files.ts'),
      import('./host/host.ts'),
    ]);
    const bytes = await files.read(path, maxConfigurationBytes);
    if (bytes === null) throw new AgentError('CONFIGURATION_INVALID', { path, reason: 'it does not exist' });
    const settings = parseConfiguration(bytes.toString('utf8'), path);
    const { ca, proxy } = settings.kms;
    return { settings, host: await makeHost({ journal, ca, proxy, power: settings.power }) };
  };
  const notify: Notify = async (report) =>
    (await import('./host/notify.ts')).notifyOver(process.env.NOTIFY_SOCKET ?? null)(report);
  const askSocket: ProgramContext['askSocket'] = async (...question) =>
    (await import('./host/ask-socket.ts')).askSocket(...question);
  const serveSocket: ProgramContext['serveSocket'] = async (path, answer) =>
    (await import('./host/serve-socket.ts')).serveSocket(path, answer);
  const onReload: ProgramContext['onReload'] = (listener) => {
    process.on('SIGHUP', listener);
    return () => process.off('SIGHUP', listener);
  };
  const connections: ProgramContext['connections'] = async () => (await import('./host/connections.ts')).connections;
  const httpWith: ProgramContext['httpWith'] = async (ways) => (await import('./host/http.ts')).makeHttp(ways);
  const followJournal: ProgramContext['followJournal'] = async function* (...from) {
    yield* (await import('./host/follow-journal.ts')).followJournal(...from);
  };
  const calendar: ProgramContext['calendar'] = async (expression, work) =>
    (await import('./host/calendar.ts')).calendar(expression, work);
  const ask: ProgramContext['ask'] = async (question, signal) => {
    questions += 1;
    try {
      return await (await import('./host/ask.ts')).askTerminal(question, signal);
    } finally {
      questions -= 1;
    }
  };
  const credentialsFolder = process.env.CREDENTIALS_DIRECTORY ?? null;
  const { signal } = stopping;
  const keyServices: ProgramContext['keyServices'] = async () => ({
    signal,
    makeHttp: (await import('./host/http.ts')).makeHttp,
    serve: async (options) => (await import('./host/http-server.ts')).serveHttp(options),
    calendar,
    openLineFile: async (path) => (await import('./host/line-file.ts')).openLineFile(path),
    credentialsFolder,
    ask,
  });
  const started = { httpWith, connections, followJournal, calendar, notify, askSocket, credentialsFolder, signal, ask };
  return { io, version, plainHost, configured, keyServices, serveSocket, onReload, ...started };
};

/** What systemd runs knows only 0 and 1. */
const unattended = new Set(['boot', 'keyd', 'network', 'logging', 'notices']);
/** A stage of the start that waits for a key, a disk or a server ends at once when the guest shuts down; every cut of it is an ordinary state. */
const isStage = ([first, second]: readonly string[]): boolean =>
  first === 'boot' || first === 'network' || (first === 'logging' && second === 'configure');

/**
 * Services finish what they do before they end, also when they are asked to while they start; commands on volumes finish, too, and take
 * away the copies of headers and partitions that they made in memory.
 */
const finishes = (given: readonly string[]): boolean =>
  lasts(given) || (given[0] === 'kms' && given[1] === 'serve') || given[0] === 'volume';

/** As the signal would have ended it, without its half of a file. */
const endBy = async (signal: NodeJS.Signals): Promise<void> => {
  (await import('./host/files.ts')).discardUnfinished();
  process.kill(process.pid, signal);
};

/** A signal that nobody waits for has its default effect, signal(7): a command that only works must not have to be asked twice. */
const hearSignals = (given: readonly string[]): void => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      if (isStage(given) || finishes(given) || questions > 0) stopping.abort(signal);
      else void endBy(signal);
    });
};

/** What a stage prints is an announcement: a guest does not wait for its console to take it. */
const printsResult = (given: readonly string[]): boolean => !isStage(given) || given.includes('--dry-run');

/** Prints the whole chain; the exit status that goes with it. */
const complain = async (error: unknown, isUnattended: boolean): Promise<number> => {
  const { describeChain, exitStatusOf } = await import('./errors.ts');
  process.stderr.write(`${describeChain(error, !isUnattended)}\n`);
  return isUnattended ? 1 : exitStatusOf(error);
};

const run = async (given: readonly string[], sink: JournalSink): Promise<number> => {
  const [{ CommanderError }, { programFor }, { processIo }] = await Promise.all([
    import('commander'),
    import('./cli/program.ts'),
    import('./host/process-io.ts'),
  ]);
  const [first] = given;
  if (isStage(given)) stopping.signal.addEventListener('abort', () => process.exit(1));
  const io = processIo();
  const called = async (): Promise<number> => {
    try {
      const root = await programFor(given, contextOver(sink, io));
      if (first === undefined) {
        io.stderr(root.helpInformation());
        return 2;
      }
      await root.parseAsync(given, { from: 'user' });
      return io.exitStatus();
    } catch (error) {
      // commander ends help and --version with status 0 and everything else it refuses is wrong usage: status 2.
      if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
      throw error;
    }
  };
  try {
    const status = await called();
    if (printsResult(given)) await io.delivered();
    return status;
  } catch (error) {
    return complain(error, first !== undefined && unattended.has(first));
  }
};

const main = async (): Promise<void> => {
  const given = process.argv.slice(2);
  if (given.length === 1 && (given[0] === '--version' || given[0] === '-V')) {
    process.stdout.once('error', async ({ code, name }: NodeJS.ErrnoException) => {
      if (code === 'EPIPE') return;
      const { AgentError } = await import('./errors.ts');
      process.exitCode = await complain(new AgentError('OUTPUT_UNWRITABLE', { reason: code ?? name }), false);
    });
    process.stdout.write(`${version}\n`);
    return;
  }
  hearSignals(given);
  // Where /etc/localtime does not lead to a zone by name, the first date reads every zone of the system to find it: 25 ms
  // of a boot (ICU, detectHostTimeZone). What stages say is in UTC; daemons have calendars, which follow the guest's zone.
  if (isStage(given)) process.env.TZ = 'UTC';
  // First of all: what was compiled before stays.
  if (lasts(given)) (await import('./host/lasting.ts')).lastLean();
  const sink = await openJournal();
  const status = await run(given, sink);
  await sink.close();
  // Not exitCode alone: a request in flight would hold the process, and systemd waits 15 s for a daemon it stopped.
  process.exit(status);
};

void main();
