/**
 * What a boot leaves behind about itself, in the run folder: how it ended, what the contract was, which volumes are open, and
 * when the contract and the encryption certificate end. For people, for `triseed notices` and for programs around the agent;
 * docs/boot-report.md describes every field, contract-schema/boot-report.json is its schema. It holds no secret.
 */
import type { Contract, Finding } from './contract/types.ts';
import { AgentError, kindOfError } from './errors.ts';
import { type MessageName, messages } from './messages.ts';
import type { AppliedVolume } from './volumes/apply.ts';

const version = 1;
const maxCauses = 16;
/** Findings that are kept; a contract has some dozens at most. */
const maxFindings = 100;

export interface ReportedFailure {
  /** Message id; null for a bug. */
  readonly id: string | null;
  readonly name: string;
  readonly component: string;
  readonly text: string;
  readonly state: string;
  readonly do: string;
  /** What it came from, outermost first. */
  readonly causes: readonly { readonly id: string | null; readonly text: string }[];
}

export interface BootRecord {
  readonly agent: string;
  readonly bootId: string;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly elapsedMs: number;
  readonly contract: Contract | null;
  /** End of the image's encryption certificate; null when the image names none. */
  readonly certificateNotAfter: Date | null;
  readonly volumes: readonly AppliedVolume[];
  /** null: the boot succeeded. */
  readonly error: unknown;
}

export const bootReportPath = (run: string): string => `${run}/boot-report.json`;
/** Longest report that is read; each of up to 100 findings takes some hundred bytes. */
export const bootReportMaxBytes = 1024 * 1024;

const causesOf = (error: unknown): readonly unknown[] => {
  if (error instanceof AggregateError) return error.errors;
  return error instanceof Error && error.cause !== undefined ? [error.cause] : [];
};

const told = (error: unknown): { readonly id: string | null; readonly text: string } => {
  if (error instanceof AgentError) return { id: error.id, text: error.message };
  return { id: null, text: kindOfError(error) };
};

const allCauses = (error: unknown): readonly unknown[] => {
  const found: unknown[] = [];
  const walk = (current: unknown): void => {
    for (const cause of causesOf(current)) {
      if (found.length >= maxCauses) return;
      found.push(cause);
      walk(cause);
    }
  };
  walk(error);
  return found;
};

export const reportedFailure = (error: unknown): ReportedFailure => {
  const causes = allCauses(error).map(told);
  if (!(error instanceof AgentError)) {
    const state = 'internal error: this is a bug in triseed';
    return {
      id: null,
      name: 'INTERNAL_ERROR',
      component: 'triseed',
      text: told(error).text,
      state,
      do: 'report it',
      causes,
    };
  }
  const { component, systemAction, userAction } = messages[error.code as MessageName];
  const { id, code: name, message: text } = error;
  return { id, name, component, text, state: systemAction, do: userAction, causes };
};

const reportedFinding = ({ id, code, severity, path }: Finding) => ({ id, rule: code, severity, path });

const reportedContract = (contract: Contract) => {
  const { source, profile, serial, workloadKind, loggingConfigured, signer, findings, sections } = contract;
  return {
    source,
    profile,
    serial,
    workload: workloadKind,
    logging: loggingConfigured,
    // Of a plain section a hash would help to guess what is in it.
    sections: Object.fromEntries(
      (['workload', 'env'] as const).map((name) => {
        const { form, sha256 } = sections[name];
        return [name, { form, sha256: form === 'token' ? sha256 : null }];
      }),
    ),
    signer:
      signer === null
        ? null
        : {
            fingerprint: signer.fingerprint,
            trusted: signer.trusted,
            notAfter: signer.certificateNotAfter?.toISOString() ?? null,
          },
    findings: findings.slice(0, maxFindings).map(reportedFinding),
  };
};

const reportedVolume = ({ volume, scenario, mount, device, mapping, stored }: AppliedVolume) => ({
  volume,
  scenario,
  mount,
  device,
  mapping,
  rootKey: stored !== null,
});

export const renderBootReport = (record: BootRecord): string => {
  const { contract, error, certificateNotAfter, volumes } = record;
  const report = {
    version,
    agent: record.agent,
    bootId: record.bootId,
    startedAt: record.startedAt.toISOString(),
    finishedAt: record.finishedAt.toISOString(),
    elapsedMs: Math.round(record.elapsedMs),
    outcome: error === null ? 'succeeded' : 'failed',
    contract: contract === null ? null : reportedContract(contract),
    encryptionCertificate: certificateNotAfter === null ? null : { notAfter: certificateNotAfter.toISOString() },
    volumes: volumes.map(reportedVolume),
    failure: error === null ? null : reportedFailure(error),
  };
  return `${JSON.stringify(report, null, 2)}\n`;
};
