/** Text of the agent configuration → AgentConfiguration. Schema, defaults and descriptions: contract-schema/agent.json. */
import { agent as validateAgent } from '../contract-schema/generated/agent-validator.js';
import type { AgentConfiguration } from './configuration.ts';
import { hasErrors, renderFindings } from './contract/finding.ts';
import { parseGround } from './contract/parse-ground.ts';
import { schemaFindings } from './contract/schema-findings.ts';
import { isMapping } from './contract/strict-yaml.ts';
import type { Finding } from './contract/types.ts';
import { AgentError } from './errors.ts';

/**
 * Parses the configuration; an empty text means all defaults. Throws CONFIGURATION_INVALID naming `path`, with every
 * fault and its line in the reason.
 */
export const parseConfiguration = (text: string, path = 'agent.yaml'): AgentConfiguration => {
  const invalid = (findings: readonly Finding[]): AgentError =>
    new AgentError('CONFIGURATION_INVALID', { path, reason: `\n${renderFindings(findings, path)}` });
  const read = parseGround(text, null);
  if (read.kind === 'refused') throw invalid(read.findings);
  const { value } = read.value.document;
  if (value !== null && !isMapping(value)) {
    throw new AgentError('CONFIGURATION_INVALID', { path, reason: 'it is no YAML mapping' });
  }
  const settings = structuredClone(value ?? {});
  const findings = schemaFindings(validateAgent, { ...read.value, isPublic: true }, settings);
  if (hasErrors(findings)) throw invalid(findings);
  // The schema has filled in every default, so that what it accepts has this type.
  return settings as unknown as AgentConfiguration;
};
