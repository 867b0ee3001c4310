/** New headers: formatted by cryptsetup in H, or an adopted one, each with our token, gated again before anything uses it. */
import type { LegacyProfile } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { complaintOf, headerBytes, luksFormat } from './commands.ts';
import { type GatedHeader, gateHeader, legacyOf } from './gate.ts';
import type { HeaderImage, HeaderOnDevice } from './header-commit.ts';
import { readHeaderFile, withToken, writeHeaderFile } from './header-file.ts';
import { readLuksHeader } from './luks-header.ts';
import type { Plan, Step } from './plan.ts';
import { bindingOf, type Proof } from './prove.ts';
import { macOf, type VolumeToken } from './token.ts';

export interface NewHeader {
  readonly gated: GatedHeader;
  readonly image: HeaderImage;
}

/** Our token for a gated header, keyed by seed3 when there is one. */
export const tokenFor = (gated: GatedHeader, plan: Plan, proof: Proof, keyslot: string): VolumeToken => {
  const { obtained, scheme } = proof;
  const base = { volume: plan.volume, scheme, keyslot };
  if (obtained === null) return { ...base, stored: null };
  const mac = macOf(obtained.seed3, bindingOf(gated, plan, scheme));
  return { ...base, stored: { wrapped: obtained.wrapped, keyVersion: obtained.keyVersion, mac } };
};

export const salts = (host: Host): readonly [Buffer, Buffer] => [host.entropy.bytes(64), host.entropy.bytes(64)];

/** Gates an image anew, so that what is opened and committed is what was judged. `legacy` as for the header it was made of. */
export const gateImage = async (
  image: HeaderImage,
  sizeBytes: number,
  legacy: readonly LegacyProfile[] = [],
): Promise<GatedHeader | string> => {
  const area = Buffer.concat([image.primary, image.secondary]);
  const read = async (offset: number, length: number): Promise<Buffer> => area.subarray(offset, offset + length);
  const found = await readLuksHeader(read, Math.min(area.length, sizeBytes));
  if (found.kind !== 'luks2') return 'the new header cannot be read back';
  const gate = gateHeader(found.current, legacy);
  return gate.kind === 'passed' ? gate.header : gate.reason;
};

/** Formats in H, puts our token in, gates the result and leaves it in H. Throws LUKS_FORMAT_FAILED. */
export const formatHeader = async (
  host: Host,
  given: {
    readonly plan: Plan;
    readonly proof: Proof;
    readonly step: Extract<Step, { do: 'format' }>;
    readonly device: string;
  },
): Promise<NewHeader> => {
  const { plan, proof, step, device } = given;
  const fail = (detail: string): AgentError => new AgentError('LUKS_FORMAT_FAILED', { volume: plan.volume, detail });
  const file = proof.headerFile;
  await host.files.remove(file);
  const { luksUuid, sectorBytes, kdf } = step;
  const result = await host.run(luksFormat({ header: file, device, luksUuid, sectorBytes, kdf }, proof.passphrase));
  if (result.exit !== 0) throw fail(`cryptsetup ${complaintOf(result)}`);
  const made = await readHeaderFile(host, file);
  try {
    if (made.header.kind !== 'luks2') throw fail('cryptsetup left no LUKS2 header');
    const bare = gateHeader(made.header.current);
    if (bare.kind === 'refused') throw fail(bare.reason);
    const [slot] = bare.header.keyslots;
    if (slot === undefined) throw fail('cryptsetup left no keyslot');
    const areas = await made.areasOf(bare.header);
    const image = { primary: Buffer.alloc(0), secondary: Buffer.alloc(0), areas };
    const token = tokenFor(bare.header, plan, proof, slot.id);
    const tokened = withToken(image, bare.header.copy, token, salts(host));
    if (tokened === null) throw fail('the wrapped seed does not fit into the header');
    const gated = await gateImage(tokened, headerBytes.total);
    if (typeof gated === 'string') throw fail(gated);
    if (gated.profile !== 'triseed') throw fail('the new header is not of our profile');
    await writeHeaderFile(host, file, headerBytes.total, tokened);
    return { gated, image: tokened };
  } finally {
    await made.close();
  }
};

/** Puts our token into a header made elsewhere that passed the gate and was opened with proven seeds. */
export const adoptHeader = async (
  host: Host,
  given: {
    readonly plan: Plan;
    readonly proof: Proof;
    readonly present: HeaderOnDevice;
    readonly gated: GatedHeader;
  },
): Promise<NewHeader> => {
  const { plan, proof, present, gated } = given;
  const fail = (detail: string): AgentError => new AgentError('VOLUME_COMMIT_FAILED', { volume: plan.volume, detail });
  const [slot, ...others] = gated.keyslots;
  if (slot === undefined || others.length > 0) throw fail('a volume made elsewhere must have exactly one keyslot');
  const token = tokenFor(gated, plan, proof, slot.id);
  const image = withToken(present.image, gated.copy, token, salts(host));
  if (image === null) throw fail('the wrapped seed does not fit into the header');
  const again = await gateImage(image, gated.segment.offsetBytes, legacyOf(gated));
  if (typeof again === 'string') throw fail(again);
  await writeHeaderFile(host, proof.headerFile, gated.segment.offsetBytes, image);
  return { gated: again, image };
};
