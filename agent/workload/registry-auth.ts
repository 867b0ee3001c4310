/**
 * Registry credentials as container engines read them (Docker documentation, "docker login", and
 * containers-auth.json(5)): one base64 of `user:password` for each registry.
 */
import { AgentError } from '../errors.ts';
import { privateBuffer, Secret } from '../secret.ts';
import type { RegistryCredential } from './merged-environment.ts';

/** What docker looks for when it means Docker Hub; podman takes either name. */
const dockerHub = 'https://index.docker.io/v1/';

const encoded = (registry: string, { username, password }: RegistryCredential): string => {
  // Readers cut at the first colon (RFC 7617 section 2).
  if (username.includes(':')) throw new AgentError('REGISTRY_AUTH_UNUSABLE', { registry });
  return password.expose((bytes) => {
    const user = Buffer.from(`${username}:`, 'utf8');
    const both = privateBuffer(user.length + bytes.length);
    both.set(user);
    both.set(bytes, user.length);
    const text = both.toString('base64');
    both.fill(0);
    return text;
  });
};

/** The document; the caller wipes it. Throws REGISTRY_AUTH_UNUSABLE for a user name that no reader could get back. */
export const registryAuth = (auths: ReadonlyMap<string, RegistryCredential>): Secret => {
  const hub = auths.get('docker.io');
  const all = hub === undefined || auths.has(dockerHub) ? [...auths] : [...auths, [dockerHub, hub] as const];
  const entries = all.map(([registry, credential]) => [registry, { auth: encoded(registry, credential) }]);
  return Secret.fromText(`${JSON.stringify({ auths: Object.fromEntries(entries) }, null, 2)}\n`);
};
