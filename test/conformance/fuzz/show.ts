/** `node test/conformance/fuzz/show.ts SEED NUMBER`: one document of contract-fuzz.test.ts, and what is said about it. */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { keyFile, makeCorpus } from './corpus.ts';
import { documentAt } from './documents.ts';
import { judge } from './judge.ts';

const [seed = '', index = ''] = process.argv.slice(2);
const key = createPrivateKey(readFileSync(keyFile));
const document = documentAt(await makeCorpus(key), seed, Number(index));
process.stdout.write(document);
console.log(`\n\n${document.length} bytes`, await judge(document, Number(index), key));
