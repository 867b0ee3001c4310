/**
 * The message catalogue: every line the agent prints with an id, keyed by name. Ids are unique including their
 * severity letter. The tables live beside the code that emits them; this file joins them and types their names.
 */
import { attestationMessages } from './attestation/messages.ts';
import { bootMessages } from './boot-messages.ts';
import { contractMessages } from './contract/messages.ts';
import { keydMessages } from './keyd/messages.ts';
import { kmsMessages } from './kms/messages.ts';
import { loggingMessages } from './logging/messages.ts';
import type { ExitStatus, Message } from './message.ts';
import { noticeMessages } from './notices/messages.ts';
import { volumeMessages } from './volumes/messages.ts';
import { workloadMessages } from './workload/messages.ts';

export const messages = {
  ...bootMessages,
  ...loggingMessages,
  ...noticeMessages,
  ...contractMessages,
  ...attestationMessages,
  ...volumeMessages,
  ...kmsMessages,
  ...keydMessages,
  ...workloadMessages,
} as const;

export type Catalogue = typeof messages;
export type MessageName = keyof Catalogue;
export type { ExitStatus, Message };

/** The wording of message `name` with `facts` filled in. */
export const textOf = <Name extends MessageName>(name: Name, facts: Parameters<Catalogue[Name]['text']>[0]): string =>
  (messages[name].text as (given: typeof facts) => string)(facts);
