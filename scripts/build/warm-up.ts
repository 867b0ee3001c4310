/** Code caches of the executable's chunks: what V8 compiles when these commands run. The same bytes at every build. */
import { join } from 'node:path';
import { runTool } from './run-tool.ts';

const here = import.meta.dirname;
const input = (name: string): string => join(here, 'warm-up', name);

/**
 * Commands that run often and need nothing of the machine they run on: what is compiled must not depend on the machine
 * that builds.
 */
const commands: readonly (readonly string[])[] = [['contract', 'validate', input('contract.yaml')]];

/**
 * Puts NAME.cache beside each chunk of `folder`. `whole` names those of commands that run often and cannot run here, such as
 * `boot`: everything in them is compiled. `node` must be the one of the executable: V8 takes a cache only of its own version;
 * `flags` are further ones of V8. Throws an Error when a command fails.
 */
export const warmUp = (node: string, folder: string, whole: readonly string[], flags: readonly string[] = []): void => {
  const script = join(here, 'start', 'warm-up.cjs');
  for (const command of [...commands, ['--whole', ...whole], []])
    runTool(
      node,
      ['--random-seed=1', '--disable-proto=delete', '--no-warnings', ...flags, script, folder, ...command],
      'node',
      { cwd: folder },
    );
};
