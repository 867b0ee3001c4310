/** A page of docs/ followed to its end: its command blocks in one shell, and the output that it promises. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

const blocksOf = (page: string, language: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);

/** Twenty processes of one program: what Node has compiled is found again (Node.js docs, module.enableCompileCache). */
const compiled = { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, '.cache/compiled-pages') };

export interface FollowedPage {
  readonly status: number | null;
  /** Standard output, then standard error. */
  readonly output: string;
  /** Lines of the page's output blocks; one that ends with … promises its beginning. */
  readonly promised: readonly string[];
}

/** `change` rewrites the commands, for places that another test may use at the same time. */
export const followPage = (
  path: string,
  home: string,
  change: (script: string) => string = (script) => script,
): FollowedPage => {
  const page = readFileSync(join(root, path), 'utf8');
  const script = change(blocksOf(page, 'sh').join('\n'));
  const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: root,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, LC_ALL: 'C', ...compiled },
    encoding: 'utf8',
    // With a socket for standard input, as under a test runner, Debian's bash reads bashrc.
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  });
  const promised = blocksOf(page, 'text').flatMap((block) => block.trimEnd().split('\n'));
  return { status, output: `${stdout}\n${stderr}`, promised };
};

export const isKept = (promise: string, output: string): boolean => output.includes(promise.replace(/…$/, ''));

/** Programs of the machine that are not installed. */
export const missingPrograms = (...programs: readonly string[]): readonly string[] =>
  programs.filter((program) => !['/usr/bin', '/bin'].some((folder) => existsSync(join(folder, program))));

/** Shell lines that put the command on the path, as the first part of getting-started.md does. */
export const withCommand = (script: string): string =>
  `mkdir -p ~/bin
printf '#!/bin/sh\\nexec "%s" "%s/agent/main.ts" "$@"\\n' '${process.execPath}' "$PWD" > ~/bin/triseed
chmod +x ~/bin/triseed
export PATH=~/bin:$PATH
${script}`;
