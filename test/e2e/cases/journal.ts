/** What a guest said: message ids on its console, in order. */
import type { Guest } from '../guest/guest.ts';

/** Message ids in the order of the journal of boot `number`; the causes of an error have ids too. */
export const idsOf = (guest: Guest, number = guest.boots): readonly string[] =>
  guest
    .journal(number)
    .flatMap(({ text }) => /^(?:because: |\s*because: )?((?:HPL|TSD)\d{5}[IWE])(?=:)/.exec(text)?.[1] ?? []);

/** The lines of the journal of boot `number` that carry this id and, when given, this text. */
export const linesWith = (guest: Guest, id: string, text = '', number = guest.boots): readonly string[] =>
  guest
    .journal(number)
    .map((line) => line.text)
    .filter((line) => line.includes(`${id}: `) && line.includes(text));

/** Lines of a JavaScript stack trace: an error that nobody worded. */
export const stackTraces = (guest: Guest, number = guest.boots): readonly string[] =>
  guest
    .consoleText(number)
    .split('\n')
    .filter((line) => /\bat .*(?:node:internal|\.ts:\d+|\.mjs:\d+)|internal error/.test(line));
