/** `triseed contract archive`: a folder as the archive of compose or play. */
import { createHash } from 'node:crypto';
import { Command } from 'commander';
import { profiles } from '../../contract-schema/generated/profiles.ts';
import { writeArchive } from '../contract/content/archive-write.ts';
import { missingWorkloadFile } from '../contract/content/compose-file.ts';
import type { ContentProblem } from '../contract/content/content-problem.ts';
import { readFolder } from '../contract/content/folder.ts';
import { findingRules } from '../contract/finding-rules.ts';
import { sealToken } from '../contract/seal.ts';
import { printable } from '../contract/shown-name.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { type ProfileChoice, profileOf, profileOptions } from './contract-options.ts';
import { assertOutput, folderOf, writeOutput } from './documents.ts';
import type { CommandIo } from './io.ts';
import { readRecipient } from './recipient.ts';

interface ArchiveOptions extends ProfileChoice {
  readonly cert?: string;
  readonly output?: string;
  readonly json?: boolean;
}

const usage = (reason: string): AgentError => new AgentError('USAGE', { reason });

const say = (
  io: CommandIo,
  folder: string,
  severity: 'error' | 'warning',
  problems: readonly ContentProblem[],
): void => {
  for (const { code, message, hint } of problems) {
    io.stderr(`${printable(folder)}: ${severity} ${findingRules[code]} ${code}: ${message}\n    hint: ${hint}\n`);
  }
};

/** The folder itself may be reached through a link; nothing below it may. */
const folderAt = async (host: Host, path: string): Promise<string> => {
  const resolved = await host.files.resolve(path);
  if (resolved === null) throw new AgentError('FILE_UNREADABLE', { path, reason: 'it does not exist' });
  if ((await host.files.kind(resolved)) === 'folder') return resolved;
  throw usage(`${path} is no folder; give the one that holds the compose file or the Pods`);
};

const isBelow = async (host: Host, file: string, folder: string): Promise<boolean> => {
  const parent = await folderOf(host, file);
  return parent !== null && (parent === folder || parent.startsWith(folder === '/' ? '/' : `${folder}/`));
};

const archive = async (host: Host, io: CommandIo, path: string, options: ArchiveOptions): Promise<void> => {
  const { output, json } = options;
  if (json === true && output === '-') throw usage('--json and -o - both claim standard output');
  const folder = await folderAt(host, path);
  if (output !== undefined && output !== '-' && (await isBelow(host, output, folder))) {
    throw usage(`${output} lies in the folder itself, and the next archive would hold it`);
  }
  const choice = { output, input: folder, reads: [options.cert], inPlace: false };
  await assertOutput(host, choice);
  const recipient = options.cert === undefined ? null : (await readRecipient(host, io, options.cert)).key;
  const outcome = await readFolder(host.files, folder);
  if (outcome.kind === 'refused') {
    if (json === true) io.stdout(`${JSON.stringify({ archived: false, problems: outcome.problems }, null, 2)}\n`);
    say(io, path, 'error', outcome.problems);
    io.stderr('nothing was packed\n');
    return io.setExitStatus(1);
  }
  const { members, leftOut } = outcome;
  const { text, packedBytes, unpackedBytes } = writeArchive(members);
  const missing = missingWorkloadFile(members);
  if (missing !== null) say(io, path, 'warning', [missing]);
  const prefix = profiles[profileOf(options)].tokenPrefix;
  const value =
    recipient === null ? text : await sealToken(host.entropy, Buffer.from(text, 'latin1'), recipient, prefix);
  const sha256 = createHash('sha256').update(text).digest('hex');
  if (json === true) {
    const names = members.map(({ name, kind, bytes }) => ({ name, kind, bytes: bytes.length }));
    const content = recipient === null ? { archive: value } : { token: value };
    const shown = output === undefined ? content : {};
    io.stdout(
      `${JSON.stringify({ archived: true, sha256, packedBytes, unpackedBytes, members: names, leftOut, ...shown }, null, 2)}\n`,
    );
  }
  if (json !== true || output !== undefined) {
    // The folder may hold an .env, as compose reads it.
    const mode = recipient === null ? 0o600 : 0o644;
    await writeOutput(host, io, `${value}\n`, { ...choice, mode });
  }
  for (const name of leftOut) io.stderr(`left out: ${printable(name)}\n`);
  io.stderr(
    `${members.length} files and folders, ${unpackedBytes} bytes, packed to ${packedBytes}; sha256 ${sha256}\n`,
  );
};

const help = `
Examples:
  triseed contract archive app
  triseed contract archive app -o app.b64
  printf '  archive: %s\\n' "$(triseed contract archive app)"

The text is the value of workload.compose.archive or workload.play.archive: base64 of a gzipped tar of what the folder
holds. The same files give the same text on every machine: names are sorted, owners and times left out, of modes only
"may be run" is kept. Links, devices and more than 16 MiB are refused, .git and .DS_Store left out. A file with the text
has mode 0600.

With --cert the text is put into a token, as other tools call an encrypted base64-tgz. An archive key does not take
tokens: to protect an archive, put it into the workload section and seal or encrypt that section.

Exit status: 0 packed, 1 the folder holds what cannot be packed, 2 wrong usage, 3 could not be read.`;

export const archiveCommand = (host: Host, io: CommandIo): Command => {
  const command = new Command('archive').description(
    'pack a folder for compose or play: deterministic tar, gzip, base64',
  );
  for (const option of profileOptions()) command.addOption(option);
  return command
    .argument('<folder>', 'the folder with docker-compose.yaml, or with the YAML files of Pods')
    .option('--cert <file>', "encrypt the text for the guest's certificate or public key")
    .option('-o, --output <file>', 'write to this file instead of standard output')
    .option('--json', 'one JSON document on standard output')
    .addHelpText('after', help)
    .action((folder: string, options: ArchiveOptions) => archive(host, io, folder, options));
};
