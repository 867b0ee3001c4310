/**
 * Journal records under HPCR's identifiers. Inside a service we speak systemd-journald's stdout stream protocol, one
 * connection per identifier, because one process logs for several of HPCR's services; elsewhere lines go to stderr.
 */
import { fstatSync } from 'node:fs';
import { createConnection } from 'node:net';
import { messages, textOf } from '../messages.ts';
import type { Journal } from '../ports.ts';

/** sd-daemon(3) priorities. */
const notePriority = 6;
const warningPriority = 4;
const priorityOf: Readonly<Record<string, number>> = { E: 3, W: warningPriority, I: notePriority };
const streamSocket = '/run/systemd/journal/stdout';

export interface JournalSink {
  readonly journal: Journal;
  /** Resolves once everything written has been handed to the kernel. */
  close(): Promise<void>;
}

type WriteLine = (component: string, priority: number, line: string) => void;

/** One line per record: control characters of hostile values must not start a line of their own. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]/gu, ' ');

const journalOver = (write: WriteLine): Journal => ({
  message: (name, facts) => {
    const { id, component } = messages[name];
    write(component, priorityOf[id.at(-1) ?? ''] ?? notePriority, `${id}: ${oneLine(textOf(name, facts))}`);
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

/** systemd-journald.service(8), "Stream logging": a seven-line preamble, then lines, each with a `<N>` priority prefix. */
const preamble = (identifier: string): string => [identifier, '', '6', '1', '0', '0', '0', ''].join('\n');

/** Longest wait for journald at the end: a stalled journal must not hold a boot, or a power-off, for ever. */
const closeLimitMs = 3_000;

type Stream = ReturnType<typeof createConnection>;

const endOf = (stream: Stream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) {
      resolve();
      return;
    }
    const timer = setTimeout(() => stream.destroy(), closeLimitMs);
    stream.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    stream.end(() => stream.destroy());
  });

export const systemdJournal = (fallback: (text: string) => void): JournalSink => {
  const streams = new Map<string, Stream>();
  const open = (component: string): Stream => {
    // journald shuts its sending side down at once; without allowHalfOpen Node would answer by ending ours.
    const stream = createConnection({ path: streamSocket, allowHalfOpen: true });
    stream.resume();
    stream.on('error', () => fallback(`${component}: the connection to the journal broke\n`));
    // The next line tries a connection of its own: journald may have been restarted.
    stream.once('close', () => {
      if (streams.get(component) === stream) streams.delete(component);
    });
    stream.write(preamble(component));
    streams.set(component, stream);
    return stream;
  };
  const write = (component: string, priority: number, line: string): void => {
    const stream = streams.get(component) ?? open(component);
    stream.write(`<${priority}>${line}\n`, (error) => {
      if (error) fallback(`${component}: ${line}\n`);
    });
  };
  return {
    journal: journalOver(write),
    close: async () => {
      await Promise.all([...streams.values()].map(endOf));
    },
  };
};
