/** All rules for opened sections: schema of the profile, then what no schema can say. */
import { profiles } from '../../contract-schema/generated/profiles.ts';
import { finding, type ParsedGround } from './finding.ts';
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
      hint: 'send logs with logRouter (IBM Cloud Logs) or syslog',
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

/** What the templates of `triseed contract new` ask to be replaced: a seed left so is known to everybody. */
const placeholderFindings = (ground: ParsedGround): readonly Finding[] =>
  ground.document.places
    .filter(({ isScalar, start }) => isScalar && /^["']?REPLACE[_+]/.test(ground.text.slice(start, start + 9)))
    .map(({ path }) =>
      finding('PLACEHOLDER', ground, path, {
        message: 'this still holds the text of the template',
        hint: 'put your own value here',
      }),
    );

/** Findings for the sections that could be opened; rules across both apply when both are given. */
export const sectionFindings = (
  sections: { readonly env: ParsedGround | null; readonly workload: ParsedGround | null },
  { profile, minimumSerial }: ValidationRules,
): readonly Finding[] => {
  const { env, workload } = sections;
  const found: Finding[] = [];
  if (workload !== null) {
    const { value } = workload.document;
    found.push(...schemaFindings(profiles[profile].workload, workload, value, isTemplateExpression));
    found.push(
      ...podFindings(workload),
      ...workloadVolumeFindings(workload),
      ...knobFindings(workload),
      ...placeholderFindings(workload),
    );
  }
  if (env !== null) {
    found.push(
      ...envSchemaFindings(env, profile),
      ...envVolumeFindings(env),
      ...syslogFindings(env),
      ...knobFindings(env),
      ...placeholderFindings(env),
    );
  }
  if (env !== null && workload !== null) {
    found.push(...sharedVolumeFindings(workload, env), ...sharedKnobFindings(env, workload));
    found.push(...serialFindings(env, workload, minimumSerial));
  }
  return found;
};
