/** A whole contract checked for its author: every finding that can be had, with or without the contract key. */
import type { KeyObject } from 'node:crypto';
import { authorFindings } from './author-rules.ts';
import { openText } from './decrypt.ts';
import { type DeliveredContract, readDelivered, readDocument, sectionGround, sectionNames } from './delivered.ts';
import { isToken } from './envelope.ts';
import { finding, type ParsedGround } from './finding.ts';
import { parseCarriedKey } from './public-key.ts';
import { comparable, sectionFindings, type ValidationRules } from './rules.ts';
import { explainMistakes } from './sample-lint.ts';
import { decodeUtf8 } from './strict-yaml.ts';
import type { Finding, SectionName } from './types.ts';

export interface CheckRules extends ValidationRules {
  /** null: tokens stay closed, and the findings say so. */
  readonly key: KeyObject | null;
}

export interface Check {
  readonly findings: readonly Finding[];
  /** null when the outer document could not be read. */
  readonly delivered: DeliveredContract | null;
  readonly sections: Readonly<Record<SectionName, ParsedGround | null>>;
}

const notOpened = (delivered: DeliveredContract, name: SectionName | 'attestationPublicKey'): Finding =>
  finding('SECTION_NOT_OPENED', delivered.ground, [name], {
    message:
      name === 'attestationPublicKey'
        ? 'the value is a token and was not looked into'
        : 'the value is a token and was not looked into; whether volumes have one key in both sections is not known',
    hint: 'give the key with --decrypt-key to check it, too',
  });

const attestationFindings = (delivered: DeliveredContract, key: KeyObject | null): readonly Finding[] => {
  const name = 'attestationPublicKey';
  const text = delivered[name];
  if (text === null) return [];
  if (isToken(text) && key === null) return [notOpened(delivered, name)];
  const opened = openText(delivered, name, text, isToken(text), key);
  if (opened.kind === 'refused') return opened.findings;
  const carried = parseCarriedKey(opened.value.text);
  if (carried.kind === 'key') return opened.value.findings;
  const detail = {
    message: `the key is not usable: ${carried.reason}`,
    hint: 'give a PEM public key or certificate, or base64 of it',
  };
  return [finding('ATTESTATION_KEY_INVALID', delivered.ground, [name], detail)];
};

const signatureFindings = (delivered: DeliveredContract, env: ParsedGround | null): readonly Finding[] => {
  if (env === null) return [];
  const { signingKey } = env.document.value as { readonly signingKey?: unknown };
  const isSigned = delivered.envWorkloadSignature !== null;
  if (signingKey === undefined) {
    if (!isSigned) return [];
    const detail = {
      message: 'there is a signature, but env has no signingKey',
      hint: 'triseed contract seal adds both',
    };
    return [finding('SIGNATURE_INCOMPLETE', delivered.ground, ['envWorkloadSignature'], detail, 'key')];
  }
  if (!isSigned) {
    const detail = {
      message: 'there is a signingKey, but no envWorkloadSignature',
      hint: 'triseed contract seal adds both',
    };
    return [finding('SIGNATURE_INCOMPLETE', env, ['signingKey'], detail, 'key')];
  }
  const carried = typeof signingKey === 'string' ? parseCarriedKey(signingKey) : null;
  if (carried === null || carried.kind === 'key') return [];
  const detail = {
    message: `the key is not usable: ${carried.reason}`,
    hint: 'triseed contract seal adds a usable one',
  };
  return [finding('SIGNATURE_INVALID', env, ['signingKey'], detail)];
};

/** Checks `bytes` as a whole contract. Nothing is thrown for what they hold. */
export const checkContract = (bytes: Uint8Array, rules: CheckRules): Check => {
  const text = decodeUtf8(bytes);
  const texts: Record<SectionName, string | null> = { workload: null, env: null };
  const sections: Record<SectionName, ParsedGround | null> = { workload: null, env: null };
  const read = readDelivered(bytes);
  if (read.kind === 'refused') {
    const findings = explainMistakes({ text, delivered: null, texts, sections, findings: read.findings });
    return { findings, delivered: null, sections };
  }
  const delivered = read.value;
  const findings: Finding[] = [...delivered.findings];
  for (const name of sectionNames) {
    const { form, text: asDelivered } = delivered.sections[name];
    if (form === 'token' && rules.key === null) {
      findings.push(notOpened(delivered, name));
      continue;
    }
    const opened = openText(delivered, name, asDelivered, form === 'token', rules.key);
    if (opened.kind === 'refused') {
      findings.push(...opened.findings);
      continue;
    }
    texts[name] = opened.value.text;
    const ground = sectionGround(delivered, name, opened.value.text);
    findings.push(...opened.value.findings, ...(ground.kind === 'refused' ? ground.findings : []));
    if (ground.kind === 'read') sections[name] = ground.value;
  }
  findings.push(...sectionFindings(sections, rules), ...attestationFindings(delivered, rules.key));
  findings.push(...signatureFindings(delivered, sections.env));
  const compared = comparable(sections, findings);
  findings.push(...authorFindings(compared));
  const linted = { text, delivered, texts, sections: compared, findings };
  return { findings: explainMistakes(linted), delivered, sections };
};

/** Checks `bytes` as the text of one section. */
export const checkSection = (bytes: Uint8Array, section: SectionName, rules: ValidationRules): readonly Finding[] => {
  const read = readDocument(bytes, section);
  const text = decodeUtf8(bytes);
  const texts = { workload: null, env: null, [section]: text };
  const none = { workload: null, env: null };
  if (read.kind === 'refused') {
    return explainMistakes({ text, delivered: null, texts, sections: none, findings: read.findings });
  }
  const sections = { ...none, [section]: read.value };
  const found = sectionFindings(sections, rules);
  const compared = comparable(sections, found);
  const findings = [...found, ...authorFindings(compared)];
  return explainMistakes({ text, delivered: null, texts, sections: compared, findings });
};
