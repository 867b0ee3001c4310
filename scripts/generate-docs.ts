/**
 * The parts of docs/ that are made from the program itself, and the one number that the program has from elsewhere, so
 * that they cannot drift:
 *
 *   agent/messages.ts            → docs/messages.md
 *   agent/keyd/grace.ts          → the marked part of docs/kms-outages.md
 *   fixtures/hpcr-codes.tsv      → docs/hpcr-codes.md
 *   contract-schema/agent.json   → docs/configuration.md
 *   agent/volumes/scenarios.ts, gate.ts, passphrase.ts → the marked parts of docs/volumes.md
 *   agent/keyd/machine.ts        → the marked part of docs/key-daemon.md
 *   package.json                 → agent/version.ts
 *
 * Pure apart from reading the hand-written half of docs/volumes.md; scripts/generate.ts writes or compares.
 */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Message, messages } from '../agent/messages.ts';
import { cipherName, keySizes, legacyCipherName } from '../agent/volumes/ciphers.ts';
import { ceilings, ourKdf } from '../agent/volumes/gate.ts';
import { luks1Hashes } from '../agent/volumes/luks1-gate.ts';
import { candidateSchemes } from '../agent/volumes/passphrase.ts';
import { type Facts, type Row, table } from '../agent/volumes/scenarios.ts';
import { usesSeed3 } from '../agent/volumes/token.ts';
import { hpcrCodesDocument } from './hpcr-codes.ts';
import { keydDiagrams } from './keyd-diagram.ts';
import { outageTable } from './kms-outages.ts';

const root = join(import.meta.dirname, '..');
const generated = (source: string): string => `<!-- Generated from ${source} by npm run generate. Do not edit. -->\n`;

/**
 * Facts that show themselves as `<name>`, whatever a message does with them, for its wording in a document.
 * Durations in milliseconds are a minute and a half, because they are worded by a function.
 */
export const sampleFacts = (name = 'facts'): never =>
  new Proxy(() => undefined, {
    get: (_target, property) => {
      if (property === Symbol.toPrimitive) return () => `<${name}>`;
      if (property === 'join' || property === 'toString') return () => `<${name}>`;
      if (property === 'filter' || property === 'map') return () => [];
      return String(property).endsWith('Ms')
        ? 90_000
        : sampleFacts(property === 'length' ? 'number' : String(property));
    },
  }) as never;

const sentence = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

const messageEntry = (name: string, { id, component, text, systemAction, userAction, exit }: Message<never>): string =>
  [
    `### ${id}`,
    '',
    `\`${name}\` · \`${component}\`${exit === undefined ? '' : ` · exit status ${exit}`}`,
    '',
    `\`${text(sampleFacts())}\``,
    '',
    `- State: ${sentence(systemAction)}`,
    ...(userAction === 'none' ? [] : [`- Do: ${sentence(userAction)}`]),
    '',
  ].join('\n');

/** In the order of a boot. An id belongs to the first area whose pattern fits. */
const areas: readonly (readonly [title: string, ids: RegExp])[] = [
  ['Command line, configuration, the guest as a whole', /^(TSD00|HPL10)/],
  ['Network and remote logging', /^(TSD01|HPL01|HPL14)/],
  ['Contract', /^(TSD05|TSD12|HPL05|HPL11|HPL12|HPL07015)/],
  ['Key management service', /^(TSD06|HPL0701[0-2])/],
  ['Volumes', /^(TSD07|HPL02|HPL07|HPL13)/],
  ['Workload', /^(TSD08|HPL08|HPL15)/],
  ['Key daemon', /^(TSD18|HPL18)/],
  ['Attestation', /^TSD11/],
];

const messagesDocument = (): string => {
  const all = Object.entries(messages as Readonly<Record<string, Message<never>>>);
  const areaOf = (id: string): number => areas.findIndex(([, ids]) => ids.test(id));
  const homeless = all.find(([, { id }]) => areaOf(id) < 0);
  if (homeless !== undefined) throw new Error(`${homeless[1].id} belongs to no area of docs/messages.md`);
  const parts = areas.map(([title], at) => {
    const mine = all.filter(([, { id }]) => areaOf(id) === at).sort(([, a], [, b]) => (a.id < b.id ? -1 : 1));
    return `## ${title}\n\n${mine.map(([name, entry]) => messageEntry(name, entry)).join('\n')}`;
  });
  return `${generated('agent/messages.ts')}
# Messages

Every line with an id that the agent prints or journals. The last letter is the severity: I information, W warning,
E error. Ids that begin with HPL are those of Hyper Protect Container Runtime and mean what they mean there; ids that
begin with TSD are ours. Number and letter together are the name: HPL07003I and HPL07003E are two messages.

Below an id: the name of the message in the code, the identifier it is journalled under (\`journalctl -t\`), and for
errors the exit status of a command that ends with it: 1 no (invalid, refused), 2 wrong usage, 3 could not find out or
do it. \`triseed boot\` and \`triseed keyd\` end with 1 for every error. Words in angle brackets are filled in; times are
examples, and parts that depend on the case are left out.

What \`triseed contract validate\` says about a contract carries the id of the error that a boot would end with, and a
rule name such as \`UNKNOWN_KEY\`; it explains itself where it is printed.

${parts.join('\n')}`;
};

