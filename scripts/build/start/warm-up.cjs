// node warm-up.cjs FOLDER [ARGUMENT …]: runs the agent whose chunks are in FOLDER with these arguments and keeps, beside each
// chunk that was loaded, what V8 compiled of it then and before. Without arguments nothing is run: the chunks that no run has
// loaded are read, so that no start has to look where their functions begin and end.
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

// A function that has not run for a while would be forgotten: at another instant at each build.
const keepAll = () => setFlagsFromString('--no-flush-bytecode');
// A cache counts only under the flags it was made with, which at run time are the usual ones.
const usualFlags = () => setFlagsFromString('--flush-bytecode');

const compile = (source, options) => {
  usualFlags();
  const script = new Script(source, options);
  keepAll();
  scripts.set(options.filename, script);
  return script;
};

process.once('exit', () => {
  usualFlags();
  for (const [name, script] of scripts) writeFileSync(cacheOf(name), script.createCachedData());
});

if (given.length > 0) {
  process.argv.splice(1, process.argv.length, process.execPath, ...given);
  chunkLoader(find, compile)('triseed.mjs');
} else {
  for (const name of readdirSync(folder))
    if (name.endsWith('.mjs') && !existsSync(cacheOf(name))) compile(find(name).source, { filename: name });
}
