/** The SARIF log has the shape that the standard asks for, whatever is found. Sections are those of SARIF 2.1.0. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import t from 'tap';
import { checkContract } from '../../../agent/contract/check.ts';
import { sarifLog } from '../../../agent/contract/sarif.ts';
import type { Finding, Profile } from '../../../agent/contract/types.ts';

const text = { type: 'object', required: ['text'], properties: { text: { type: 'string', minLength: 1 } } };
const level = { enum: ['none', 'note', 'warning', 'error'] };
const whole = { type: 'integer', minimum: 1 };
const bag = { type: 'object' };
const location = {
  type: 'object',
  required: ['uri'],
  additionalProperties: false,
  properties: { uri: { type: 'string', pattern: "^[A-Za-z0-9._~!$&'()*+,;=:@%/-]+$" } },
};

/** What the standard says about the members that are used; others are refused, so that none is misspelt. */
const shape = {
  type: 'object',
  required: ['version', 'runs'],
  additionalProperties: false,
  properties: {
    $schema: { type: 'string', pattern: '^https://' },
    version: { const: '2.1.0' }, // §3.13.2
    runs: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['tool', 'results'], // §3.14.6, §3.14.23
        additionalProperties: false,
        properties: {
          columnKind: { enum: ['utf16CodeUnits', 'unicodeCodePoints'] }, // §3.14.17
          artifacts: {
            type: 'array',
            items: { type: 'object', additionalProperties: false, properties: { location } },
          },
          tool: {
            type: 'object',
            required: ['driver'], // §3.18.2
            additionalProperties: false,
            properties: {
              driver: {
                type: 'object',
                required: ['name'], // §3.19.8
                additionalProperties: false,
                properties: {
                  name: { type: 'string', minLength: 1 },
                  rules: {
                    type: 'array',
                    uniqueItems: true,
                    items: {
                      type: 'object',
                      required: ['id'], // §3.49.3
                      additionalProperties: false,
                      properties: {
                        id: { type: 'string' },
                        name: { type: 'string', pattern: '^[A-Z][A-Za-z0-9]*$' },
                        defaultConfiguration: { type: 'object', properties: { level } },
                        properties: bag,
                      },
                    },
                  },
                },
              },
            },
          },
          results: {
            type: 'array',
            items: {
              type: 'object',
              required: ['message', 'ruleId', 'locations'], // §3.27.11
              additionalProperties: false,
              properties: {
                ruleId: { type: 'string' },
                ruleIndex: { type: 'integer', minimum: 0 },
                level,
                message: text,
                partialFingerprints: { type: 'object', additionalProperties: { type: 'string' } },
                properties: bag,
                locations: {
                  type: 'array',
                  minItems: 1,
                  items: {
                    type: 'object',
                    additionalProperties: false,
                    properties: {
                      physicalLocation: {
                        type: 'object',
                        required: ['artifactLocation'], // §3.29.3
                        additionalProperties: false,
                        properties: {
                          artifactLocation: location,
                          region: {
                            type: 'object',
                            additionalProperties: false,
                            properties: { startLine: whole, startColumn: whole }, // §3.30.5, §3.30.6
                          },
                        },
                      },
                      logicalLocations: {
                        type: 'array',
                        items: {
                          type: 'object',
                          additionalProperties: false,
                          properties: {
                            fullyQualifiedName: { type: 'string', minLength: 1 },
                            kind: { type: 'string' },
                          },
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};
const isSarif = new Ajv2020({ strict: false }).compile(shape);

interface Log {
  readonly runs: readonly [
    {
      readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
      readonly results: readonly {
        readonly ruleId: string;
        readonly ruleIndex: number;
        readonly level: string;
        readonly message: { readonly text: string };
        readonly partialFingerprints: Readonly<Record<string, string>>;
        readonly properties: { readonly within?: unknown };
        readonly locations: readonly [
          {
            readonly physicalLocation: {
              readonly artifactLocation: { uri: string };
              readonly region: { startLine: number };
            };
          },
        ];
      }[];
    },
  ];
}

const folder = join(import.meta.dirname, '../../../fixtures/contracts/invalid');
const check = async (bytes: Buffer, profile: Profile = 'hpvs'): Promise<readonly Finding[]> =>
  checkContract(bytes, { profile, minimumSerial: 0, key: null }).findings;
const logOf = (findings: readonly Finding[], file: string): Log => sarifLog(findings, file) as Log;

t.test('every invalid contract gives a log of the right shape', async (t) => {
  for (const name of readdirSync(folder)) {
    const findings = await check(readFileSync(join(folder, name)));
    const log = logOf(findings, name);
    t.ok(isSarif(log), `${name}: ${JSON.stringify(isSarif.errors)}`);
    const [run] = log.runs;
    t.equal(run.results.length, findings.length, name);
    for (const [index, result] of run.results.entries()) {
      t.equal(run.tool.driver.rules[result.ruleIndex]?.id, result.ruleId, `${name}: the rule it names`);
      t.equal(result.locations[0].physicalLocation.region.startLine, findings[index]?.line, name);
      t.equal(result.level, findings[index]?.severity, name);
    }
  }
  t.ok(isSarif(sarifLog([], 'empty.yaml')), 'nothing found');
});

t.test('where a file lies becomes a reference', async (t) => {
  const uri = async (file: string): Promise<string> => {
    const findings = await check(readFileSync(join(folder, 'port.yaml')));
    return logOf(findings, file).runs[0].results[0]?.locations[0].physicalLocation.artifactLocation.uri ?? '';
  };
  t.equal(await uri('contracts/my contract#1.yaml'), 'contracts/my%20contract%231.yaml');
  t.equal(await uri('/srv/ü.yaml'), 'file:///srv/%C3%BC.yaml');
  t.equal(await uri('-'), 'stdin');
});

t.test('a fault keeps its fingerprint when lines move, and two faults have two', async (t) => {
  const bytes = readFileSync(join(folder, 'port.yaml'));
  const prints = async (given: Buffer): Promise<readonly (string | undefined)[]> =>
    logOf(await check(given), 'x').runs[0].results.map((result) => result.partialFingerprints['contractPath/v1']);
  const first = await prints(bytes);
  t.same(await prints(Buffer.from(`# moved\n\n${bytes}`)), first);
  const other = await prints(readFileSync(join(folder, 'crn.yaml')));
  t.notOk(other.some((print) => first.includes(print)));
});