interface Schema {
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
}

const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

const kindOf = (schema: Schema): string => {
  if (schema.enum !== undefined) return schema.enum.map(code).join(' or ');
  if (schema.items !== undefined) return `list: ${kindOf(schema.items)}`;
  if (typeof schema.additionalProperties === 'object') return `mapping: ${kindOf(schema.additionalProperties)}`;
  const range = schema.minimum === undefined ? '' : `, ${schema.minimum} to ${schema.maximum ?? 'any'}`;
  return `${[schema.type ?? 'any'].flat().join(' or ')}${range}`;
};

const fieldEntries = (schema: Schema, path: string): readonly string[] =>
  Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const here = path === '' ? name : `${path}.${name}`;
    if (field.type === 'object' && field.properties !== undefined && path === '')
      return [`## ${here}\n\n${field.description}.\n`, ...fieldEntries(field, here)];
    const top = path === '' ? '##' : '###';
    const parts = field.items?.properties ?? {};
    const choices = Object.entries(parts).map(
      ([part, { description, examples = [] }]) => `  - \`${part}\`: ${description}, such as ${code(examples[0])}`,
    );
    const example = field.examples?.[0];
    return [
      [
        `${top} ${here}`,
        '',
        `${field.description}.`,
        '',
        `- Type: ${kindOf(field)}`,
        ...(choices.length === 0 ? [] : ['- Each entry has exactly one of:', ...choices]),
        ...(field.default === undefined ? [] : [`- Default: ${code(field.default)}`]),
        ...(example === undefined || JSON.stringify(example) === JSON.stringify(field.default)
          ? []
          : [`- Example: ${code(example)}`]),
        '',
      ].join('\n'),
    ];
  });

const configurationDocument = async (): Promise<string> => {
  const schema = JSON.parse(await readFile(join(root, 'contract-schema/agent.json'), 'utf8')) as Schema;
  return `${generated('contract-schema/agent.json')}
# Agent configuration

\`/etc/triseed/agent.yaml\`, or what \`--config\` names. It belongs to the guest image, not to the deployer: measure it
with the image. Every field has a default, so an empty file is a valid one; unknown fields, wrong types and values
outside their range are refused with the line they stand on (TSD00003E), and nothing is touched then.

${fieldEntries(schema, '').join('\n')}`;
};

const conditionText = (row: Row, name: keyof Facts): string => {
  const condition = row.when[name];
  return condition === 'any' ? 'any' : condition.join(', ');
};

const outcomeText = ({ outcome }: Row): string => {
  if (outcome.kind === 'refuses') {
    const { id } = messages[outcome.refusal];
    return `refused: ${outcome.scenario}, [${id}](messages.md#${id.toLowerCase()})`;
  }
  const seeds = outcome.seeds === 2 ? 'two seeds' : 'three seeds';
  if (outcome.kind === 'opens') return `**${outcome.scenario}**: open with ${seeds}`;
  return `**${outcome.scenario}**: ${outcome.partitions ? 'partition, ' : ''}format with ${seeds}`;
};

const scenarioTable = (): string => {
  const columns = ['partitioning', 'seed', 'kms', 'target'] as const;
  const rows = table.map((row) => {
    const about = row.when.seedSource !== 'any' && row.when.seedSource.includes('other') ? '(any)' : null;
    const cells = columns.map((name) => about ?? conditionText(row, name));
    return `| ${[...cells, outcomeText(row)].join(' | ')} |`;
  });
  return ['| partitions | stored seed | kms entries | target | outcome |', '|---|---|---|---|---|', ...rows].join('\n');
};

/** What the setting `volumes.legacyProfiles` adds, by its values. */
const legacyTable = (): string => {
  const bits = (cipher: keyof typeof keySizes): string => keySizes[cipher].map((size) => size * 8).join(' or ');
  const iterations = ceilings.pbkdf2Iterations.toLocaleString('en');
  return [
    '| value | opens too |',
    '|---|---|',
    `| \`cbc-essiv\` | ${legacyCipherName} for data and keyslots, ${bits(legacyCipherName)}-bit key; all else as above |`,
    `| \`luks1\` | LUKS1 with ${cipherName}, ${bits(cipherName)}-bit key, or with ${legacyCipherName} when that is named too; ${luks1Hashes.join(', ')}; ${iterations} iterations |`,
  ].join('\n');
};

