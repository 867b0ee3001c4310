// The main script of the executable: what is common to all commands. The agent's chunks are its assets.
'use strict';
const { getRawAsset } = require('node:sea');
const { chunkLoader } = require('./load-chunks.cjs');

chunkLoader((name) => ({
  // esbuild writes ASCII: one byte is one character, and V8 keeps one byte for it.
  source: Buffer.from(getRawAsset(name)).latin1Slice(),
  cachedData: new Uint8Array(getRawAsset(`${name}.cache`)),
}))('triseed.mjs');
