/** Key material in the bodies of create, rotate and restore. Key Protect API documentation; "Importing root keys". Pure. */
import { isSecureImport, openSecureImport } from './import-token.ts';
import { badField, type Refusal } from './refusals.ts';
import { type Members, readBase64, type Shape } from './request-body.ts';
import type { Context } from './result.ts';

/** Members of a body that can bring material along. */
export const MATERIAL: Shape = { payload: 'text', encryptedNonce: 'text', iv: 'text', encryptionAlgorithm: 'text' };

export const GENERATED_BYTES = 32;
const ROOT_KEY_SIZES: readonly number[] = [16, 24, 32];
const MAX_STANDARD_BYTES = 7500;

export interface GivenMaterial {
  readonly kind: 'bytes';
  readonly bytes: Buffer;
}

/** The material in `members`, or null when there is none; the caller wipes it. */
export const readMaterial = (
  context: Context,
  failed: string,
  members: Members,
  isStandard: boolean,
): GivenMaterial | Refusal | null => {
  if (isSecureImport(members)) {
    return isStandard
      ? badField(failed, 'encryptedNonce', 'import tokens are for root keys')
      : openSecureImport(context, failed, members);
  }
  if (members.payload === undefined) return null;
  const given = readBase64(failed, 'payload', members.payload);
  if (given.kind === 'refusal') return given;
  const size = given.bytes.length;
  if (isStandard ? size > 0 && size <= MAX_STANDARD_BYTES : ROOT_KEY_SIZES.includes(size)) return given;
  given.bytes.fill(0);
  return badField(failed, 'payload', isStandard ? '1 to 7500 bytes' : 'a root key has 16, 24 or 32 bytes');
};
