/**
 * Journal records under HPCR's identifiers: on the journal's own protocol inside a service (journal-stream.ts), as lines
 * of standard error elsewhere.
 */
import { fstatSync } from 'node:fs';
import { type Message, messages, textOf } from '../messages.ts';
import type { Journal } from '../ports.ts';

/** sd-daemon(3) priorities. */
const notePriority = 6;
const warningPriority = 4;
const priorityOf: Readonly<Record<string, number>> = { E: 3, W: warningPriority, I: notePriority };

export interface JournalSink {
  readonly journal: Journal;
  /** Resolves once everything written has been handed to the kernel. */
  close(): Promise<void>;
}

type WriteLine = (component: string, priority: number, line: string) => void;

/** One line per record: control characters of hostile values must not start a line of their own. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]/gu, ' ');

export const journalOver = (write: WriteLine): Journal => ({
  message: (name, facts) => {
    const { id, component, severity }: Message<never> = messages[name];
    write(component, priorityOf[severity ?? id.at(-1) ?? ''] ?? notePriority, `${id}: ${oneLine(textOf(name, facts))}`);
  },
  note: (component, text, severity = 'note') =>
    write(component, severity === 'warning' ? warningPriority : notePriority, oneLine(text)),
});

/**
 * Whether standard error is the journal: systemd.exec(5) has programs compare $JOURNAL_STREAM with device and inode of the
 * stream, because whoever is started by hand below a service inherits the variable but not the stream.
 */
export const isJournalStream = (journalStream: string | undefined): boolean => {
  const { dev, ino } = fstatSync(2);
  return journalStream === `${dev}:${ino}`;
};

export const stderrJournal = (write: (text: string) => void): JournalSink => ({
  journal: journalOver((component, _priority, line) => write(`${component}: ${line}\n`)),
  close: async () => {},
});
