/**
 * systemd-journald's stdout stream protocol, one connection per identifier, because one process logs for several of
 * HPCR's services. A file of its own: a command of a person does not load sockets for it.
 */
import { createConnection } from 'node:net';
import { type JournalSink, journalOver } from './journal.ts';

const streamSocket = '/run/systemd/journal/stdout';

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
