/**
 * Which images may run (IBM Cloud docs, "About the contract", section "images"): those named by digest, and those whose
 * signer the contract names: `images.dct` for compose, `images.rhs` for pods.
 */
import { closest } from '../closest.ts';
import { quoted } from '../finding.ts';
import type { ContentProblem } from './content-problem.ts';
import { type ImageReference, parseImageReference } from './image-reference.ts';

export interface TrustedImages {
  /** Keys of images.dct: host/namespace/name. */
  readonly dct: readonly string[];
  /** Keys of images.rhs: references. */
  readonly rhs: readonly string[];
}

/** An image name after variables or template expressions were put in. */
export interface ResolvedImage {
  readonly written: string;
  /** null: something in it is not known. */
  readonly text: string | null;
  /** The text with `x` for what is not known. */
  readonly sketch: string;
}

const nameOf = ({ registry, path }: ImageReference): string => `${registry}/${path}`;

/**
 * containers-policy.json(5), "Scopes": the reference itself, its repository, a namespace above it.
 */
const isSigned = (image: ImageReference, keys: readonly string[]): boolean => {
  const name = nameOf(image);
  return keys.some((key) => key === `${name}:${image.tag ?? 'latest'}` || key === name || name.startsWith(`${key}/`));
};

const isTrusted = (image: ImageReference, engine: 'compose' | 'pods', { dct, rhs }: TrustedImages): boolean =>
  engine === 'compose' ? dct.includes(nameOf(image)) : isSigned(image, rhs);

/** A variable in the place of the registry: `${REGISTRY}/name`, `{{ .Env.REGISTRY }}/name`. */
const hasDynamicRegistry = (written: string): boolean => /^[^/]*(?:\$|\{\{)/.test(written);
const isDynamic = (written: string): boolean => /\$|\{\{/.test(written);

const unpinnedHint = (image: ImageReference, engine: 'compose' | 'pods', trusted: TrustedImages): string => {
  const name = nameOf(image);
  const digest = `name it by digest: ${name}@sha256:… (docker buildx imagetools inspect ${name}:${image.tag ?? 'latest'} shows it)`;
  const [section, key, keys] =
    engine === 'compose'
      ? (['images.dct', name, trusted.dct] as const)
      : (['images.rhs', `${name}:${image.tag ?? 'latest'}`, trusted.rhs] as const);
  const near = closest(key, keys);
  if (near !== null) return `${section} has ${quoted(near)}: is ${quoted(key)} meant? Or ${digest}`;
  // The keys of images.dct have two slashes, no more and no less.
  return engine === 'compose' && name.split('/').length !== 3
    ? digest
    : `${digest}, or add ${quoted(key)} to ${section}`;
};

/** What is wrong with an image of a container, or null. Values of variables are not repeated: they may be secret. */
export const imageProblem = (
  { written, text, sketch }: ResolvedImage,
  engine: 'compose' | 'pods',
  trusted: TrustedImages,
): ContentProblem | null => {
  const parsed = parseImageReference(text ?? sketch);
  if (text === null) {
    if (parsed.kind === 'reference' && parsed.value.digest !== null) return null;
    const message = `the image ${quoted(written)} depends on variables that are not known here`;
    return {
      code: 'CONTENT_NOT_CHECKED',
      message,
      hint: 'give its digest outside the variables, or check the whole contract',
    };
  }
  if (parsed.kind === 'malformed') {
    const isUnexpanded = text === written && written.includes('{{');
    const reason = isUnexpanded ? 'expressions are applied in play.templates only' : parsed.reason;
    const hint = 'an image is named registry/path:tag or registry/path@sha256:…';
    return {
      code: 'IMAGE_REFERENCE_INVALID',
      message: `the image ${quoted(written)} has no valid name: ${reason}`,
      hint,
    };
  }
  const image = parsed.value;
  if (image.digest !== null) return null;
  if (hasDynamicRegistry(written)) {
    const message = `the image ${quoted(written)} has a variable registry and no digest`;
    return {
      code: 'IMAGE_UNPINNED',
      message,
      hint: 'images of a variable registry need @sha256:… and cannot use images.dct',
    };
  }
  if (isTrusted(image, engine, trusted)) return null;
  const section = engine === 'compose' ? 'images.dct' : 'images.rhs';
  return {
    code: 'IMAGE_UNPINNED',
    message: `the image ${quoted(written)} has no digest and no entry in ${section}`,
    hint: isDynamic(written)
      ? `end it with @sha256:…, or add its name to ${section}`
      : unpinnedHint(image, engine, trusted),
  };
};
