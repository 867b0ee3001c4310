// node warm-up.cjs FOLDER [ARGUMENT …]: runs the agent whose chunks are in FOLDER with these arguments and keeps, beside each
// chunk, what V8 compiled of it then and before. Without arguments every chunk is read and none is run.
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

// A function that has not run for a while would be forgotten: at another instant at each build. A cache counts only
// under the flags it was made with, which at run time are the usual ones.
const compile = (source, options) => {
  setFlagsFromString('--flush-bytecode');
  const script = new Script(source, options);
  setFlagsFromString('--no-flush-bytecode');
  scripts.set(options.filename, script);
  return script;
};

process.once('exit', () => {
  setFlagsFromString('--flush-bytecode');
  for (const [name, script] of scripts) writeFileSync(cacheOf(name), script.createCachedData());
});

if (given.length > 0) {
  process.argv.splice(1, process.argv.length, process.execPath, ...given);
  chunkLoader(find, compile)('triseed.mjs');
} else {
  for (const name of readdirSync(folder)) if (name.endsWith('.mjs')) compile(find(name).source, { filename: name });
}
