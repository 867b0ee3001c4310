/**
 * Runs test files in this one process, with one file of the program replaced by a text of its own.
 *
 *   node scripts/mutation/try.ts FILE REPLACEMENT TEST...
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [file = '', replacement = '', ...tests] = process.argv.slice(2);
const target = pathToFileURL(resolve(file)).href;

registerHooks({
  load: (url, context, next) =>
    url === target
      ? { format: 'module', source: readFileSync(replacement, 'utf8'), shortCircuit: true }
      : next(url, context),
});

for (const test of tests) await import(pathToFileURL(resolve(test)).href);
