/** What libblkid recognises on a device: a second opinion beside our own readers, before anything is called blank. */
import { AgentError } from '../errors.ts';
import type { CommandResult, Host } from '../ports.ts';

/**
 * wipefs, in its listing mode, and not `blkid -p`: blkid(8) ends with status 2 both for "nothing found" and for a device
 * that it could not open, and names one signature where there are several.
 */
const wipefs = '/usr/sbin/wipefs';
const listOnly = ['--no-act', '--noheadings', '--output', 'TYPE', '--'] as const;
const timeoutMs = 30_000;

/**
 * The names in the listing, each once, in the order found. They are libblkid's own words; anything else than a plain
 * word becomes `unrecognised`, which is a signature all the same.
 */
export const parseSignatures = (text: string): readonly string[] => {
  const lines = text.split('\n').map((line) => line.trim());
  const names = lines
    .filter((line) => line !== '')
    .map((line) => (/^[\w.+-]{1,64}$/.test(line) ? line : 'unrecognised'));
  return [...new Set(names)];
};

/** What a finished listing means; null when it could not find out. Pure. */
export const signaturesOf = ({ exit, stdout }: Pick<CommandResult, 'exit' | 'stdout'>): readonly string[] | null =>
  exit === 0 ? parseSignatures(stdout.toString('latin1')) : null;

/**
 * Names of file systems, LUKS, RAID, swap and partition tables (`gpt`, `PMBR`, `dos`) found on the device or file at
 * `path`, such as `ext4` or `crypto_LUKS`. Nothing is changed. Throws SIGNATURES_UNKNOWN when the listing fails: a
 * device that cannot be probed is never called blank.
 */
export const readSignatures = async (host: Pick<Host, 'run'>, path: string): Promise<readonly string[]> => {
  const result = await host.run({ program: wipefs, args: [...listOnly, path], timeoutMs });
  const signatures = signaturesOf(result);
  if (signatures === null) {
    const detail = result.timedOut ? 'wipefs did not end in time' : `wipefs ended with ${result.exit ?? result.signal}`;
    throw new AgentError('SIGNATURES_UNKNOWN', { path, detail });
  }
  return signatures;
};
