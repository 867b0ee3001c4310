/** The journal of this boot as it grows, through journalctl(1). */
import { execa } from 'execa';
import { AgentError } from '../errors.ts';
import type { FollowJournal } from '../service-ports.ts';

const program = '/usr/bin/journalctl';
/** After a stop: what has been written so far is still read. */
const lastRecordsMs = 1_000;

/** Lines as they become complete; null for one that is longer than `maxLineBytes`. */
export async function* linesOf(chunks: AsyncIterable<Buffer>, maxLineBytes: number): AsyncGenerator<string | null> {
  let pieces: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      const isTooLong = length + end > maxLineBytes;
      yield isTooLong ? null : Buffer.concat([...pieces, rest.subarray(0, end)]).toString('utf8');
      pieces = [];
      length = 0;
      rest = rest.subarray(end + 1);
    }
    length += rest.length;
    if (length <= maxLineBytes) pieces.push(rest);
    else pieces = [];
  }
}

export const followJournal: FollowJournal = async function* (cursor, maxLineBytes, signal) {
  const from = cursor === null ? [] : [`--after-cursor=${cursor}`];
  const args = ['--follow', '--boot', '--lines=all', '--all', '--output=json', '--quiet', ...from];
  const child = execa(program, args, {
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    stderr: 'ignore',
    encoding: 'buffer',
    buffer: false,
    // Its own handler of SIGTERM would end this process at once, and with it the last records.
    cleanup: false,
  });
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    timer = setTimeout(() => child.kill('SIGTERM'), lastRecordsMs);
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    yield* linesOf(child.stdout as AsyncIterable<Buffer>, maxLineBytes);
    const { code } = await child;
    if (code === 'ENOENT') throw new AgentError('COMMAND_NOT_STARTED', { program, reason: code });
    if (!signal.aborted) throw new AgentError('JOURNAL_READER_ENDED', {});
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    child.kill('SIGTERM');
    await child;
  }
};
