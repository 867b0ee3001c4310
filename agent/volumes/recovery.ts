/** How to open a volume by hand: a shell recipe of sha256sum and cryptsetup. Pure; it names files, never their content. */
import type { Scheme } from './token.ts';

export interface RecoveryFiles {
  readonly envSeed: string;
  readonly workloadSeed: string;
  /** The base64 text the key management service gives back for the wrapped seed; null for two-seed volumes. */
  readonly seed3: string | null;
  /** The partition or disk, or a placeholder. */
  readonly device: string;
  readonly mapping: string;
}

const quote = (text: string): string =>
  /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** A seed as bytes without the newline an editor may have left behind its only line. */
const bytesOf = (file: string): string => `tr -d '\\n' < ${quote(file)}`;
const digest = (parts: string): string => `{ ${parts}; } | sha256sum | cut -c1-64 | tr -d '\\n'`;

const passphraseOf = (scheme: Scheme, files: RecoveryFiles): string => {
  const { envSeed, workloadSeed } = files;
  const [first, second] = scheme.endsWith('-swapped') ? [workloadSeed, envSeed] : [envSeed, workloadSeed];
  const seeds = `${bytesOf(first)}; ${bytesOf(second)}`;
  const base = scheme.replace(/-swapped$/, '');
  if (base === 'two-seed') return digest(seeds);
  const seed3 = bytesOf(files.seed3 ?? 'SEED3-FILE');
  const third = base.endsWith('-raw') ? `${seed3} | base64 -d` : seed3;
  return digest(base.startsWith('interim') ? `${digest(seeds)}; ${third}` : `${seeds}; ${third}`);
};

/** Lines to paste into a root shell. Reads the device only; work on a copy of the disk if in doubt. */
export const recoveryRecipe = (scheme: Scheme, files: RecoveryFiles): string =>
  [
    `# scheme ${scheme}; the passphrase goes through a pipe, not through argv or a file`,
    `${passphraseOf(scheme, files)} |`,
    `  cryptsetup open --readonly --key-file=- ${quote(files.device)} ${quote(files.mapping)}`,
    `mount -o ro /dev/mapper/${quote(files.mapping)} /mnt`,
    '',
  ].join('\n');
