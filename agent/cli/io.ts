/** What a command line handler may say and hear, and how it ends. main.ts implements it over the process streams. */
import type { ExitStatus } from '../messages.ts';

/**
 * How a handler ends (design §11):
 * - returns: exit status 0;
 * - calls `setExitStatus(1)` and returns: the answer is "no", and the handler has printed why;
 * - throws AgentError: main.ts prints the chain and exits with the status of its message.
 */
export interface CommandIo {
  /** Everything on standard input. Throws FILE_UNREADABLE when it is longer than `maxBytes`. */
  stdin(maxBytes: number): Promise<Buffer>;
  /** Results, and nothing else. */
  stdout(bytes: string | Uint8Array): void;
  /** Messages for people. The text carries its own line ends. */
  stderr(text: string): void;
  /** True when standard error is a terminal. */
  readonly isTerminal: boolean;
  /** The status the process ends with when the handler returns. The highest one given wins. */
  setExitStatus(status: ExitStatus): void;
}
