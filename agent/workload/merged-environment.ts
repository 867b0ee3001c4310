/**
 * What both sections of a contract say together about variables and registry credentials: the workload's entry wins
 * (IBM Cloud docs, "About the contract", sections "env" and "auths"). Seeds combine the other way round and are no
 * part of this.
 */
import type { Env, Workload } from '../../contract-schema/generated/types.ts';
import type { Contract } from '../contract/types.ts';
import { assertValidated } from '../contract/validate.ts';
import { Secret } from '../secret.ts';

export interface RegistryCredential {
  readonly username: string;
  readonly password: Secret;
}

/** Maps rather than objects: names come from the contract, and `constructor` is a valid one. */
export interface MergedEnvironment {
  readonly env: ReadonlyMap<string, string>;
  /** Registry host, with port when it has one → credential. */
  readonly auths: ReadonlyMap<string, RegistryCredential>;
}

const merged = <Value>(
  env: Readonly<Record<string, Value>> | undefined,
  workload: Readonly<Record<string, Value>> | undefined,
): ReadonlyMap<string, Value> => new Map([...Object.entries(env ?? {}), ...Object.entries(workload ?? {})]);

/** Variables and credentials for the workload. The caller wipes the passwords. */
export const mergedEnvironment = (contract: Contract): MergedEnvironment => {
  assertValidated(contract);
  // The schema has said that the sections have these types.
  const env = contract.sections.env.value as unknown as Env;
  const workload = contract.sections.workload.value as unknown as Workload;
  const auths = [...merged(env.auths, workload.auths)].map(
    ([registry, { username, password }]): [string, RegistryCredential] => [
      registry,
      { username, password: Secret.fromText(password) },
    ],
  );
  return { env: merged(env.env, workload.env), auths: new Map(auths) };
};
