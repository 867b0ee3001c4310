/** Lines of journalctl out of chunks that end anywhere, and lines that are too long. */
import t from 'tap';
import { linesOf } from '../../../agent/host/follow-journal.ts';

const linesIn = async (chunks: readonly string[], maxLineBytes: number): Promise<readonly (string | null)[]> => {
  async function* given(): AsyncGenerator<Buffer> {
    for (const chunk of chunks) yield Buffer.from(chunk);
  }
  return Array.fromAsync(linesOf(given(), maxLineBytes));
};

t.test('wherever a chunk ends, the lines are the same; a line that is too long is null', async (t) => {
  const text = 'one\n\ntwenty-one bytes here\nlast of 10\nno end';
  const lines = ['one', '', null, 'last of 10'];
  for (let size = 1; size <= text.length; size += 1) {
    const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
      text.slice(at * size, (at + 1) * size),
    );
    t.strictSame(await linesIn(chunks, 10), lines, `${size} bytes at a time`);
  }
});
