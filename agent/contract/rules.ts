/** All rules for opened sections: schema of the profile, then what no schema can say. */
import { profiles } from '../../contract-schema/generated/profiles.ts';
import { finding, hasErrors, type ParsedGround } from './finding.ts';
import { knobFindings, serialOf, sharedKnobFindings } from './knobs.ts';
import { isTemplateExpression, podFindings } from './pod-rules.ts';
import { schemaFindings } from './schema-findings.ts';
import type { Finding, Profile } from './types.ts';
import { envVolumeFindings, mappingAt, sharedVolumeFindings, workloadVolumeFindings } from './volume-rules.ts';

export interface ValidationRules {
  readonly profile: Profile;
  /** Contracts with a lower serial are refused. */
  readonly minimumSerial: number;
}

const envSchemaFindings = (env: ParsedGround, profile: Profile): readonly Finding[] => {
  const { value } = env.document;
  const found = schemaFindings(profiles[profile].env, env, value);
  if (!('logDNA' in mappingAt(value, 'logging'))) return found;
  const retired = finding(
    'LOGDNA_RETIRED',
    env,
    ['logging', 'logDNA'],
    {
      message: 'logDNA no longer exists',
      hint: 'send logs with syslog, or with IBM Cloud Logs:\nlogging:\n  logRouter:\n    hostname: …\n    iamApiKey: …',
    },
    'key',
  );
  // That neither of the others is given follows from it.
  return [retired, ...found.filter(({ code, path }) => !(code === 'WRONG_CHOICE' && path === 'env.logging'))];
};

const syslogFindings = (env: ParsedGround): readonly Finding[] => {
  const syslog = mappingAt(env.document.value, 'logging', 'syslog');
  if (Object.keys(syslog).length === 0 || ('cert' in syslog && 'key' in syslog)) return [];
  const message = 'the log server will ask for a client certificate, and cert or key is missing';
  const hint = 'give cert and key; the same authority signs client and server';
  return [finding('SYSLOG_CLIENT_MISSING', env, ['logging', 'syslog'], { message, hint }, 'key')];
};

const serialFindings = (env: ParsedGround, workload: ParsedGround, minimumSerial: number): readonly Finding[] => {
  const serial = serialOf(env, workload);
  if (serial < 0 || serial >= minimumSerial) return [];
  const message = `serial ${serial} is below the minimum ${minimumSerial}`;
  return [finding('SERIAL_TOO_LOW', env, ['triseed', 'serial'], { message, hint: 'use the newest contract' })];
};

/** More than any template has. */
const maxPlaceholders = 50;

/** What the templates of `triseed contract new` ask to be replaced: a seed left so is known to everybody. */
const placeholderFindings = (ground: ParsedGround): readonly Finding[] =>
  ground.document.places
    .filter(({ isScalar, start }) => isScalar && /^["']?REPLACE[_+]/.test(ground.text.slice(start, start + 9)))
    .slice(0, maxPlaceholders)
    .map(({ path }) =>
      finding('PLACEHOLDER', ground, path, {
        message: 'this still holds the text of the template',
        hint: 'put your own value here',
      }),
    );

interface Sections {
  readonly env: ParsedGround | null;
  readonly workload: ParsedGround | null;
}

/** Values in a section. Contracts have some dozens; Pods given inline, some hundreds. */
const manyValues = 2000;

/**
 * The sections whose parts may be compared with each other. The schema bounds how many there are of what is compared:
 * a large section that breaks it (`found` has errors) is left out.
 */
export const comparable = (sections: Sections, found: readonly Finding[]): Sections => {
  if (!hasErrors(found)) return sections;
  const small = (ground: ParsedGround | null): ParsedGround | null =>
    ground !== null && ground.document.places.length <= manyValues ? ground : null;
  return { env: small(sections.env), workload: small(sections.workload) };
};

const comparedFindings = ({ env, workload }: Sections, minimumSerial: number): readonly Finding[] => {
  const found: Finding[] = [];
  if (workload !== null) {
    found.push(...podFindings(workload), ...workloadVolumeFindings(workload));
    found.push(...knobFindings(workload), ...placeholderFindings(workload));
  }
  if (env !== null) {
    found.push(...envVolumeFindings(env), ...syslogFindings(env));
    found.push(...knobFindings(env), ...placeholderFindings(env));
  }
  if (env !== null && workload !== null) {
    found.push(...sharedVolumeFindings(workload, env), ...sharedKnobFindings(env, workload));
    found.push(...serialFindings(env, workload, minimumSerial));
  }
  return found;
};

/** Findings for the sections that could be opened; rules across both apply when both are given. */
export const sectionFindings = (
  sections: Sections,
  { profile, minimumSerial }: ValidationRules,
): readonly Finding[] => {
  const { env, workload } = sections;
  const found: Finding[] = [];
  if (workload !== null) {
    const { value } = workload.document;
    found.push(...schemaFindings(profiles[profile].workload, workload, value, isTemplateExpression));
  }
  if (env !== null) found.push(...envSchemaFindings(env, profile));
  return [...found, ...comparedFindings(comparable(sections, found), minimumSerial)];
};
