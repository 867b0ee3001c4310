/** Code caches of the executable's chunks: what V8 compiles when these commands run. The same bytes at every build. */
import { join } from 'node:path';
import { runTool } from './run-tool.ts';

const here = import.meta.dirname;
const input = (name: string): string => join(here, 'warm-up', name);
const key = input('THROWAWAY-guest-key.pem');

/**
 * Commands that run often and need nothing of the machine they run on: what is compiled must not depend on the machine
 * that builds.
 */
const commands: readonly (readonly string[])[] = [
  ['contract', 'validate', input('contract.yaml')],
  ['contract', 'validate', input('sealed.yaml'), '--decrypt-key', key],
  ['contract', 'decrypt', input('sealed.yaml'), '--key', key],
];

export interface ChunksToWarm {
  /** Starts programs: most of what it loads is never needed for that. */
  readonly programs: string;
  /** Of commands that run often and cannot run here, such as `boot`: everything in them is compiled. */
  readonly whole: readonly string[];
  /** The same, unless a command that runs here loads them: libraries and tables, of which little is ever used. */
  readonly besides: readonly string[];
}

/**
 * Puts NAME.cache beside each chunk of `folder`. `node` must be the one of the executable: V8 takes a cache only of its own version;
 * `flags` are further ones of V8. Throws an Error when a command fails.
 */
export const warmUp = (
  node: string,
  folder: string,
  { programs, whole, besides }: ChunksToWarm,
  flags: readonly string[] = [],
): void => {
  const script = join(here, 'start', 'warm-up.cjs');
  for (const command of [['--whole', ...whole], ...commands, ['--programs', programs], ['--whole', ...besides], []])
    runTool(
      node,
      ['--random-seed=1', '--disable-proto=delete', '--no-warnings', ...flags, script, folder, ...command],
      'node',
      { cwd: folder },
    );
};
