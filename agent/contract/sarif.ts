/**
 * Findings as SARIF 2.1.0 (OASIS Static Analysis Results Interchange Format), for code review tools.
 *
 * A finding inside a token has no line in the file: its region is where the token begins, as everywhere else, its
 * logical location is the path inside the section, and `properties.within` has line and column of the opened text.
 */
import { createHash } from 'node:crypto';
import type { Finding, Severity } from './types.ts';

const schema = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';

const levels: Readonly<Record<Severity, 'error' | 'warning' | 'note'>> = {
  error: 'error',
  warning: 'warning',
  note: 'note',
};

/** UNKNOWN_KEY → UnknownKey, as SARIF §3.49.7 wants names of rules. */
const pascal = (code: string): string =>
  code
    .toLowerCase()
    .split('_')
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('');

/** A path as an RFC 3986 reference, SARIF §3.4.3; standard input has a name of its own. */
const uriOf = (file: string): string =>
  file === '-'
    ? 'stdin'
    : file
        .split('/')
        .map(encodeURIComponent)
        .join('/')
        .replace(/^\/+/, (slashes) => `file://${slashes.slice(0, 1)}`);

/** Stays the same while lines move, so that a tool sees one fault once. */
const fingerprint = ({ code, path }: Finding): string => createHash('sha256').update(`${code}\n${path}`).digest('hex');

const resultOf = (found: Finding, ruleIndex: number, uri: string): unknown => {
  const { code, id, severity, path, line, column, within, message, hint } = found;
  const inside =
    within === null || (within.line === line && within.column === column)
      ? ''
      : ` (${within.section} line ${within.line}, column ${within.column})`;
  return {
    ruleId: code,
    ruleIndex,
    level: levels[severity],
    message: { text: `${path === '' ? '' : `${path}: `}${message}${inside}. ${hint}` },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri }, region: { startLine: line, startColumn: column } },
        ...(path === '' ? {} : { logicalLocations: [{ fullyQualifiedName: path, kind: 'member' }] }),
      },
    ],
    partialFingerprints: { 'contractPath/v1': fingerprint(found) },
    properties: { id, hint, ...(within === null ? {} : { within }) },
  };
};

/** One SARIF log for the findings about `file`. Columns count UTF-16 code units, as the findings do. */
export const sarifLog = (findings: readonly Finding[], file: string): unknown => {
  const codes = [...new Set(findings.map(({ code }) => code))].sort();
  const rules = codes.map((code) => {
    const { id, severity } = findings.find((found) => found.code === code) ?? { id: code, severity: 'error' as const };
    return { id: code, name: pascal(code), defaultConfiguration: { level: levels[severity] }, properties: { id } };
  });
  const uri = uriOf(file);
  return {
    $schema: schema,
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'triseed', rules } },
        columnKind: 'utf16CodeUnits',
        artifacts: [{ location: { uri } }],
        results: findings.map((found) => resultOf(found, codes.indexOf(found.code), uri)),
      },
    ],
  };
};
