/** Operation → what answers it. */
import { createAlias, deleteAlias } from './aliases.ts';
import type { OperationName } from './endpoints.ts';
import { createImportToken, getImportToken } from './import-token.ts';
import { allowedIpPort, getInstancePolicies, putInstancePolicies } from './instance-policies.ts';
import { keyAction } from './key-actions.ts';
import { deleteKey, purgeKey, restoreKey, setKeyForDeletion, unsetKeyForDeletion } from './key-deletion.ts';
import {
  countKeys,
  createKey,
  createKeyWithPolicies,
  listKeys,
  listVersions,
  patchKey,
  readKey,
  readMetadata,
} from './key-handlers.ts';
import { getPolicies, putPolicies } from './key-policies.ts';
import { createKeyRing, deleteKeyRing, listKeyRings } from './key-rings.ts';
import { refuse } from './refusals.ts';
import {
  createRegistration,
  deleteRegistration,
  listAllRegistrations,
  listRegistrations,
  replaceRegistration,
  updateRegistration,
} from './registrations.ts';
import type { Handler, KeyHandler } from './result.ts';

/** Finds the key by id or alias, within the key ring of the X-Kms-Key-Ring header when there is one. */
const onKey =
  (handle: KeyHandler): Handler =>
  (context) => {
    const key = context.store.key(context.instance, context.path.key ?? '');
    const ring = context.headers['x-kms-key-ring'];
    if (key === null || (ring !== undefined && ring !== key.keyRing)) {
      return refuse('KEY_NOT_FOUND_ERR', 'Key could not be retrieved');
    }
    return handle(context, key);
  };

/** Services of the real cloud are told of changes over a bus of their own; nothing here waits for their answer. */
const acknowledgeEvent: Handler = () =>
  refuse('NOT_BUILT_ERR', 'Event could not be acknowledged', { detail: 'services are not told of key events' });

export const HANDLERS: Readonly<Record<Exclude<OperationName, 'token' | 'discovery' | 'kmip'>, Handler>> = {
  head: countKeys,
  list: listKeys,
  create: createKey,
  createWithPolicies: createKeyWithPolicies,
  get: onKey(readKey),
  metadata: onKey(readMetadata),
  patch: onKey(patchKey),
  delete: onKey(deleteKey),
  purge: onKey(purgeKey),
  restore: onKey(restoreKey),
  wrap: onKey(keyAction('wrap')),
  unwrap: onKey(keyAction('unwrap')),
  rewrap: onKey(keyAction('rewrap')),
  rotate: onKey(keyAction('rotate')),
  disable: onKey(keyAction('disable')),
  enable: onKey(keyAction('enable')),
  sync: onKey(keyAction('sync')),
  setKeyForDeletion: onKey(setKeyForDeletion),
  unsetKeyForDeletion: onKey(unsetKeyForDeletion),
  versions: onKey(listVersions),
  listRegistrations: onKey(listRegistrations),
  listAllRegistrations,
  createRegistration: onKey(createRegistration),
  updateRegistration: onKey(updateRegistration),
  replaceRegistration: onKey(replaceRegistration),
  deleteRegistration: onKey(deleteRegistration),
  getPolicies: onKey(getPolicies),
  putPolicies: onKey(putPolicies),
  createAlias: onKey(createAlias),
  deleteAlias: onKey(deleteAlias),
  getInstancePolicies,
  putInstancePolicies,
  allowedIpPort,
  createImportToken,
  getImportToken,
  listKeyRings,
  createKeyRing,
  deleteKeyRing,
  acknowledgeEvent,
};
