/** The contract document as delivered: its sections found and bounded, nothing decrypted yet. */
import { contract as validateOuter } from '../../contract-schema/generated/contract-validators.js';
import { isToken, parseToken } from './envelope.ts';
import { finding, hasErrors, type ParsedGround } from './finding.ts';
import { parseGround, parseGroundBytes, type Reading } from './parse-ground.ts';
import { schemaFindings } from './schema-findings.ts';
import type { SectionForm } from './section.ts';
import { isMapping, positionOf, type StrictDocument, type YamlMapping, type YamlPlace } from './strict-yaml.ts';
import type { Finding, SectionName } from './types.ts';

/** Whole contract, in bytes. */
export const maximumContractBytes = 4 * 1024 * 1024;

export interface DeliveredSection {
  readonly name: SectionName;
  readonly form: SectionForm;
  /** The value as it stands, see OpenedSection. */
  readonly text: string;
}

export interface DeliveredContract {
  readonly ground: ParsedGround;
  readonly root: YamlMapping;
  readonly sections: Readonly<Record<SectionName, DeliveredSection>>;
  readonly attestationPublicKey: string | null;
  readonly envWorkloadSignature: string | null;
  /** Warnings and notes. */
  readonly findings: readonly Finding[];
}

export const sectionNames: readonly SectionName[] = ['workload', 'env'];

const asMapping = (read: Reading<ParsedGround>): Reading<ParsedGround> => {
  if (read.kind === 'refused' || isMapping(read.value.document.value)) return read;
  const { section } = read.value;
  const detail =
    section === null
      ? { message: 'the document is no YAML mapping', hint: 'a contract is a mapping with the keys workload and env' }
      : { message: 'the section holds no YAML mapping', hint: `a section is a mapping; begin with type: ${section}` };
  return { kind: 'refused', findings: [finding('NOT_A_MAPPING', read.value, [], detail)] };
};

/** The document that `bytes` hold: a whole contract, or with `section` that section's own document. */
export const readDocument = (bytes: Uint8Array, section: SectionName | null): Reading<ParsedGround> =>
  asMapping(parseGroundBytes(bytes, section));

const placeOf = (document: StrictDocument, key: string): YamlPlace | undefined =>
  document.places.find(({ path }) => path.length === 1 && path[0] === key);

const sectionOf = ({ document }: ParsedGround, root: YamlMapping, name: SectionName): DeliveredSection => {
  const value = root[name];
  if (typeof value === 'string') return { name, form: isToken(value) ? 'token' : 'text', text: value };
  const place = placeOf(document, name);
  return { name, form: 'nested', text: document.text.slice(place?.start ?? 0, place?.end ?? 0) };
};

/** Reads the outer contract. All faults of the outer document come back as findings, nothing is thrown. */
export const readDelivered = (bytes: Uint8Array): Reading<DeliveredContract> => {
  const read = readDocument(bytes, null);
  if (read.kind === 'refused') return read;
  const ground = read.value;
  const root = ground.document.value as YamlMapping;
  const errors = schemaFindings(validateOuter, ground, root);
  if (hasErrors(errors)) return { kind: 'refused', findings: errors };
  const sections = { workload: sectionOf(ground, root, 'workload'), env: sectionOf(ground, root, 'env') };
  const findings: Finding[] = [];
  for (const name of [...sectionNames, 'attestationPublicKey'] as const) {
    const value = root[name];
    if (typeof value === 'string' && isToken(value) && parseToken(value) === null) {
      const message = 'the token is damaged: it is not PREFIX.BASE64.BASE64 around an openssl container';
      const hint = 'copy the token again, whole and on one line';
      return { kind: 'refused', findings: [finding('TOKEN_MALFORMED', ground, [name], { message, hint })] };
    }
    if (isMapping(value)) {
      const message = 'the section is a mapping inside the contract, not a string';
      const hint = `write "${name}: |" so that other runtimes read it, too, and a signature can cover it`;
      findings.push(finding('SECTION_NESTED', ground, [name], { message, hint }, 'key'));
    }
  }
  const text = (key: string): string | null => (typeof root[key] === 'string' ? root[key] : null);
  return {
    kind: 'read',
    value: {
      ground,
      root,
      sections,
      attestationPublicKey: text('attestationPublicKey'),
      envWorkloadSignature: text('envWorkloadSignature'),
      findings,
    },
  };
};

/**
 * The ground of a section's own text. Lines of a `|` block scalar map one to one to lines of the contract; of any
 * other style (token, quoted, folded) every position maps to where the value begins.
 */
export const sectionGround = (
  { ground, sections }: DeliveredContract,
  name: SectionName,
  opened: string,
): Reading<ParsedGround> => {
  const { form } = sections[name];
  const outer = ground.text;
  const place = placeOf(ground.document, name);
  const start = place?.start ?? 0;
  if (form === 'nested') return { kind: 'read', value: nestedGround(ground, name) };
  const beginning = positionOf(outer, start);
  if (form === 'token' || place?.style !== 'literal') {
    return asMapping(parseGround(opened, name, () => beginning));
  }
  // Most sections have nothing to point at.
  let lines: { readonly inner: readonly string[]; readonly outer: readonly string[] } | null = null;
  const toDelivered = (offset: number): { readonly line: number; readonly column: number } => {
    lines ??= { inner: opened.split('\n'), outer: outer.split(/\r?\n/) };
    const { line, column } = positionOf(opened, offset);
    const inner = lines.inner[line - 1] ?? '';
    // The scalar's first line follows the line that holds the pipe sign.
    const delivered = lines.outer[beginning.line - 1 + line];
    // A block scalar ends with a line break, even where the document does not.
    if (delivered === undefined) return { line: lines.outer.length, column: (lines.outer.at(-1) ?? '').length + 1 };
    return { line: beginning.line + line, column: column + Math.max(0, delivered.length - inner.length) };
  };
  return asMapping(parseGround(opened, name, toDelivered));
};

const nestedGround = (ground: ParsedGround, name: SectionName): ParsedGround => {
  const root = ground.document.value as YamlMapping;
  const places = ground.document.places
    .filter(({ path }) => path[0] === name)
    .map((place) => ({ ...place, path: place.path.slice(1) }));
  // One line may hold both sections.
  const foreign = ground.document.places.filter(({ path, isScalar }) => isScalar && path[0] !== name);
  return { ...ground, foreign, section: name, document: { text: ground.text, value: root[name] ?? null, places } };
};
