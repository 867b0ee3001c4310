/** `triseed completion`: a script for the user's shell, made from the command tree, so that it knows every option. */
import { Argument, Command, type Option } from 'commander';
import type { CommandIo } from './io.ts';

interface Node {
  /** Words after the program's name. */
  readonly path: readonly string[];
  readonly command: Command;
}

const isShown = (command: Command): boolean => !(command as Command & { readonly _hidden?: boolean })._hidden;

const nodesOf = (command: Command, path: readonly string[] = []): readonly Node[] => [
  { path, command },
  ...command.commands
    .filter((child) => isShown(child) && child.name() !== 'help')
    .flatMap((child) => nodesOf(child, [...path, child.name()])),
];

const childrenOf = ({ command, path }: Node, all: readonly Node[]): readonly Node[] =>
  all.filter(
    (node) =>
      node.path.length === path.length + 1 &&
      node.path.slice(0, -1).join(' ') === path.join(' ') &&
      node.command.parent === command,
  );

const optionsOf = ({ command }: Node): readonly Option[] => command.options.filter(({ hidden }) => !hidden);

const flagsOf = ({ long, short }: Option): readonly string[] =>
  [long, short].filter((flag) => flag !== undefined && flag !== null);

const takesValue = ({ required, optional }: Option): boolean => required || optional;

const choicesOf = ({ argChoices }: { readonly argChoices?: readonly string[] | undefined }): readonly string[] =>
  argChoices ?? [];

/** In single quotes, for every shell that is served. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const bashCases = (all: readonly Node[]): readonly string[] =>
  all.flatMap((node) => {
    const at = node.path.map((word) => ` ${word}`).join('');
    const valued = optionsOf(node).filter(takesValue);
    const withChoices = valued.filter((option) => choicesOf(option).length > 0);
    const others = valued.filter((option) => choicesOf(option).length === 0).flatMap(flagsOf);
    const names = childrenOf(node, all).map(({ path }) => path.at(-1) ?? '');
    const operands = node.command.registeredArguments.flatMap(choicesOf);
    const options = [...optionsOf(node).flatMap(flagsOf), '--help'].filter((flag) => flag.startsWith('--'));
    const files = node.command.registeredArguments.length > operands.length ? ' files=1' : '';
    return [
      ...withChoices.map(
        (option) =>
          `    ${flagsOf(option)
            .map((flag) => quoted(`${at}:${flag}`))
            .join('|')}) words=${quoted(choicesOf(option).join(' '))} ;;`,
      ),
      ...(others.length === 0 ? [] : [`    ${others.map((flag) => quoted(`${at}:${flag}`)).join('|')}) files=1 ;;`]),
      `    ${quoted(`${at}:`)}*) words=${quoted([...names, ...operands, ...options].join(' '))}${files} ;;`,
    ];
  });

const bashScript = (program: string, all: readonly Node[]): string => {
  const paths = all
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => quoted(path.map((word) => ` ${word}`).join('')));
  return `_${program}() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} at='' words='' files='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${paths.join('|')}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at:$previous" in
${bashCases(all).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [[ -n $files && $word != -* ]]; then COMPREPLY+=($(compgen -f -- "$word")); fi
}
complete -o filenames -F _${program} ${program}
`;
};

const fishScript = (program: string, all: readonly Node[]): string => {
  const lines = all.flatMap((node) => {
    const here = `-n ${quoted(`__${program}_at ${node.path.join(' ')}`.trimEnd())}`;
    const say = (description: string): string => (description === '' ? '' : ` -d ${quoted(description)}`);
    const names = childrenOf(node, all).map(
      ({ path, command }) =>
        `complete -c ${program} -f ${here} -a ${quoted(path.at(-1) ?? '')}${say(command.description())}`,
    );
    const operands = node.command.registeredArguments
      .flatMap(choicesOf)
      .map((choice) => `complete -c ${program} -f ${here} -a ${quoted(choice)}`);
    const options = optionsOf(node).map((option) => {
      const { long, short, description } = option;
      const names = `${long == null ? '' : ` -l ${long.slice(2)}`}${short == null ? '' : ` -s ${short.slice(1)}`}`;
      const choices = choicesOf(option);
      const value = !takesValue(option) ? '' : choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : ' -r';
      return `complete -c ${program} ${here}${names}${value}${say(description)}`;
    });
    return [...names, ...operands, ...options];
  });
  const known = all.filter(({ path }) => path.length > 0).map(({ path }) => quoted(path.join(' ')));
  return `function __${program}_at
    set -l at
    for word in (commandline -opc)[2..-1]
        if contains -- (string join ' ' $at $word) ${known.join(' ')}
            set -a at $word
        end
    end
    test (string join ' ' $at) = (string join ' ' $argv)
end
${lines.join('\n')}
`;
};

const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The script for one shell. zsh reads the one of bash (zshcompsys(1), bashcompinit). */
export const completionScript = (root: Command, shell: Shell): string => {
  const all = nodesOf(root);
  const program = root.name();
  if (shell === 'fish') return fishScript(program, all);
  const bash = bashScript(program, all);
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
};

const help = `
Examples:
  triseed completion bash > ~/.local/share/bash-completion/completions/triseed
  triseed completion zsh >> ~/.zshrc
  triseed completion fish > ~/.config/fish/completions/triseed.fish`;

/** `root` has every group loaded. */
export const completionCommand = (io: CommandIo, root: Command): Command =>
  new Command('completion')
    .description('print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>', 'whose script').choices(shells))
    .addHelpText('after', help)
    .action((shell: Shell) => io.stdout(completionScript(root, shell)));
