/** Options and arguments that several contract commands share. */
import type { KeyObject } from 'node:crypto';
import { Option } from 'commander';
import { parsePrivateKey } from '../contract/private-key.ts';
import type { Profile } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { readPassphrase, readSecret } from './documents.ts';
import type { CommandIo } from './io.ts';

const profileNames: readonly Profile[] = ['hpvs', 'ccrt', 'ccrv', 'ccco'];

/** --profile and its alias: two options, as commander knows one long name for each. */
export const profileOptions = (): readonly Option[] => [
  new Option('--profile <profile>', 'whose contract rules apply (default: hpvs)').choices(profileNames),
  new Option('--os <profile>', 'the same as --profile').choices(profileNames),
];

export interface ProfileChoice {
  readonly profile?: Profile;
  readonly os?: Profile;
}

export const profileOf = ({ profile, os }: ProfileChoice): Profile => {
  if (profile !== undefined && os !== undefined && profile !== os) {
    throw new AgentError('USAGE', { reason: '--profile and --os are one option; give one value' });
  }
  return profile ?? os ?? 'hpvs';
};

export const passphraseOption = (): Option =>
  new Option('--key-passphrase-file <file>', 'file with the passphrase of the key');

/** Reads a private key file. Throws FILE_UNREADABLE, KEY_UNUSABLE. */
export const readKey = async (
  host: Host,
  io: CommandIo,
  path: string,
  passphraseFile: string | undefined,
): Promise<KeyObject> => {
  const pem = await readSecret(host, io, path);
  const passphrase = await readPassphrase(host, passphraseFile);
  try {
    return parsePrivateKey(pem, path, passphrase);
  } finally {
    pem.wipe();
    passphrase?.wipe();
  }
};

const maxDays = 36_500;

/** A number of days as an option gives it. Throws USAGE. */
export const parseDays =
  (option: string) =>
  (text: string): number => {
    const days = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
    if (days < 1 || days > maxDays) throw new AgentError('USAGE', { reason: `${option} takes 1 to ${maxDays} days` });
    return days;
  };

/** A date, or a time with its zone, as an option gives it. Throws USAGE. */
export const parseTime = (option: string, text: string): Date => {
  const isTime = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]+(?:Z|[+-][0-9]{2}:?[0-9]{2}))?$/.test(text);
  const time = isTime ? new Date(text) : null;
  if (time === null || Number.isNaN(time.getTime())) {
    throw new AgentError('USAGE', { reason: `${option} takes a date such as 2026-11-30 or 2026-11-30T12:00:00Z` });
  }
  return time;
};

/** An option of the fixed command line that this version does not have: refuses, never ignores. */
export const refuseUnbuilt = (given: Readonly<Record<string, unknown>>): void => {
  for (const [option, value] of Object.entries(given)) {
    if (value === undefined || value === false) continue;
    throw new AgentError('USAGE', { reason: `${option} is not available in this version` });
  }
};
