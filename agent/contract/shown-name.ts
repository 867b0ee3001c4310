/** Names out of a contract, made fit for printing. */

const maxLength = 80;

/** Characters that would move the cursor, reverse the text or hide themselves on a terminal. */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}');

/** Registries have a port or a scheme, image references a dot or a slash before their colon. */
const glued = /^([\w-]+:)(?!\/\/|\d*$)/;

/** `{apiKey:secret}`, where a space is missing, is one long name to YAML: it holds a value that must not be printed. */
export const holdsValue = (name: string): boolean => glued.test(name);

/** A name as it is told: short, printable, without a value that was written into it. */
export const shownName = (name: string): string => {
  const field = glued.exec(name)?.[1];
  return printable(field === undefined ? name.slice(0, maxLength) : `${field.slice(0, maxLength)}[hidden]`);
};
