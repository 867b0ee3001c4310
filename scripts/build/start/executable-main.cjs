// The main script of the executable: what is common to all commands. The agent's chunks are its assets.
'use strict';
const { lasts } = require('../../../agent/long-lived.ts');

// V8 takes no code cache that was made under other flags, and what a daemon never calls need not be compiled
// (agent/host/lasting.ts): what is compiled before it is asked stays.
const isLean = lasts(process.argv.slice(2));
if (isLean) {
  const { setFlagsFromString } = require('node:v8');
  for (const flag of ['--no-opt', '--no-sparkplug', '--no-maglev']) setFlagsFromString(flag);
}
const { getRawAsset } = require('node:sea');
const { chunkLoader } = require('./load-chunks.cjs');

chunkLoader((name) => ({
  // esbuild writes ASCII: one byte is one character, and V8 keeps one byte for it.
  source: Buffer.from(getRawAsset(name)).latin1Slice(),
  cachedData: isLean ? undefined : new Uint8Array(getRawAsset(`${name}.cache`)),
}))('triseed.mjs');
