/** The one date in everything that is built, so that building again gives the same bytes. */
import { spawnSync } from 'node:child_process';

/**
 * Seconds since 1970: SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/), or when the commit
 * in `root` was made. Throws an Error where there is neither.
 */
export const buildDate = (root: string, given: string | undefined): number => {
  if (given !== undefined && given !== '') {
    if (!/^[0-9]{1,10}$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH is no number of seconds: ${given}`);
    return Number(given);
  }
  const { status, stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  const seconds = status === 0 ? stdout.trim() : '';
  if (/^[0-9]+$/.test(seconds)) return Number(seconds);
  throw new Error('the date of the build is unknown: this is no git checkout, and SOURCE_DATE_EPOCH is not set');
};
