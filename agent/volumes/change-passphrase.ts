/**
 * A new passphrase for a volume that exists: rolling a seed, or a third seed joining two. cryptsetup works on H alone;
 * what comes out is one header to commit, with one keyslot and our token. The volume key stays, so a copy of the old
 * header still opens with the old seeds (docs/volumes.md, "What re-keying does not do").
 */
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { Secret } from '../secret.ts';
import * as commands from './commands.ts';
import { type GatedHeader, legacyOf } from './gate.ts';
import type { HeaderOnDevice } from './header-commit.ts';
import { readHeaderFile, withToken, writeHeaderFile } from './header-file.ts';
import { gateImage, type NewHeader, salts, tokenFor } from './make-header.ts';
import type { Plan, Step } from './plan.ts';
import type { Proof } from './prove.ts';
import { canonicalJson, type Json } from './strict-json.ts';

type Fields = { readonly [name: string]: Json };

/** The parts of a header that say which data key there is and what it encrypts. */
const essence = ({ copy: { json } }: GatedHeader): string => {
  const digests = Object.entries((json.digests ?? {}) as Fields).map(([id, digest]) => {
    const { keyslots: _, ...others } = digest as Fields;
    return [id, others] as const;
  });
  return canonicalJson({ segments: json.segments ?? null, digests: Object.fromEntries(digests) });
};

export interface ChangedHeader extends NewHeader {
  readonly keyslot: string;
  /** Keyslots that are no longer there. */
  readonly removed: readonly string[];
}

/**
 * Changes H so that `proof.renewal` opens the volume and nothing else does, and leaves it in H. The disk is not touched.
 * Throws LUKS_PASSWORD_CHANGE_FAILED.
 */
export const changePassphrase = async (
  host: Host,
  given: {
    readonly plan: Plan;
    readonly proof: Proof;
    readonly step: Extract<Step, { do: 'change-passphrase' }>;
    readonly present: HeaderOnDevice;
    readonly gated: GatedHeader;
    readonly device: string;
  },
): Promise<ChangedHeader> => {
  const { plan, proof, step, present, gated, device } = given;
  const fail = (detail: string): AgentError =>
    new AgentError('LUKS_PASSWORD_CHANGE_FAILED', { volume: plan.volume, detail });
  const { renewal } = proof;
  if (renewal === null) throw new TypeError('the plan changes a passphrase that is the right one already');
  const header = proof.headerFile;
  const sizeBytes = gated.segment.offsetBytes;
  const legacy = legacyOf(gated);
  // Without our token, which would name a keyslot that is about to go.
  const bare = withToken(present.image, gated.copy, null, salts(host));
  if (bare === null) throw fail('the header cannot be written anew');
  await writeHeaderFile(host, header, sizeBytes, bare);

  const must = async (command: Parameters<Host['run']>[0]): Promise<void> => {
    const result = await host.run(command);
    if (result.exit !== 0) throw fail(`cryptsetup ${command.args[0]} ${commands.complaintOf(result)}`);
  };
  const both = Secret.join([proof.passphrase, renewal.passphrase]);
  try {
    await must(commands.luksAddKey({ header, device, kdf: step.kdf }, both, proof.passphrase.length));
  } finally {
    both.wipe();
  }
  const removed = gated.keyslots.map(({ id }) => id);
  for (const keyslot of removed) await must(commands.luksKillSlot({ header, device, keyslot }, renewal.passphrase));

  const made = await readHeaderFile(host, header);
  try {
    if (made.header.kind !== 'luks2') throw fail('cryptsetup left no LUKS2 header');
    const { current } = made.header;
    const untokened = { primary: Buffer.alloc(0), secondary: Buffer.alloc(0), areas: [] };
    const plain = withToken(untokened, current, null, salts(host));
    const slots = plain === null ? 'it does not fit' : await gateImage(plain, sizeBytes, legacy);
    if (typeof slots === 'string') throw fail(slots);
    const [slot, ...others] = slots.keyslots;
    if (slot === undefined || others.length > 0) throw fail('not exactly one keyslot is left');
    if (essence(slots) !== essence(gated)) throw fail('the data key or what it encrypts changed on the way');
    const token = tokenFor(slots, plan, { ...proof, scheme: renewal.scheme }, slot.id);
    const areas = await made.areasOf(slots);
    const image = withToken({ ...untokened, areas }, current, token, salts(host));
    const again =
      image === null ? 'the wrapped seed does not fit into the header' : await gateImage(image, sizeBytes, legacy);
    if (image === null || typeof again === 'string') throw fail(String(again));
    await writeHeaderFile(host, header, sizeBytes, image);
    await must(commands.luksOpen({ header, device, name: null, keyslot: slot.id }, renewal.passphrase));
    return { gated: again, image, keyslot: slot.id, removed };
  } finally {
    await made.close();
  }
};
