// Loads the agent's chunks, which call each other with `require`, each with V8's code cache for it.
'use strict';
const { createRequire } = require('node:module');
const { Script } = require('node:vm');

const importMetaUrl = `file://${process.execPath}`;

// Loading Node's own modules takes longer than many a command: each waits until something in it is used. esbuild copies
// what a module lists and lets the copy inherit from where the module inherits from: nothing is listed, everything inherited.
const whenUsed = (name) => {
  let loaded;
  const real = () => {
    loaded ??= require(name);
    return loaded;
  };
  const inherited = new Proxy({}, { get: (_, key) => real()[key], has: (_, key) => key in real() });
  return Object.create(inherited);
};

// `find(name)` answers { source, cachedData }: a function expression (chunks.ts), and what V8 remembered of it, or nothing.
// `compile` makes the script of both. The answer loads a chunk by its name.
exports.chunkLoader = (find, compile = (source, options) => new Script(source, options)) => {
  const chunks = new Map();
  const builtins = new Map();
  let isTold = false;
  const load = (name) => {
    const known = chunks.get(name);
    if (known !== undefined) return known.exports;
    const { source, cachedData } = find(name);
    const script = compile(source, { filename: name, cachedData });
    if (script.cachedDataRejected && !isTold) {
      isTold = true;
      process.emitWarning('code caches do not fit this executable: it starts more slowly than it could');
    }
    const module = { exports: {} };
    chunks.set(name, module);
    script.runInThisContext()(module.exports, requireFromChunk, module, importMetaUrl);
    return module.exports;
  };
  const requireFromChunk = (name) => {
    // A file beside the program, which anybody may replace.
    if (name === './openpgp.mjs') return createRequire(process.execPath)(name);
    if (name.startsWith('./')) return load(name.slice(2));
    if (!builtins.has(name)) builtins.set(name, whenUsed(name));
    return builtins.get(name);
  };
  return load;
};
