/**
 * The installed program: the executable as the package ships it, made of the sources as they are when a process of tests first asks.
 * Every start in a guest is slow, because each page of memory that a program touches for the first time costs a guest's kernel ten
 * times what it costs the host's: the executable needs a third less of them than Node with the bundle.
 */
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeExecutable } from '../../../scripts/build/executable.ts';
import { currentBundle, openpgpFile } from '../../../scripts/bundle.ts';
import { keptFolder } from '../../../scripts/kept-folder.ts';
import { checkout } from './place.ts';

/** Longer than any run; each takes 120 MB, and every change of the sources makes one. */
const keepForMs = 3 * 60 * 60 * 1000;
const makers = join(checkout, 'scripts/build');

/** The bundle's folder is named by its content; the other files decide how an executable is made of it. */
const nameFor = (bundle: string): string => {
  const hash = createHash('sha256').update(`${bundle}\0${process.version}\0`);
  for (const name of readdirSync(makers, { recursive: true, encoding: 'utf8' }).sort())
    if (statSync(join(makers, name)).isFile()) hash.update(`${name}\0`).update(readFileSync(join(makers, name)));
  return hash.digest('hex').slice(0, 16);
};

const make = (folder: string, bundle: string): void => {
  writeFileSync(join(folder, 'triseed'), makeExecutable(checkout).contents);
  chmodSync(join(folder, 'triseed'), 0o755);
  copyFileSync(join(checkout, dirname(bundle), openpgpFile), join(folder, openpgpFile));
};

/** The executable's path below the checkout. */
const currentExecutable = (): string => {
  const bundle = currentBundle();
  const folder = keptFolder('executable', nameFor(bundle), { keepForMs, make: (made) => make(made, bundle) });
  return join(folder, 'triseed');
};

const once = (make: () => string): (() => string) => {
  let made: string | undefined;
  return () => {
    made ??= make();
    return made;
  };
};

const executable = once(currentExecutable);
const bundle = once(currentBundle);

/** The program for a guest. */
export const program = (): string => `\
#!/bin/sh
exec /opt/triseed/${executable()} "$@"
`;

/**
 * The same, but `triseed VERB` runs the bundle with options of Node, which the executable does not take; nothing else changes how Node
 * runs it.
 */
export const programWith = (verb: string, ...nodeOptions: readonly string[]): string => `\
#!/bin/sh
[ "$1" = ${verb} ] || exec /opt/triseed/${executable()} "$@"
unset NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS
exec /opt/triseed/node_modules/.bin/node ${['--disable-warning=ExperimentalWarning', ...nodeOptions].join(' ')} /opt/triseed/${bundle()} "$@"
`;
