/** A guest that ends with its test, and whose last words are shown when the test fails. */
import type { Test } from 'tap';
import { createGuest, type Guest, type GuestOptions } from './guest.ts';
import type { Scratch } from './scratch.ts';

export const guestForTest = (t: Test, scratch: Scratch, options: GuestOptions = {}): Guest => {
  const guest = createGuest(scratch, options);
  t.teardown(async () => {
    await guest.stop();
    if (t.passing() || guest.boots === 0) return;
    const heading = `${t.name}: console of ${guest.name}, boot ${guest.boots} (${guest.consoleFiles.at(-1)})`;
    console.error(`# ${heading}\n${guest.lastLines(40).replace(/^/gm, '#   ')}`);
  });
  return guest;
};
