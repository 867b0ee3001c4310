// node warm-up.cjs FOLDER [ARGUMENT …]: runs the agent whose chunks are in FOLDER with these arguments and keeps, beside each
// chunk that was loaded, what V8 compiled of it then and before; `--programs NAME` starts programs with the chunk NAME instead.
// Where nothing is run, the chunks that no run has loaded are compiled, `--whole NAME …` with every function in them, and
// without arguments the others as far as V8 does at once: no start has to look where their functions begin and end.
'use strict';
const { existsSync, readdirSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');
const { chunkLoader } = require('./load-chunks.cjs');

const [, , folder, ...given] = process.argv;
const scripts = new Map();
const cacheOf = (name) => join(folder, `${name}.cache`);

const find = (name) => ({
  source: readFileSync(join(folder, name), 'latin1'),
  cachedData: existsSync(cacheOf(name)) ? readFileSync(cacheOf(name)) : undefined,
});

// What a cache holds must not depend on the instant. A function that has not run for a while would be forgotten, and V8 notes
// in the cache which functions its compilers have been through, which work beside the program and are done when they are done.
const instantless = ['flush-bytecode', 'sparkplug', 'maglev', 'opt'];
const observe = () => {
  for (const flag of instantless) setFlagsFromString(`--no-${flag}`);
};
// A cache counts only under the flags it was made with, which at run time are the usual ones.
const usualFlags = () => {
  for (const flag of instantless) setFlagsFromString(`--${flag}`);
};

const compile = (source, options, isWhole = false) => {
  usualFlags();
  if (isWhole) setFlagsFromString('--no-lazy');
  const script = new Script(source, options);
  if (isWhole) setFlagsFromString('--lazy');
  observe();
  scripts.set(options.filename, script);
  return script;
};

process.once('exit', () => {
  usualFlags();
  for (const [name, script] of scripts) writeFileSync(cacheOf(name), script.createCachedData());
});

const [first, ...names] = given;
if (first === undefined || first === '--whole') {
  for (const name of first === undefined ? readdirSync(folder) : names)
    if (name.endsWith('.mjs') && !existsSync(cacheOf(name)))
      compile(find(name).source, { filename: name }, first === '--whole');
} else if (first === '--programs') {
  const { runCommand } = chunkLoader(find, compile)(names[0]);
  const commands = [{ program: '/bin/true' }, { program: '/bin/cat', stdin: 'text' }];
  for (const command of commands) runCommand({ args: [], timeoutMs: 60_000, ...command });
} else {
  process.argv.splice(1, process.argv.length, process.execPath, ...given);
  chunkLoader(find, compile)('triseed.mjs');
}
