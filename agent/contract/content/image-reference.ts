/** Names of container images: the grammar of the distribution project (reference/reference.go), normalised as docker does. */

export interface ImageReference {
  /** Registry host, with port when it has one; docker.io when none is written. */
  readonly registry: string;
  /** With `library/` where docker.io adds it. */
  readonly path: string;
  readonly tag: string | null;
  /** Algorithm and hex digits. */
  readonly digest: string | null;
}

const hostPart = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const host = new RegExp(`^(?:${hostPart}(?:\\.${hostPart})*|\\[[0-9A-Fa-f:]+\\])(?::[0-9]{1,5})?$`);
const pathPart = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestForm = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const maximumNameLength = 255;

export type ReferenceOutcome =
  | { readonly kind: 'reference'; readonly value: ImageReference }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Takes an image name apart, or says what is wrong with it. */
export const parseImageReference = (text: string): ReferenceOutcome => {
  const malformed = (reason: string): ReferenceOutcome => ({ kind: 'malformed', reason });
  if (text === '') return malformed('it is empty');
  if (/\s/.test(text)) return malformed('it holds a space');
  if (/^[a-z]+:\/\//.test(text)) return malformed('it is an address; leave out https:// or docker://');
  const at = text.indexOf('@');
  const digest = at === -1 ? null : text.slice(at + 1);
  if (digest !== null && !digestForm.test(digest)) {
    return malformed('its digest is not sha256: and 64 lower-case hexadecimal digits');
  }
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const tag = hasTag ? named.slice(colon + 1) : null;
  if (tag !== null && !tagForm.test(tag)) return malformed('its tag has characters that no tag has');
  const name = hasTag ? named.slice(0, colon) : named;
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const hasHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const registry = hasHost ? first : 'docker.io';
  if (!host.test(registry)) return malformed('its registry is no host name');
  const written = hasHost ? name.slice(slash + 1) : name;
  const isOfficial = registry === 'docker.io' && !written.includes('/');
  const path = isOfficial ? `library/${written}` : written;
  if (name.length > maximumNameLength) return malformed(`it is longer than ${maximumNameLength} characters`);
  if (!path.split('/').every((part) => pathPart.test(part))) {
    return malformed(
      path === path.toLowerCase() ? 'its path has characters that no path has' : 'its path must be lower case',
    );
  }
  return {
    kind: 'reference',
    value: { registry: registry === 'index.docker.io' ? 'docker.io' : registry, path, tag, digest },
  };
};
