/** Manual pages, from what the command line says about itself (man(7), groff_man(7)). */
import type { Argument, Command, Option } from 'commander';
import type { ProgramContext } from '../../agent/cli/program.ts';
import { programFor } from '../../agent/cli/program.ts';

/** Reading a command tree runs no command: nothing of the world is needed, and whoever asks for it all the same is told. */
const nothing = (): never => {
  throw new Error('a manual page has no effects');
};

/** The whole command tree, not to be run. */
export const wholeProgram = (version: string): Promise<Command> => {
  const host = new Proxy({}, { get: (_target, name) => (name === 'then' ? undefined : nothing) }) as never;
  const context: ProgramContext = {
    io: { stdin: nothing, stdout: nothing, stderr: nothing, isTerminal: false, setExitStatus: nothing },
    version,
    plainHost: async () => host,
    configured: async () => nothing(),
    keyServices: async () => host,
    notify: async () => nothing(),
    askSocket: async () => nothing(),
    serveSocket: async () => nothing(),
    onReload: nothing,
    connections: async () => nothing(),
    httpWith: async () => nothing(),
    followJournal: () => nothing(),
    calendar: async () => nothing(),
    credentialsFolder: null,
    signal: new AbortController().signal,
    ask: async () => nothing(),
  };
  return programFor(['completion'], context);
};

/** As text of a roff document: no escapes, no requests at the start of a line, hyphens that can be copied. */
const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('`', '\\(ga')
    .replaceAll("'", '\\(aq')
    .replaceAll('…', '...')
    .replaceAll(/[^\n -~]/gu, (character) => {
      const code = character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
      return `\\[u${code}]`;
    })
    .replaceAll(/^\./gm, '\\&.');

const quotedArgument = (text: string): string => `"${roff(text).replaceAll('"', '\\(dq')}"`;

const operandOf = (argument: Argument): string => {
  const name = `${argument.name()}${argument.variadic ? '…' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
};

const isShown = (command: Command): boolean =>
  command.name() !== 'help' && (command as Command & { readonly _hidden?: boolean })._hidden !== true;

const pathOf = (command: Command): string =>
  command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;

const synopsis = (command: Command): string => {
  const words = [
    pathOf(command),
    ...(command.options.length > 0 ? ['[options]'] : []),
    ...(command.commands.some(isShown) ? ['<command>'] : []),
    ...command.registeredArguments.map(operandOf),
  ];
  return words.join(' ');
};

const detailsOf = (option: Option | Argument): string => {
  const { argChoices: choices = [], defaultValue } = option;
  return [
    option.description,
    ...(choices.length === 0 ? [] : [`One of: ${choices.join(', ')}.`]),
    ...(defaultValue === undefined || defaultValue === false ? [] : [`Default: ${String(defaultValue)}.`]),
  ]
    .filter((part) => part !== '')
    .map((part) => (/[.!?]$/.test(part) ? part : `${part}.`))
    .join(' ');
};

const entry = (head: string, text: string): readonly string[] => ['.TP', `.B ${quotedArgument(head)}`, roff(text)];

/** What `--help` says behind its lists: examples, mostly. */
const afterHelp = (command: Command): string => {
  let all = '';
  command.configureOutput({
    writeOut: (text) => {
      all += text;
    },
  });
  command.outputHelp();
  return all.slice(command.helpInformation().length).trim();
};

const bodyOf = (command: Command): readonly string[] => {
  const operands = command.registeredArguments.flatMap((argument) => entry(operandOf(argument), detailsOf(argument)));
  const options = command.options
    .filter(({ hidden }) => !hidden)
    .flatMap((option) => entry(option.flags, detailsOf(option)));
  const more = afterHelp(command);
  return [...operands, ...options, ...(more === '' ? [] : ['.PP', '.EX', roff(more), '.EE'])];
};

/** Commands below `command`, each with its own commands behind it. */
const sections = (command: Command): readonly string[] =>
  command.commands
    .filter(isShown)
    .flatMap((child) => [
      `.SS ${quotedArgument(synopsis(child))}`,
      roff(`${child.description()}.`),
      ...bodyOf(child),
      ...sections(child),
    ]);

const exitStatus = (isUnattended: boolean): readonly string[] => [
  '.SH EXIT STATUS',
  ...(isUnattended
    ? [...entry('0', 'done.'), ...entry('1', 'anything else; the message says what.')]
    : [
        ...entry('0', 'yes, or done.'),
        ...entry('1', 'no: invalid, refused.'),
        ...entry('2', 'wrong usage.'),
        ...entry('3', 'it could not be found out or done.'),
      ]),
];

export interface ManualPage {
  /** Such as `triseed-volume.1`. */
  readonly file: string;
  readonly text: string;
}

/** Run by systemd: administration, section 8. */
const unattended = new Set(['boot', 'keyd']);

const pageOf = (command: Command, others: readonly string[], version: string, date: string): ManualPage => {
  const isRoot = command.parent === null;
  const isUnattended = unattended.has(command.name());
  const name = pathOf(command).replaceAll(' ', '-');
  const section = isUnattended ? '8' : '1';
  const groups = isRoot
    ? command.commands.filter(isShown).flatMap((child) => entry(pathOf(child), `${child.description()}.`))
    : sections(command);
  const lines = [
    `.TH ${quotedArgument(name.toUpperCase())} ${section} ${quotedArgument(date)} ${quotedArgument(`triseed ${version}`)} "Triseed"`,
    '.SH NAME',
    `${roff(name)} \\- ${roff(command.description())}`,
    '.SH SYNOPSIS',
    `.B ${quotedArgument(synopsis(command))}`,
    '.SH DESCRIPTION',
    roff(`${command.description()}.`),
    ...(isRoot ? [] : bodyOf(command)),
    ...(groups.length === 0 ? [] : ['.SH COMMANDS', ...groups]),
    ...(isRoot ? ['.SH OPTIONS', ...bodyOf(command)] : []),
    ...exitStatus(isUnattended),
    '.SH FILES',
    ...entry('/etc/triseed/agent.yaml', 'the configuration of the agent; every field has a default.'),
    '.SH SEE ALSO',
    others
      .filter((other) => other !== name)
      .map((other) => `.BR ${roff(other)} (${unattended.has(other.replace('triseed-', '')) ? 8 : 1})`)
      .join(' ,\n')
      .replaceAll(') ,\n', '),\n'),
  ];
  return { file: `${name}.${section}`, text: `${lines.join('\n')}\n` };
};

/** A page for the program and one for each group of commands. `date` is YYYY-MM-DD. */
export const manualPages = (program: Command, version: string, date: string): readonly ManualPage[] => {
  const commands = [program, ...program.commands.filter((child) => isShown(child) && child.name() !== 'completion')];
  const names = commands.map((command) => pathOf(command).replaceAll(' ', '-'));
  return commands.map((command) => pageOf(command, names, version, date));
};
