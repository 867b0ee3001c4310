/** `triseed volume status` and `verify`: the volumes of the running guest. */
import { Command } from 'commander';
import type { LegacyProfile } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import { handOverPath, watchConfigurationOf } from '../keyd/hand-over.ts';
import { describeKey, type KeyView, keyViewOf } from '../keyd/key-view.ts';
import { readHandOver, readKept } from '../keyd/read-hand-over.ts';
import type { Host } from '../ports.ts';
import { encryptionObjection, type Live, liveCipher } from '../volumes/live.ts';
import { lookLive, readOpened } from '../volumes/look-live.ts';
import type { OpenedRecord } from '../volumes/opened-record.ts';
import { usesSeed3 } from '../volumes/token.ts';
import { printJson, type VolumeContext, withConfiguration, withJson } from './volume-context.ts';

interface Options {
  readonly config: string;
  readonly json?: true;
}

interface Shown extends OpenedRecord {
  readonly cipher: string | null;
  readonly sectorBytes: number | null;
  readonly keyslots: number | null;
  /** Null without a token of ours. */
  readonly seeds: 2 | 3 | null;
  /** Null when the volume hangs on no root key. */
  readonly rootKey: KeyView | null;
  /** Null when it is encrypted as it should be. */
  readonly objection: string | null;
}

const shownOf = (record: OpenedRecord, live: Live, rootKey: KeyView | null): Shown => {
  const header = 'refused' in live.header ? null : live.header;
  const scheme = header?.token?.scheme;
  return {
    ...record,
    cipher: liveCipher(live.table),
    sectorBytes: header?.segment.sectorBytes ?? null,
    keyslots: header?.keyslots.length ?? null,
    seeds: scheme === undefined ? null : usesSeed3(scheme) ? 3 : 2,
    rootKey,
    objection: encryptionObjection(record, live),
  };
};

const describe = ({ volume, mount, mapping, device, cipher, keyslots, seeds, rootKey, objection }: Shown): string => {
  const rows: readonly (readonly [string, string])[] = [
    ['mount', mount],
    ['mapping', `${mapping} on ${device}`],
    ['cipher', cipher ?? 'none'],
    ['key slots', keyslots === null ? 'unknown' : String(keyslots)],
    ['seeds', seeds === null ? 'not recorded: made elsewhere' : String(seeds)],
    ['root key', rootKey === null ? 'none' : describeKey(rootKey)],
    ['encrypted', objection === null ? 'yes, as its header says' : `NO: ${objection}`],
  ];
  return `volume ${volume}\n${rows.map(([name, value]) => `  ${name.padEnd(10)} ${value}\n`).join('')}`;
};

/** What the daemon guards, without the API keys; null when boot handed nothing over. */
const readWatch = async (host: Host, run: string) => {
  const path = handOverPath(run);
  if ((await host.files.kind(path)) === 'absent') return null;
  const handOver = await readHandOver(host.files, path);
  const watch = watchConfigurationOf(handOver);
  for (const { apiKey } of handOver.volumes) apiKey.wipe();
  return { watch, kept: await readKept(host.files, run) };
};

export const statusCommand = ({ configured, io }: VolumeContext): Command =>
  withJson(withConfiguration(new Command('status')))
    .description('the volumes that this boot opened, as kernel, disk and key daemon have them now')
    .action(async ({ config, json }: Options) => {
      const { settings, host } = await configured(config);
      const { run } = settings.paths;
      const opened = await readOpened(host, run);
      const daemon = await readWatch(host, run);
      const atMs = host.clock.monotonicMs();
      const shown: Shown[] = [];
      for (const record of opened) {
        const rootKey = daemon && keyViewOf(daemon.watch, daemon.kept, record.volume, atMs);
        shown.push(shownOf(record, await lookLive(host, record, settings.volumes.legacyProfiles), rootKey));
      }
      if (json === true) printJson(io, { volumes: shown });
      else io.stdout(shown.length === 0 ? 'this boot opened no volume\n' : shown.map(describe).join('\n'));
    });

interface Checked {
  readonly volume: string;
  readonly mount: string;
  readonly keyslots: number;
  readonly encrypted: boolean;
}

/** Says on the journal what it found, and answers whether the volume is encrypted as it should be. */
const check = async (host: Host, record: OpenedRecord, legacy: readonly LegacyProfile[]): Promise<Checked> => {
  const { mount, volume } = record;
  const live = await lookLive(host, record, legacy);
  const detail = encryptionObjection(record, live);
  const keyslots = 'refused' in live.header ? 0 : live.header.keyslots.length;
  if (detail === null) host.journal.message('VOLUME_IS_ENCRYPTED', { mount, keyslots });
  else host.journal.message('VOLUME_NOT_ENCRYPTED', { mount, detail });
  return { volume, mount, keyslots, encrypted: detail === null };
};

const verifyHelp = `
Run every hour by triseed-verify.timer. Exit status: 0 all are encrypted · 1 one is not · 3 it could not be found out`;

export const verifyCommand = ({ configured, io }: VolumeContext): Command =>
  withJson(withConfiguration(new Command('verify')))
    .description('check that every volume this boot opened is still encrypted, from the live device-mapper table')
    .addHelpText('after', verifyHelp)
    .action(async ({ config, json }: Options) => {
      const { settings, host } = await configured(config);
      const opened = await readOpened(host, settings.paths.run);
      host.journal.message('ENCRYPTION_CHECK_STARTED', { count: opened.length });
      const checked: Checked[] = [];
      const unknown: unknown[] = [];
      for (const record of opened) {
        try {
          checked.push(await check(host, record, settings.volumes.legacyProfiles));
        } catch (error) {
          if (error instanceof AgentError) host.journal.message(error.code, error.facts);
          unknown.push(error);
        }
      }
      const all = checked.every(({ encrypted }) => encrypted) && unknown.length === 0;
      if (all) host.journal.message('VOLUMES_ARE_ENCRYPTED', { count: checked.length });
      if (json === true) printJson(io, { encrypted: all, volumes: checked });
      // What is known counts more than what could not be found out of another volume: the journal has both.
      if (checked.some(({ encrypted }) => !encrypted)) io.setExitStatus(1);
      else if (unknown.length > 0) throw unknown[0];
    });
