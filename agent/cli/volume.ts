/** `triseed volume`: what a workload owner does with volumes outside a boot. */
import { Command, Option } from 'commander';
import { AgentError } from '../errors.ts';
import { recoveryRecipe } from '../volumes/recovery.ts';
import { type Scheme, schemes, usesSeed3 } from '../volumes/token.ts';
import type { VolumeContext } from './volume-context.ts';
import { headerBackupCommand } from './volume-header.ts';
import { adoptCommand, planCommand } from './volume-plan.ts';
import { statusCommand, verifyCommand } from './volume-state.ts';
import { wipeCommand } from './volume-wipe.ts';

interface RecoverOptions {
  readonly envSeedFile: string;
  readonly workloadSeedFile: string;
  readonly seed3File?: string;
  readonly scheme?: Scheme;
  readonly device: string;
}

const help = `
Example, for a volume with a third seed:
  triseed kms key unwrap … > seed3
  triseed volume recover --env-seed-file env.seed --workload-seed-file workload.seed \\
    --seed3-file seed3 --device /dev/vdb2

The wrapped seed is in the LUKS header: cryptsetup token export --token-id 0 /dev/vdb2`;

const recover = ({ host, io }: VolumeContext): Command =>
  new Command('recover')
    .description('print how to open a volume by hand with sha256sum and cryptsetup')
    .requiredOption('--env-seed-file <file>', 'seed of the env section')
    .requiredOption('--workload-seed-file <file>', 'seed of the workload section')
    .option('--seed3-file <file>', 'third seed as the key management service unwrapped it (base64 text)')
    .addOption(new Option('--scheme <scheme>', 'how the seeds are combined').choices(schemes))
    .option('--device <device>', 'data partition, or whole disk', '/dev/DATA-PARTITION')
    .addHelpText('after', help)
    .action(async (options: RecoverOptions) => {
      const { envSeedFile, workloadSeedFile, seed3File = null, device } = options;
      const scheme = options.scheme ?? (seed3File === null ? 'two-seed' : 'interim');
      if (usesSeed3(scheme) !== (seed3File !== null))
        throw new AgentError('USAGE', {
          reason: `scheme ${scheme} ${seed3File === null ? 'needs' : 'takes no'} --seed3-file`,
        });
      for (const path of [envSeedFile, workloadSeedFile, ...(seed3File === null ? [] : [seed3File])])
        if ((await host.files.kind(path)) === 'absent')
          throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
      const files = { envSeed: envSeedFile, workloadSeed: workloadSeedFile, seed3: seed3File, device };
      io.stdout(recoveryRecipe(scheme, { ...files, mapping: 'recovered' }));
    });

const groupHelp = `
In a running guest:
  triseed volume status                 what is open, and whether the root key is active
  triseed volume plan                   what the next boot would do
Beside a guest:
  triseed volume plan --observation F   the plan for a disk that somebody else has
  triseed volume adopt DISK             what a boot would do with this disk or copy`;

export const volumeCommand = (context: VolumeContext): Command =>
  new Command('volume')
    .description('see what is on volumes, what a boot would do, check, back up, recover, wipe')
    .addHelpText('after', groupHelp)
    .addCommand(planCommand(context))
    .addCommand(statusCommand(context))
    .addCommand(verifyCommand(context))
    .addCommand(adoptCommand(context))
    .addCommand(headerBackupCommand(context))
    .addCommand(recover(context))
    .addCommand(wipeCommand(context));
