/** VerifiedContract → Contract: the rules applied, and the parts the agent acts on made ready. */
import type { Env, Workload } from '../../contract-schema/generated/types.ts';
import { AgentError } from '../errors.ts';
import { groundOf } from './decrypt.ts';
import { finding } from './finding.ts';
import { serialOf } from './knobs.ts';
import { proofOf } from './proof.ts';
import { parseCarriedKey } from './public-key.ts';
import { sectionFindings, type ValidationRules } from './rules.ts';
import type { Contract, Finding, OpenedContract, VerifiedContract, WorkloadKind } from './types.ts';
import { assertVerified } from './verify.ts';
import { buildVolumes } from './volumes.ts';

const proof = proofOf<Contract>('validateContract');
export const assertValidated = proof.check;

const attestationKeyFindings = (opened: OpenedContract): readonly Finding[] => {
  if (opened.attestationPublicKey === null) return [];
  const key = parseCarriedKey(opened.attestationPublicKey);
  if (key.kind === 'key') return [];
  const detail = {
    message: `the key is not usable: ${key.reason}`,
    hint: 'give a PEM public key or certificate, or base64 of it',
  };
  return [finding('ATTESTATION_KEY_INVALID', groundOf(opened), ['attestationPublicKey'], detail)];
};

/** The error a boot ends with: the id of the first finding decides, the rest travel as facts. */
const refusal = (findings: readonly Finding[], serial: number, minimumSerial: number): AgentError => {
  switch (findings.find(({ severity }) => severity === 'error')?.code) {
    case 'VOLUME_KEYS_DIFFER':
      return new AgentError('VOLUMES_NAMING_INVALID', { findings });
    case 'SERIAL_TOO_LOW':
      return new AgentError('CONTRACT_OUTDATED', { serial, minimumSerial });
    default:
      return new AgentError('CONTRACT_INVALID', { findings });
  }
};

const workloadKinds: readonly WorkloadKind[] = ['compose', 'play', 'confidential-containers'];

/**
 * Applies the profile's schema and the rules across sections. Throws CONTRACT_INVALID (HPL05001E) or
 * VOLUMES_NAMING_INVALID (HPL07015E) with all findings, CONTRACT_OUTDATED for a serial below the minimum.
 */
export const validateContract = (verified: VerifiedContract, rules: ValidationRules): Contract => {
  assertVerified(verified);
  const { opened, signer } = verified;
  const { env, workload } = opened.sections;
  const findings = [
    ...sectionFindings({ env: env.ground, workload: workload.ground }, rules),
    ...attestationKeyFindings(opened),
  ];
  const serial = serialOf(env.ground, workload.ground);
  if (findings.some(({ severity }) => severity === 'error')) throw refusal(findings, serial, rules.minimumSerial);
  // The schema has just said that the values have these types.
  const [envData, workloadData] = [env.value as unknown as Env, workload.value as unknown as Workload];
  const contract = {
    kind: 'contract',
    profile: rules.profile,
    source: opened.sealed.source,
    localHostname: opened.sealed.localHostname,
    volumes: buildVolumes(env.ground, workload.ground, envData, workloadData),
    signer,
    findings: [...verified.findings, ...findings],
    serial,
    loggingConfigured: envData.logging === undefined ? null : 'logRouter' in envData.logging ? 'logRouter' : 'syslog',
    workloadKind: workloadKinds.find((kind) => kind in workloadData) ?? 'compose',
    sections: opened.sections,
    attestationPublicKey: opened.attestationPublicKey,
    deliveredAttestationPublicKey: opened.deliveredAttestationPublicKey,
    envWorkloadSignature: opened.envWorkloadSignature,
  } as const;
  return proof.mark(contract as typeof contract & Contract);
};
