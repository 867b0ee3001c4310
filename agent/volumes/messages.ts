/** Messages of volumes. Wording is not tested; names and ids are stable. */
export const volumeMessages = {} as const;
