/** What a guest may leave on the host: processes of its session, mounts, loop devices, memory files. */
import { readdirSync, readFileSync } from 'node:fs';

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Processes of the session `session` that are not zombies: `PID NAME`. proc(5), /proc/PID/stat. */
export const processesOf = (session: number): readonly string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const match = /^\d+ (\(.*\)) (\S) \d+ \d+ (\d+) /s.exec(read(`/proc/${pid}/stat`));
      return match === null || Number(match[3]) !== session || match[2] === 'Z' ? [] : [`${pid} ${match[1]}`];
    });

const look = (): readonly string[] => [
  ...readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line !== ''),
  ...readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop') && read(`/sys/block/${name}/loop/backing_file`) !== '')
    .map((name) => `loop device ${name}`),
  ...readdirSync('/dev/shm').filter((name) => name.startsWith('vm_file')),
];

/**
 * Mounts, attached loop devices and the kernels' memory files, which must be the same before and after. Looked at twice: a guest of
 * another file that is started meanwhile has a memory file with a name, for an instant.
 */
export const hostState = async (): Promise<readonly string[]> => {
  const first = look();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const second = look();
  return first.filter((line) => second.includes(line));
};
