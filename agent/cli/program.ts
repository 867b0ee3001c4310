/** The command tree of `triseed`. Each group is loaded when it is asked for: a boot does not pay for the authoring commands. */
import { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import type { Host } from '../ports.ts';
import type { AskSocket, Calendar, Connections, FollowJournal, Notify, ServeSocket } from '../service-ports.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import type { LoggingContext } from './logging.ts';

/** What the groups get from the composition root. */
export interface ProgramContext {
  readonly io: CommandIo;
  readonly version: string;
  /** The host of commands that need no agent configuration. */
  readonly plainHost: () => Promise<Host>;
  /** Reads and checks the agent configuration, then makes the host it asks for. */
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  readonly keyServices: () => Promise<KmsExtra>;
  readonly notify: Notify;
  /** Sockets of services of this machine. */
  readonly askSocket: AskSocket;
  readonly serveSocket: ServeSocket;
  /** Calls `listener` on SIGHUP, until what it answers is called. */
  readonly onReload: (listener: () => void) => () => void;
  readonly httpWith: LoggingContext['httpWith'];
  readonly connections: () => Promise<Connections>;
  readonly followJournal: FollowJournal;
  readonly calendar: Calendar;
  readonly credentialsFolder: string | null;
  readonly signal: AbortSignal;
  readonly ask: KmsExtra['ask'];
}

interface Group {
  readonly about: string;
  /** `second` is the word behind the group's name: a group may load that command alone. */
  readonly load: (context: ProgramContext, second: string | undefined) => Promise<Command>;
}

/** Scripts check many contracts, one a start: what writes them is not loaded for it. */
const loadContract: Group['load'] = async ({ plainHost, io }, second) => {
  const host = await plainHost();
  if (second !== 'validate') return (await import('./contract.ts')).contractCommand(host, io);
  const [{ contractGroup }, { validateCommand }] = await Promise.all([
    import('./contract-group.ts'),
    import('./contract-read.ts'),
  ]);
  return contractGroup().addCommand(validateCommand(host, io));
};

const groups: Readonly<Record<string, Group>> = {
  contract: {
    about: 'write, check, encrypt and sign contracts',
    load: loadContract,
  },
  attestation: {
    about: 'open and verify what a guest says about itself',
    load: async ({ plainHost, io }) => (await import('./attestation.ts')).attestationCommand(await plainHost(), io),
  },
  network: {
    about: 'what the guest has to reach before it boots (run by systemd)',
    load: async (context) => (await import('./logging.ts')).networkCommand(context, context.io),
  },
  logging: {
    about: 'records of the guest on the log server of its contract (run by systemd)',
    load: async (context) => (await import('./logging.ts')).loggingCommand(context, context.io),
  },
  boot: {
    about: 'open the contract and its volumes (run by systemd)',
    load: async (context) => (await import('./boot.ts')).bootCommand(context, context.io),
  },
  keyd: {
    about: 'watch the root keys of opened volumes (run by systemd)',
    load: async (context) =>
      (await import('./keyd.ts')).keydCommand({ ...context, ask: context.askSocket, serve: context.serveSocket }),
  },
  notices: {
    about: 'tell in time when contract and encryption certificate end (run by systemd)',
    load: async (context) => (await import('./notices.ts')).noticesCommand(context),
  },
  status: {
    about: 'whether this guest has its volumes and its root keys',
    load: async (context) => (await import('./status.ts')).statusCommand({ ...context, ask: context.askSocket }),
  },
  volume: {
    about: 'see what is on volumes, what a boot would do, check, back up, recover, wipe',
    load: async (context) =>
      (await import('./volume.ts')).volumeCommand({ ...context, host: await context.plainHost() }),
  },
  kms: {
    about: 'root keys, and a local key management service to try them with',
    load: async ({ plainHost, io, keyServices }) =>
      (await import('./kms.ts')).kmsCommand(await plainHost(), io, await keyServices()),
  },
};

/** The one command that needs the whole tree. */
const completion = 'completion';

/** The tree with the group that `given` begins with loaded and the others as names only; `completion` loads all of them. */
export const programFor = async (given: readonly string[], context: ProgramContext): Promise<Command> => {
  const [wanted, second] = given;
  const root = new Command('triseed')
    .description(
      'Boot agent for confidential virtual machines: sealed contracts, protected volumes, customer root keys',
    )
    .version(context.version)
    .showHelpAfterError('(add --help for the options)')
    .helpCommand(false);
  for (const [name, { about, load }] of Object.entries(groups)) {
    if (name === wanted || wanted === completion)
      root.addCommand(await load(context, wanted === completion ? undefined : second));
    else root.command(name).description(about);
  }
  if (wanted === completion) root.addCommand((await import('./completion.ts')).completionCommand(context.io, root));
  else root.command(completion).description('print a script that completes commands and options in your shell');
  const strict = (command: Command): void => {
    command.exitOverride().configureOutput({ writeOut: context.io.stdout, writeErr: context.io.stderr });
    command.commands.forEach(strict);
  };
  strict(root);
  return root;
};
