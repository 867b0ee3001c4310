/** What logs, events and errors may show of what was sent: people paste API keys and tokens where an id belongs. Pure. */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HIDDEN = '-';

/** A name from outside: an id, or one that `isKnown` as the name of something; anything else is hidden. */
export const shownName = (name: string, isKnown: boolean): string => (isKnown || UUID.test(name) ? name : HIDDEN);

/** A member's name from outside, in quotes; what is no likely name is hidden. */
export const quotedMember = (name: string): string => (/^[\w.-]{1,32}$/.test(name) ? `"${name}"` : '"…"');

const decoded = (segment: string): string => {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
};

/** `path` without its query, and without those of `names` that are not to be shown. */
export const shownPath = (
  path: string,
  names: Readonly<Record<string, string>>,
  isKnown: (name: string) => boolean,
): string => {
  const outside = new Set(Object.values(names));
  return (path.split('?', 1)[0] ?? '')
    .split('/')
    .map((segment) => {
      const name = decoded(segment);
      return outside.has(name) && shownName(name, isKnown(name)) === HIDDEN ? HIDDEN : segment;
    })
    .join('/');
};
