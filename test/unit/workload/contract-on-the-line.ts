/** A contract that went through every step of the line, and the bytes it came as. */
import { decryptContract } from '../../../agent/contract/decrypt.ts';
import type { Contract, SealedContract } from '../../../agent/contract/types.ts';
import { validateContract } from '../../../agent/contract/validate.ts';
import { verifyContract } from '../../../agent/contract/verify.ts';

export interface OnTheLine {
  readonly contract: Contract;
  readonly sealed: SealedContract;
}

/** `outer` are further lines of the contract itself. */
export const onTheLine = (
  workload: string,
  env: string,
  given: { readonly outer?: string; readonly cidata?: SealedContract['cidata']; readonly minimumSerial?: number } = {},
): OnTheLine => {
  const indented = (text: string): string => text.replace(/^(?=.)/gm, '  ');
  const bytes = Buffer.from(`workload: |\n${indented(workload)}env: |\n${indented(env)}${given.outer ?? ''}`);
  const cidata = given.cidata === undefined ? {} : { cidata: given.cidata };
  const sealed: SealedContract = { kind: 'sealed', bytes, source: 'test', localHostname: null, ...cidata };
  const verified = verifyContract(decryptContract(sealed, null), {
    trustedSigners: [],
    at: new Date('2026-11-21T00:00:00Z'),
  });
  const { minimumSerial = 0 } = given;
  return { sealed, contract: validateContract(verified, { profile: 'hpvs', minimumSerial }) };
};

export const plainEnv = 'type: env\nlogging: { logRouter: { hostname: logs.example.com, iamApiKey: log-api-key-1 } }\n';
