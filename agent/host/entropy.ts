import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { Entropy } from '../ports.ts';

export const entropy: Entropy = {
  bytes: (length) => randomBytes(length),
  fraction: () => randomInt(2 ** 32) / 2 ** 32,
  uuid: () => randomUUID(),
};
