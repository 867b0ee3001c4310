/**
 * Journal records under HPCR's identifiers. Inside a service we speak systemd-journald's stdout stream protocol, one
 * connection per identifier, because one process logs for several of HPCR's services; elsewhere lines go to stderr.
 */
import { createConnection } from 'node:net';
import { messages, textOf } from '../messages.ts';
import type { Journal } from '../ports.ts';

/** sd-daemon(3) priorities. */
const priorityOf: Readonly<Record<string, number>> = { E: 3, W: 4, I: 6 };
const notePriority = 6;
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
  note: (component, text) => write(component, notePriority, oneLine(text)),
});

export const stderrJournal = (write: (text: string) => void): JournalSink => ({
  journal: journalOver((component, _priority, line) => write(`${component}: ${line}\n`)),
  close: async () => {},
});

/** systemd-journald.service(8), "Stream logging": a seven-line preamble, then lines, each with a `<N>` priority prefix. */
const preamble = (identifier: string): string => [identifier, '', '6', '1', '0', '0', '0', ''].join('\n');

export const systemdJournal = (fallback: (text: string) => void): JournalSink => {
  const streams = new Map<string, ReturnType<typeof createConnection>>();
  const streamFor = (component: string) => {
    const known = streams.get(component);
    if (known !== undefined) return known;
    // journald shuts its sending side down at once; without allowHalfOpen Node would answer by ending ours.
    const stream = createConnection({ path: streamSocket, allowHalfOpen: true });
    stream.resume();
    stream.on('error', () => fallback(`${component}: the journal cannot be reached\n`));
    stream.write(preamble(component));
    streams.set(component, stream);
    return stream;
  };
  return {
    journal: journalOver((component, priority, line) => streamFor(component).write(`<${priority}>${line}\n`)),
    close: async () => {
      await Promise.all(
        [...streams.values()].map(
          (stream) =>
            new Promise<void>((resolve) => {
              if (stream.destroyed) {
                resolve();
                return;
              }
              stream.once('close', () => resolve());
              stream.end(() => stream.destroy());
            }),
        ),
      );
    },
  };
};
