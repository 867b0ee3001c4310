/** Whether these words start what runs as long as the guest does. main.ts asks, and the executable before it loads anything. */
export const lasts = ([first, second]: readonly string[]): boolean =>
  first === 'keyd' || first === 'notices' || (first === 'logging' && second === 'forward');