const profileTable = (): string => {
  const { argon2id, pbkdf2 } = ourKdf;
  const mebibytes = (kibibytes: number): string => `${kibibytes / 1024} MiB`;
  return [
    '| | what we format with | most that is opened |',
    '|---|---|---|',
    `| cipher of data and keyslots | ${cipherName}, 512-bit key | ${cipherName}, 256 or 512-bit key |`,
    '| sectors | 4096 bytes; 512 when the partition does not end on 4096 | 512 or 4096 bytes |',
    `| key derivation, two seeds | argon2id, ${mebibytes(argon2id.memoryKiB)}, time ${argon2id.time}, ${argon2id.cpus} thread | argon2id or argon2i, ${mebibytes(ceilings.argonMemoryKiB)}, time ${ceilings.argonTime}, ${ceilings.argonCpus} threads |`,
    `| key derivation, three seeds | PBKDF2-SHA256, ${pbkdf2.iterations} iterations | PBKDF2 with SHA-256 or SHA-512, ${ceilings.pbkdf2Iterations.toLocaleString('en')} iterations |`,
  ].join('\n');
};

const words: Readonly<Record<string, string>> = {
  'two-seed': 'hex(sha256(seed1 ‖ seed2))',
  interim: 'hex(sha256(hex(sha256(seed1 ‖ seed2)) ‖ seed3))',
  'interim-raw': 'hex(sha256(hex(sha256(seed1 ‖ seed2)) ‖ base64-decoded seed3))',
  flat: 'hex(sha256(seed1 ‖ seed2 ‖ seed3))',
  'flat-raw': 'hex(sha256(seed1 ‖ seed2 ‖ base64-decoded seed3))',
};

/** In the order in which they are tried. */
const schemeTable = (): string => {
  const schemes = [...candidateSchemes(false), ...candidateSchemes(true)];
  const rows = schemes.map((scheme) => {
    const base = scheme.replace(/-swapped$/, '');
    const formula = words[base];
    if (formula === undefined) throw new Error(`scheme ${scheme} has no words in generate-docs.ts`);
    const swapped = base === scheme ? '' : ', seed1 and seed2 exchanged';
    return `| \`${scheme}\` | ${usesSeed3(scheme) ? 3 : 2} | ${formula}${swapped} |`;
  });
  return ['| scheme | seeds | passphrase |', '|---|---|---|', ...rows].join('\n');
};

/** Replaces what stands between `<!-- name: … -->` and `<!-- end -->`. */
const filled = (text: string, parts: Readonly<Record<string, string>>): string =>
  Object.entries(parts).reduce((current, [name, part]) => {
    const marked = new RegExp(`(<!-- ${name}: [^>]*-->\\n)[\\s\\S]*?(<!-- end -->)`);
    if (!marked.test(current)) throw new Error(`a document has no part marked ${name}`);
    return current.replace(marked, (_whole, start: string, end: string) => `${start}\n${part}\n\n${end}`);
  }, text);

/** As `npm run format` leaves it, so that making and formatting do not take turns. */
const formatted = (path: string, text: string): string => {
  const biome = join(root, 'node_modules/.bin/biome');
  const result = spawnSync(biome, ['format', `--stdin-file-path=${path}`], {
    cwd: root,
    input: text,
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`${path} cannot be formatted: ${result.stderr}`);
  return result.stdout;
};

const versionModule = async (): Promise<string> => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string };
  return `/** Generated from package.json by npm run generate. Do not edit. */\nexport const version = '${version}';\n`;
};

/** Path from the root of the repository → text. */
export const documents = async (): Promise<Readonly<Record<string, string>>> => {
  const texts = {
    'agent/version.ts': await versionModule(),
    'docs/messages.md': messagesDocument(),
    'docs/kms-outages.md': filled(await readFile(join(root, 'docs/kms-outages.md'), 'utf8'), {
      outages: outageTable(),
    }),
    'docs/hpcr-codes.md': hpcrCodesDocument(generated('fixtures/hpcr-codes.tsv')),
    'docs/configuration.md': await configurationDocument(),
    'docs/volumes.md': filled(await readFile(join(root, 'docs/volumes.md'), 'utf8'), {
      schemes: schemeTable(),
      scenarios: scenarioTable(),
      profiles: profileTable(),
      legacy: legacyTable(),
    }),
    'docs/key-daemon.md': filled(await readFile(join(root, 'docs/key-daemon.md'), 'utf8'), { machine: keydDiagrams() }),
  };
  return Object.fromEntries(Object.entries(texts).map(([path, text]) => [path, formatted(path, text)]));
};
