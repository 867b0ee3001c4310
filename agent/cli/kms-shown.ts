/** A key, and many, as `triseed kms key` shows them to people. */
import { AgentError } from '../errors.ts';
import { keyStateOf } from '../kms/classify.ts';
import type { KeyAdministration, ShownKey } from '../kms/key-administration.ts';
import type { CommandIo } from './io.ts';
import { type AccessFlags, facts, pathOf, print, table } from './kms-access.ts';

type Rotation = { readonly enabled?: unknown; readonly interval_month?: unknown } | undefined;

const rotationText = (rotation: Rotation): string =>
  rotation?.enabled === true ? `every ${String(rotation.interval_month)} months` : 'by hand';

export const shownText = (key: ShownKey, versions: readonly ShownKey[] = []): string =>
  facts([
    ['id', key.id],
    ['name', key.name],
    ['aliases', Array.isArray(key.aliases) ? key.aliases.join(', ') : 'none'],
    ['state', keyStateOf(key.state)],
    ['kind', key.extractable ? 'standard key' : `root key, ${key.imported === true ? 'imported' : 'generated'}`],
    ['ring', key.keyRingID],
    ['crn', key.crn],
    ['created', key.creationDate],
    ['rotated', key.lastRotateDate ?? 'never'],
    ['rotates', rotationText(key.rotation as Rotation)],
    ['expires', key.expirationDate ?? 'never'],
    ...(key.deletionDate === undefined
      ? []
      : ([
          ['deleted', key.deletionDate],
          ['restore', `until ${String(key.restoreExpirationDate)}`],
          ['purge', `from ${String(key.purgeAllowedFrom)}`],
        ] as const)),
    ...versions.map((version, at): [string, unknown] => [
      at === 0 ? 'version' : '',
      `${version.id}  ${String(version.creationDate)}${at === 0 ? '  (current)' : ''}`,
    ]),
  ]);

export const listText = (keys: readonly ShownKey[]): string =>
  table(
    ['STATE', 'ID', 'NAME', 'ALIASES', 'RING', 'ROTATED', 'EXPIRES'],
    keys.map((key) => [
      keyStateOf(key.state),
      key.id,
      key.name,
      Array.isArray(key.aliases) ? key.aliases.join(',') : '-',
      key.keyRingID,
      key.lastRotateDate ?? '-',
      key.expirationDate ?? '-',
    ]),
    'no keys',
  );

/** One key with its versions, as `show` gives it. */
export const showKey = async (
  io: CommandIo,
  keys: KeyAdministration,
  flags: AccessFlags,
  key: string,
): Promise<void> => {
  const action = 'read the key';
  const [shown] = await keys.resources({ action, method: 'GET', path: pathOf(key, '/metadata') });
  if (shown === undefined) {
    throw new AgentError('KMS_COMMAND_UNANSWERED', { action, reason: 'an empty answer', correlationId: null });
  }
  const versions = await keys.resources({
    action: 'read the versions of the key',
    method: 'GET',
    path: pathOf(key, '/versions?allKeyStates=true'),
  });
  print(io, flags, { ...shown, versions }, shownText(shown, versions));
};
