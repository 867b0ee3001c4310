/** Messages of kms. Wording is not tested; names and ids are stable. */
export const kmsMessages = {} as const;
