// The main script of the executable: what is common to all commands. The agent's chunks are its assets.
'use strict';
// agent/host/lasting.ts; what is compiled before it is asked stays.
if (process.argv[2] === 'keyd') {
  const { setFlagsFromString } = require('node:v8');
  for (const flag of ['--no-opt', '--no-sparkplug', '--no-maglev']) setFlagsFromString(flag);
}
const { getRawAsset } = require('node:sea');
const { chunkLoader } = require('./load-chunks.cjs');

chunkLoader((name) => ({
  // esbuild writes ASCII: one byte is one character, and V8 keeps one byte for it.
  source: Buffer.from(getRawAsset(name)).latin1Slice(),
  cachedData: new Uint8Array(getRawAsset(`${name}.cache`)),
}))('triseed.mjs');
