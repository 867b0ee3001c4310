/**
 * Mistakes that samples of documentation lead to, explained by what was meant. A lint never makes a contract
 * invalid: it takes the place of errors that are there already and that follow from the mistake.
 */

import { type FindingDetail, finding, type ParsedGround, reworded } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import { isSameData } from './same-data.ts';
import {
  backendFields,
  backends,
  indentMistakes,
  isBelow,
  listed,
  rendered,
  structural,
  valueAt,
} from './sample-lint-indent.ts';
import { type Linted, type Mistake, textMistakes } from './sample-lint-text.ts';
import { printable } from './shown-name.ts';
import { isMapping, parseStrictYaml } from './strict-yaml.ts';
import type { Finding, SectionName } from './types.ts';
import { mappingAt, volumesOf } from './volume-rules.ts';

const sectionKeys: readonly string[] = [
  'type',
  'logging',
  ...backends,
  ...backendFields,
  'volumes',
  'auths',
  'compose',
  'play',
  'archive',
  'images',
  'cacerts',
  'signingKey',
  'confidential-containers',
];

const folded = (linted: Linted, name: SectionName, errors: readonly Finding[]): Mistake | null => {
  const { delivered } = linted;
  const text = delivered?.ground.text ?? '';
  const place = delivered?.ground.document.places.find(({ path }) => path.length === 1 && path[0] === name);
  if (delivered === null || place === undefined || text[place.start] !== '>') return null;
  const explained = errors.filter((found) => isBelow(found.path, name) && structural.has(found.code));
  const lines = text.slice(place.start, place.end).split(/\r?\n/).slice(1);
  const indent = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  const meant = parseStrictYaml(lines.map((line) => line.slice(indent)).join('\n'));
  const now = linted.sections[name]?.document.value;
  // Folding that changes nothing explains nothing.
  if (explained.length === 0 || (meant.kind === 'parsed' && isSameData(meant.document.value, now))) return null;
  const message = `">" joins the lines below into one, so the section is no longer what it looks like`;
  const hint = `type "${name}: |" with a pipe sign`;
  return { explained, said: finding('SECTION_FOLDED', delivered.ground, [name], { message, hint }) };
};

/** Keys of a section that stand at the left margin, outside of it. */
const outside = ({ delivered, sections }: Linted, name: SectionName, errors: readonly Finding[]): Mistake | null => {
  if (delivered === null) return null;
  const keys = Object.keys(delivered.root);
  const after = keys.slice(keys.indexOf(name) + 1);
  const end = after.findIndex((key) => !sectionKeys.includes(key.trim()));
  const strays = end === -1 ? after : after.slice(0, end);
  const [first] = strays;
  if (first === undefined || !(name in delivered.root)) return null;
  const value = sections[name]?.document.value;
  const explained = errors.filter((found) => isBelow(found.path, name) && structural.has(found.code));
  const here = isMapping(value) ? Object.keys(value) : [];
  if (explained.length === 0 || strays.every((key) => here.includes(key))) return null;
  const message = `${listed(strays)} ${strays.length === 1 ? 'stands' : 'stand'} beside ${name}, not inside it`;
  const hint = `indent the lines from here on, so that they stand below "${name}: |":\n${name}: |\n  type: ${name}`;
  return { explained, said: finding('SECTION_ENDS_EARLY', delivered.ground, [first], { message, hint }, 'key') };
};

const fourDashes =
  /-----END [A-Z0-9 ]+-{1,4}(?!-)|-----BEGIN [A-Z0-9 ]+-{1,4}(?!-)|(?<!-)-{1,4}(?:BEGIN|END) [A-Z0-9 ]+-----/;
const curly = /^[\u201c\u201d\u2018\u2019\u00ab]|[\u201c\u201d\u2018\u2019\u00bb]$/;

/** What a copied value looks like, told at the error that it causes. */
const copiedValues = (ground: ParsedGround, errors: readonly Finding[]): readonly Mistake[] =>
  (errors.length === 0 ? [] : ground.document.places)
    .filter(({ isScalar }) => isScalar)
    .flatMap(({ path }) => {
      const here = rendered(ground.section, path)
        .replace(/^\./, '')
        .replace(/\.(\d+)(?=\.|$)/g, '[$1]');
      const explained = errors.filter((found) => found.path === here);
      const [first] = explained;
      const value = valueAt(ground.document.value, path);
      if (first === undefined || typeof value !== 'string') return [];
      const say = (code: FindingCode, detail: FindingDetail): readonly Mistake[] => [
        { explained, said: reworded(first, code, detail) },
      ];
      if (fourDashes.test(value)) {
        const message = 'a BEGIN or END line of this PEM text has four dashes at one side, as a published sample has';
        return say('PEM_DASHES', {
          message,
          hint: 'type five: -----BEGIN PUBLIC KEY----- and -----END PUBLIC KEY-----',
        });
      }
      if (curly.test(value)) {
        const message =
          'the value begins or ends with a typographic quotation mark, which YAML does not read as a quote';
        return say('COPIED_TEXT', { message, hint: `type " or ' instead` });
      }
      return [];
    });

/** `/mnt/data/` is one path to a shell and none to the schema. */
const untidyMounts = (ground: ParsedGround, errors: readonly Finding[]): readonly Mistake[] =>
  Object.entries(volumesOf(ground)).flatMap(([key, volume]) => {
    const { mount } = mappingAt(volume);
    const here = rendered(ground.section, ['volumes', key, 'mount']);
    const explained = errors.filter(({ code, path }) => path === here && code === 'WRONG_PATTERN');
    const [first] = explained;
    if (typeof mount !== 'string' || first === undefined || !mount.startsWith('/')) return [];
    const tidy = mount.replace(/\/{2,}/g, '/').replace(/\/$/, '');
    if (tidy === mount || tidy === '') return [];
    const message = 'a mount path has no slash at its end and no two in a row';
    return [{ explained, said: reworded(first, 'WRONG_PATTERN', { message, hint: `type ${printable(tidy)}` }) }];
  });

/** The findings, with errors that follow from a well-known mistake replaced by what was meant. */
export const explainMistakes = (linted: Linted): readonly Finding[] => {
  let findings = linted.findings;
  const apply = (find: (errors: readonly Finding[]) => readonly (Mistake | null)[]): void => {
    for (const mistake of find(findings.filter(({ severity }) => severity === 'error'))) {
      if (mistake === null) continue;
      const still = mistake.explained.filter((found) => findings.includes(found));
      const [first] = still;
      if (first === undefined) continue;
      findings = findings.flatMap((found) => (found === first ? [mistake.said] : still.includes(found) ? [] : [found]));
    }
  };
  for (const name of ['workload', 'env'] as const) apply((errors) => [folded(linted, name, errors)]);
  apply((errors) => textMistakes(linted, errors));
  for (const name of ['workload', 'env'] as const) {
    apply((errors) => [outside(linted, name, errors)]);
    const ground = linted.sections[name];
    if (ground === null) continue;
    apply((errors) => copiedValues(ground, errors));
    apply((errors) => untidyMounts(ground, errors));
    for (const find of indentMistakes) apply((errors) => find(ground, errors));
  }
  const outer = linted.delivered?.ground;
  if (outer !== undefined) apply((errors) => copiedValues(outer, errors));
  return findings;
};
