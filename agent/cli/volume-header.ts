/** `triseed volume header-backup`. */
import { Command } from 'commander';
import { backUpHeader, manifestPath } from '../volumes/header-backup.ts';
import { printJson, type VolumeContext, withJson } from './volume-context.ts';

const help = `
  triseed volume header-backup /dev/vdb2 -o data.header     also writes data.header.json: digest, volume, how to put it back

Whoever has the file and the seeds of that day can open the volume, also after the seeds were changed: keep it like the
seeds. A header that is put back brings back the keyslot and the wrapped seed of that day.`;

export const headerBackupCommand = ({ host, io }: VolumeContext): Command =>
  withJson(new Command('header-backup'))
    .description('copy the LUKS header of a volume to a new file; reads only')
    .argument('<device>', 'data partition, whole disk of an old volume, or a plain file with either')
    .requiredOption('-o, --output <file>', 'the new file')
    .addHelpText('after', help)
    .action(async (device: string, { output, json }: { readonly output: string; readonly json?: true }) => {
      const manifest = await backUpHeader(host, device, output);
      if (json === true) {
        printJson(io, manifest);
        return;
      }
      const { sizeBytes, sha256, volume, luksUuid, restore } = manifest;
      io.stdout(
        [
          `header of ${volume === null ? 'a volume made elsewhere' : `volume ${volume}`} (LUKS ${luksUuid})`,
          `  ${output}  ${sizeBytes} bytes, SHA-256 ${sha256}`,
          `  ${manifestPath(output)}`,
          'to put it back, when nothing uses the device:',
          ...restore.map((line) => `  ${line}`),
          '',
        ].join('\n'),
      );
    });
