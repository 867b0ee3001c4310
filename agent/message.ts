/** The shape of one entry of the message catalogue. Each area keeps its own table; messages.ts joins them. */

/** 1 no (invalid, refused) · 2 wrong usage · 3 could not find out or do it. */
export type ExitStatus = 1 | 2 | 3;

export interface Message<Facts> {
  /** Stable id with severity letter (I, W, E). HPCR's where one exists (HPLnnnnnX), otherwise ours (TSDnnnnnX). */
  readonly id: string;
  /** What it is when the letter of HPCR's id says otherwise; decides the priority in the journal. */
  readonly severity?: 'I' | 'W';
  /** HPCR's SYSLOG_IDENTIFIER under which the message is journalled, such as hpcr-disk-mount. */
  readonly component: string;
  /** Lower case, no full stop, never a secret. */
  readonly text: (facts: Facts) => string;
  /** What is true now and what was left untouched. */
  readonly systemAction: string;
  /** What the reader can do. */
  readonly userAction: string;
  /** Only for errors: the exit status of a command that ends with it; 3 when absent. */
  readonly exit?: ExitStatus;
}

/** Fixes the facts of a message while keeping its literal type. */
export const message = <Facts>(entry: Message<Facts>): Message<Facts> => entry;
