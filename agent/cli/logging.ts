/** `triseed network` and `triseed logging`: the stages before the boot, run by systemd. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import { rememberContract } from '../contract/same-contract.ts';
import type { SealedContract } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import { configureLogging } from '../logging/configure.ts';
import { forwardJournal } from '../logging/forward.ts';
import { maxLogRouterBytes, parseLogRouter } from '../logging/log-router-file.ts';
import { checkNetwork, reachedText, shownHost, targetsOf } from '../logging/network-check.ts';
import { cursorPath, switchedOffPath } from '../logging/places.ts';
import { openForLogging } from '../logging/read-logging.ts';
import { type LoggingSettings, loggingSettings, patienceMs, wipeSettings } from '../logging/settings.ts';
import { type MessageName, messages, textOf } from '../messages.ts';
import type { Host, SendHttp } from '../ports.ts';
import type { Connections, FollowJournal } from '../service-ports.ts';
import { defaultConfiguration } from './default-configuration.ts';
import type { CommandIo } from './io.ts';

export interface LoggingContext {
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  /** The host of a command that reads no agent configuration. */
  readonly plainHost: () => Promise<Host>;
  /** HTTP with authorities and a proxy of its own. Throws KMS_CA_UNUSABLE, KMS_PROXY_INVALID. */
  readonly httpWith: (ways: {
    readonly extraCa: readonly string[];
    readonly proxy: string | null;
  }) => Promise<SendHttp>;
  readonly connections: () => Promise<Connections>;
  readonly followJournal: FollowJournal;
  readonly credentialsFolder: string | null;
  /** Aborted when systemd asks a service to end. */
  readonly signal: AbortSignal;
}

interface Options {
  readonly config: string;
}

interface LoggingWish {
  readonly sealed: SealedContract;
  /** Null: the contract has no logging section. */
  readonly logging: LoggingSettings | null;
  readonly patienceMs: number;
}

/** Journalled under the identifier of the stage; main.ts prints the whole chain on the console. */
const journalled = async (host: Host, work: () => Promise<void>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof AgentError) host.journal.message(error.code, error.facts);
    throw error;
  }
};

/**
 * A stage's success. On standard output, which the unit puts into the journal under the stage's identifier and on the console,
 * where HPCR shows it, too.
 */
const announce = <Name extends MessageName>(io: CommandIo, name: Name, facts: AgentError<Name>['facts']): void =>
  io.stdout(`${messages[name].id}: ${textOf(name, facts)}\n`);

/** Says that the agent configuration switches remote logging off. No contract is read. */
const doWithout = async (host: Host, { run }: AgentConfiguration['paths']): Promise<void> => {
  await host.files.makeFolder(run, 0o700);
  // The next stage need not start a process to learn the same.
  await host.files.writeAtomically(switchedOffPath(run), Buffer.alloc(0), 0o600);
  host.journal.message('REMOTE_LOGGING_OFF', {});
};

const isOff = ({ logging }: AgentConfiguration): boolean => logging.remote === 'off';

const wish = async (
  host: Host,
  { credentialsFolder }: LoggingContext,
  settings: AgentConfiguration,
): Promise<LoggingWish> => {
  const { sealed, opened } = await openForLogging(host, settings, credentialsFolder);
  const logging = loggingSettings(opened, settings.contract.profile);
  return { sealed, logging, patienceMs: logging === null ? 0 : patienceMs(opened, settings.logging.waitSeconds) };
};

const check = (context: LoggingContext, io: CommandIo): Command =>
  new Command('check')
    .description('wait until the log server of the contract can be reached; run by triseed-network.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .action(async ({ config }: Options) => {
      const { settings, host } = await context.configured(config);
      await journalled(host, async () => {
        if (isOff(settings)) {
          await doWithout(host, settings.paths);
          return announce(io, 'NETWORK_READY', { targets: reachedText([]) });
        }
        await host.files.remove(switchedOffPath(settings.paths.run));
        const { logging, patienceMs } = await wish(host, context, settings);
        wipeSettings(logging);
        const targets = logging === null ? [] : targetsOf(logging, settings.kms);
        const ports = { ...host, connections: await context.connections() };
        await checkNetwork(ports, targets, patienceMs);
        announce(io, 'NETWORK_READY', { targets: reachedText(targets) });
      });
    });

const configure = (context: LoggingContext, io: CommandIo): Command =>
  new Command('configure')
    .description('set up what the logging section of the contract asks for; run by triseed-logging.service')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .action(async ({ config }: Options) => {
      const { settings, host } = await context.configured(config);
      await journalled(host, async () => {
        if (isOff(settings)) return doWithout(host, settings.paths);
        const { sealed, logging, patienceMs } = await wish(host, context, settings);
        try {
          await rememberContract(host, settings.paths.run, sealed);
          if (logging === null) return host.journal.message('LOGGING_ABSENT', {});
          const ports = { ...host, connections: await context.connections() };
          await configureLogging(ports, settings, logging, patienceMs);
          announce(io, 'LOGGING_SET_UP', { hostname: shownHost(logging.hostname) });
        } finally {
          wipeSettings(logging);
        }
      });
    });

const forward = (context: LoggingContext): Command =>
  new Command('forward')
    .description('send the journal to IBM Cloud Logs; run by triseed-log-router.service')
    .argument('<file>', 'what triseed logging configure has left')
    .action(async (path: string) => {
      const host = await context.plainHost();
      await journalled(host, async () => {
        const bytes = await host.files.read(path, maxLogRouterBytes);
        if (bytes === null) throw new AgentError('LOG_HAND_OVER_INVALID', { reason: `${path} does not exist` });
        const { settings, ways } = parseLogRouter(bytes);
        const { hostname, port, tags, apiKey } = settings;
        const http = await context.httpWith({ extraCa: ways.ca, proxy: ways.proxy });
        const { followJournal, signal } = context;
        const service = { hostname, port, apiKey, iam: ways.iam };
        await forwardJournal({ ...host, http, followJournal }, { service, tags, cursorPath, signal });
      });
    });

export const networkCommand = (context: LoggingContext, io: CommandIo): Command =>
  new Command('network').description('what the guest has to reach').addCommand(check(context, io));

export const loggingCommand = (context: LoggingContext, io: CommandIo): Command =>
  new Command('logging')
    .description('records of the guest on the log server of the contract')
    .addCommand(configure(context, io))
    .addCommand(forward(context));
