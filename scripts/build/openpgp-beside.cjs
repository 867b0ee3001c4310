// In the single executable `import('openpgp')` becomes this: the file beside the executable, which anybody may replace.
const { createRequire } = require('node:module');
module.exports = createRequire(process.execPath)('./openpgp.mjs');
