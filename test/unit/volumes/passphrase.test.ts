import { execFileSync } from 'node:child_process';
import t from 'tap';
import { Secret } from '../../../agent/secret.ts';
import { candidateSchemes, derivePassphrase } from '../../../agent/volumes/passphrase.ts';
import { recoveryRecipe } from '../../../agent/volumes/recovery.ts';
import { type Scheme, schemes, usesSeed3 } from '../../../agent/volumes/token.ts';

const env = 'env_seed_1234567';
const workload = 'wl_seed_12345678';
const seed3 = Buffer.from('THROW-AWAY third seed of 32 byte').toString('base64');

const derive = (scheme: Scheme): string => {
  const kms = usesSeed3(scheme) ? Secret.fromText(seed3) : null;
  const seeds = { env: Secret.fromText(env), workload: Secret.fromText(workload), kms };
  return derivePassphrase(seeds, scheme).expose((bytes) => bytes.toString('latin1'));
};

t.test('two seeds: env first, as documented', async (t) => {
  t.equal(derive('two-seed'), 'e3ebc06e195953293a7d4f77501e5196f142c9a51c2c3d19cf196d7be59c4e7c');
  t.equal(derive('two-seed-swapped'), 'ba7eb5badf0cb3a8e6ca3f8161f990548e731156a8fc10b779262082f5813da5');
});

t.test('every scheme is what the recovery recipe computes with sha256sum', async (t) => {
  const folder = t.testdir({ env: `${env}\n`, workload: `${workload}\n`, seed3 });
  for (const scheme of schemes) {
    const recipe = recoveryRecipe(scheme, {
      envSeed: `${folder}/env`,
      workloadSeed: `${folder}/workload`,
      seed3: `${folder}/seed3`,
      device: '/dev/vdb2',
      mapping: 'recovered',
    });
    const [pipeline] = recipe.split('|\n');
    const byHand = execFileSync('/bin/sh', ['-c', pipeline ?? 'false']).toString();
    t.equal(derive(scheme), byHand, scheme);
  }
});

t.test('candidates never mix volumes with and without a third seed', async (t) => {
  t.ok(candidateSchemes(true).every(usesSeed3));
  t.notOk(candidateSchemes(false).some(usesSeed3));
  t.equal(new Set([...candidateSchemes(true), ...candidateSchemes(false)]).size, schemes.length);
});
