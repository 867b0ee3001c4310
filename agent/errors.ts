/**
 * One error class. The text comes from the message catalogue, facts are fields, the lower error is `cause` and is
 * never pasted into the text. `describeChain` words the whole chain once, at the edge (main.ts).
 */
import { type Catalogue, type ExitStatus, type MessageName, messages, textOf } from './messages.ts';

export type FactsOf<Name extends MessageName> = Parameters<Catalogue[Name]['text']>[0];

export class AgentError<Name extends MessageName = MessageName> extends Error {
  readonly code: Name;
  readonly facts: FactsOf<Name>;
  /** The message id with its severity letter, such as HPL05001E: what monitoring greps for. */
  readonly id: string;

  constructor(code: Name, facts: FactsOf<Name>, options: { readonly cause?: unknown } = {}) {
    super(textOf(code, facts), options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'AgentError';
    this.code = code;
    this.facts = facts;
    this.id = messages[code].id;
  }
}

/** True when `error` is an AgentError carrying `code`; narrows its facts. */
export const hasCode = <Name extends MessageName>(error: unknown, code: Name): error is AgentError<Name> =>
  error instanceof AgentError && error.code === code;

/** Exit status of design §11 for a failed command: 1 no, 2 wrong usage, 3 could not find out or do it. */
export const exitStatusOf = (error: unknown): ExitStatus =>
  error instanceof AgentError ? (messages[error.code as MessageName].exit ?? 3) : 3;

/** What may be kept of an error that is not ours: its text could hold anything, a secret included. */
export const kindOfError = (error: unknown): string => (error instanceof Error ? error.name : 'unknown');

/** An error inside a message: ours with id and text, any other only by its kind. */
export const reasonOf = (error: unknown): string =>
  error instanceof AgentError ? `${error.id} ${error.message}` : `internal error ${kindOfError(error)}`;

const causesOf = (error: unknown): readonly unknown[] => {
  if (error instanceof AggregateError) return error.errors;
  if (error instanceof Error && error.cause !== undefined) return [error.cause];
  return [];
};

const lineOf = (error: unknown, mayShowForeign: boolean): string => {
  if (error instanceof AgentError) return `${error.id}: ${error.message}`;
  if (!mayShowForeign) return error instanceof Error && 'code' in error ? String(error.code) : kindOfError(error);
  if (error instanceof AggregateError) return error.message || 'several attempts failed';
  if (error instanceof Error) return error.message;
  return String(error);
};

/**
 * The whole chain for a person: what failed, because of what, what was left untouched, what to do.
 * An error that is no AgentError is a bug of ours and says so. On the console of a guest, which the host reads, `mayShowForeign` is false: texts of
 * other errors are left out there.
 */
export const describeChain = (error: unknown, mayShowForeign = true): string => {
  const lines: string[] = [];
  const walk = (current: unknown, depth: number): void => {
    lines.push(`${'  '.repeat(depth)}${depth === 0 ? '' : 'because: '}${lineOf(current, mayShowForeign)}`);
    if (depth < 8) for (const cause of causesOf(current)) walk(cause, depth + 1);
  };
  if (!(error instanceof AgentError)) {
    lines.push('internal error: this is a bug in triseed, please report it');
    walk(error, 1);
    return lines.join('\n');
  }
  walk(error, 0);
  const message = messages[error.code as MessageName];
  lines.push(`state: ${message.systemAction}`);
  lines.push(`do: ${message.userAction}`);
  return lines.join('\n');
};
