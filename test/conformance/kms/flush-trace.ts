/**
 * Reads what strace(1) saw (-f -yy) and judges it: when an answer leaves over a socket, nothing of the store may be waiting
 * to be flushed, neither bytes of a file nor the name of a new one.
 */

export interface Judged {
  readonly complaints: readonly string[];
  /** Answers of success that were seen leaving. */
  readonly answers: number;
  /** Of these, how many had a flush of the store since the answer before. */
  readonly flushed: number;
  /** Files of the store that were made, in order. */
  readonly created: readonly string[];
}

/** `PID call(FD<path>, rest) = result`; the result is missing while another thread goes on. */
const CALL = /^(\d+) +(\w+)\((?:\d+<(.*?)>)?(.*?)(?:\) += (-?\d+)(?:<.*>)?.*| <unfinished \.\.\.>)$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>.*\) += (-?\d+)/;
const MADE = /"([^"]+)", [A-Z_|]*O_CREAT/;

export const judgeTrace = (text: string, folder: string): Judged => {
  const complaints: string[] = [];
  const created: string[] = [];
  const dirty = new Set<string>();
  const unnamed = new Set<string>();
  /** By thread: the file whose flush has begun. */
  const flushing = new Map<string, string>();
  let answers = 0;
  let flushed = 0;
  let flushes = 0;

  const isOfStore = (path: string): boolean => path.startsWith(`${folder}/`) && path !== `${folder}/trace`;
  const flush = (path: string): void => {
    flushes += isOfStore(path) ? 1 : 0;
    dirty.delete(path);
    if (path === folder) unnamed.clear();
  };
  const answer = (line: string): void => {
    answers += 1;
    if (flushes > 0) flushed += 1;
    flushes = 0;
    const waiting = [...dirty, ...unnamed];
    if (waiting.length > 0) complaints.push(`${waiting.join(', ')} before ${line.slice(0, 120)}`);
  };

  for (const line of text.split('\n')) {
    const resumed = RESUMED.exec(line);
    if (resumed !== null) {
      const [, thread = '', , result] = resumed;
      const path = flushing.get(thread);
      flushing.delete(thread);
      if (path !== undefined && result === '0') flush(path);
      continue;
    }
    const [, thread = '', name = '', path = '', rest = '', result] = CALL.exec(line) ?? [];
    if (name === 'openat') {
      const made = MADE.exec(line)?.[1];
      if (made !== undefined && isOfStore(made) && !created.includes(made)) {
        created.push(made);
        unnamed.add(made);
      }
    } else if (/^(fsync|fdatasync)$/.test(name)) {
      if (result === undefined) flushing.set(thread, path);
      else if (result === '0') flush(path);
    } else if (/write|send/.test(name)) {
      if (isOfStore(path)) dirty.add(path);
      else if (path.startsWith('TCP') && /"HTTP\/1\.1 2\d\d/.test(rest)) answer(line);
    }
  }
  return { complaints, answers, flushed, created };
};
