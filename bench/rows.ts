/** What is measured. Each row compares the agent with the least that could do the same work. */
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  pbkdf2Sync,
  privateDecrypt,
  verify,
} from 'node:crypto';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decryptContract } from '../agent/contract/decrypt.ts';
import { parseToken } from '../agent/contract/envelope.ts';
import { validateContract } from '../agent/contract/validate.ts';
import { verifyContract } from '../agent/contract/verify.ts';
import { runCommand } from '../agent/host/exec.ts';
import { Secret } from '../agent/secret.ts';
import { luksFormat } from '../agent/volumes/commands.ts';
import { gateHeader } from '../agent/volumes/gate.ts';
import { readLuksHeader } from '../agent/volumes/luks-header.ts';
import { contractRows } from './contract-rows.ts';
import type { Row } from './measure.ts';
import type { Shipped } from './shipped.ts';
import { startRows } from './start-rows.ts';

const root = join(import.meta.dirname, '..');
const fixture = (path: string): string => join(root, 'fixtures', path);

const sealedPath = fixture('contracts/sealed/signed.yaml');
const guestKeyPath = fixture('keys/THROWAWAY-guest-key.pem');
const signerPath = fixture('keys/THROWAWAY-signer.pub');

export interface Repetitions {
  /** For rows that start processes. */
  readonly processes: number;
  /** For rows within this process. */
  readonly functions: number;
  readonly calls: number;
}

const parts = (): { readonly workload: string; readonly env: string; readonly signature: Buffer } => {
  const text = readFileSync(sealedPath, 'utf8');
  const value = (name: string): string => new RegExp(`^${name}: (\\S+)$`, 'm').exec(text)?.[1] ?? '';
  return {
    workload: value('workload'),
    env: value('env'),
    signature: Buffer.from(value('envWorkloadSignature'), 'base64'),
  };
};

const againstPrimitives = ({ functions }: Repetitions): Row => {
  const bytes = readFileSync(sealedPath);
  const pem = readFileSync(guestKeyPath);
  const privateKey = createPrivateKey(pem);
  const signer = createPublicKey(readFileSync(signerPath));
  const { workload, env, signature } = parts();
  const tokens = [workload, env].map((text) => parseToken(text));
  const at = new Date();
  return {
    name: 'open, verify and validate a contract, in process',
    subject: 'decryptContract → verifyContract → validateContract',
    baseline: 'only its cryptography: two RSA-4096 decryptions, two PBKDF2, one signature check',
    repetitions: functions,
    calls: 1,
    measured: async () => {
      const key = Secret.take(Buffer.from(pem));
      const opened = decryptContract({ kind: 'sealed', bytes, source: 'bench', localHostname: null }, key);
      key.wipe();
      validateContract(verifyContract(opened, { trustedSigners: [], at }), { profile: 'hpvs', minimumSerial: 0 });
    },
    compared: async () => {
      for (const token of tokens) {
        if (token === null) throw new TypeError('the fixture holds no token');
        const passphrase = privateDecrypt(
          { key: privateKey, padding: constants.RSA_PKCS1_PADDING },
          token.wrappedPassphrase,
        );
        pbkdf2Sync(passphrase, token.salt, 10_000, 48, 'sha256');
      }
      if (!verify('sha256', Buffer.from(workload + env), signer, signature)) throw new TypeError('not the signature');
    },
  };
};

const gate = async ({ functions, calls }: Repetitions, folder: string): Promise<readonly Row[]> => {
  if (!existsSync('/usr/sbin/cryptsetup')) return [];
  const [header, device] = [join(folder, 'header'), join(folder, 'device')];
  writeFileSync(device, '');
  truncateSync(device, 64 * 1024 * 1024);
  const passphrase = Secret.fromText('0'.repeat(64));
  const luksUuid = '11111111-2222-4333-8444-555555555555';
  const made = await runCommand(luksFormat({ header, device, luksUuid, sectorBytes: 4096, kdf: 'pbkdf2' }, passphrase));
  if (made.exit !== 0) throw new Error(`cryptsetup: ${made.stderr}`);
  const bytes = readFileSync(header);
  const read = async (offset: number, length: number): Promise<Buffer> => bytes.subarray(offset, offset + length);
  const area = bytes.subarray(0, 32_768);
  const json = area.subarray(4096, area.indexOf(0, 4096));
  return [
    {
      name: 'header gate',
      subject: 'reading and gating one LUKS2 header, both copies',
      baseline: 'SHA-256 of both copies and JSON.parse of one',
      repetitions: functions,
      calls,
      measured: async () => {
        const found = await readLuksHeader(read, bytes.length);
        if (found.kind !== 'luks2' || gateHeader(found.current).kind !== 'passed') throw new Error('not passed');
      },
      compared: async () => {
        for (const start of [0, 16_384])
          createHash('sha256')
            .update(area.subarray(start, start + 16_384))
            .digest();
        JSON.parse(json.toString('utf8'));
      },
    },
  ];
};

/** All rows that need neither guest nor daemon. `folder` is for their files. */
export const rows = async (repetitions: Repetitions, folder: string, shipped: Shipped): Promise<readonly Row[]> => [
  ...startRows(repetitions, folder, shipped),
  againstPrimitives(repetitions),
  ...(await contractRows(repetitions, folder, shipped)),
  ...(await gate(repetitions, folder)),
];
