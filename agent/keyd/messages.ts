/** Messages of keyd. Wording is not tested; names and ids are stable. */
export const keydMessages = {} as const;
