/**
 * Random tests draw the same values in every run of the suite, so that what fails for one person fails for all. `TRISEED_SEED=number`
 * draws others; scripts/test.ts loads this before the files that use fast-check.
 */
import fc from 'fast-check';

const seed = Number(process.env.TRISEED_SEED ?? 20261121);
if (!Number.isSafeInteger(seed)) throw new Error('TRISEED_SEED is not a number');
fc.configureGlobal({ seed });
