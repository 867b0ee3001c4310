/** Messages of contract. Wording is not tested; names and ids are stable. */
export const contractMessages = {} as const;
