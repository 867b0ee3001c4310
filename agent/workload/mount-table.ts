/** /proc/self/mountinfo, proc_pid_mountinfo(5): which device holds a path. */

/** The folder that holds `path`, which is absolute. */
export const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));

interface Mount {
  readonly id: string;
  readonly parent: string;
  readonly device: string;
  readonly point: string;
}

/** Blanks, tabs, line feeds and backslashes of a path are written as three octal digits. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

const mountsOf = (table: string): readonly Mount[] =>
  table.split('\n').flatMap((line) => {
    const [id, parent, device, , point] = line.split(' ');
    if (id === undefined || parent === undefined || device === undefined || point === undefined) return [];
    return [{ id, parent, device, point: unescaped(point) }];
  });

const isWithin = (path: string, point: string): boolean =>
  point === '/' || path === point || path.startsWith(`${point}/`);

/**
 * `major:minor` of the file system that holds `path`, or null when the table does not say. `path` is absolute, without
 * symbolic links.
 *
 * Goes down from the root mount by parents: a mount that lies below a later one is not reached, as it is not by a path.
 */
export const deviceHolding = (table: string, path: string): string | null => {
  const mounts = mountsOf(table);
  const hasParent = ({ id, parent }: Mount): boolean => mounts.some((other) => other.id === parent && parent !== id);
  const root = mounts.find((mount) => mount.point === '/' && !hasParent(mount));
  if (root === undefined) return null;
  let current: Mount = root;
  for (let depth = 0; depth <= mounts.length; depth += 1) {
    const { id } = current;
    const onTheWay = mounts.filter((mount) => mount.parent === id && mount.id !== id && isWithin(path, mount.point));
    // The first one met on the way down; those behind it belong to another part of the tree.
    const [next] = onTheWay.sort((a, b) => a.point.length - b.point.length);
    if (next === undefined) return current.device;
    current = next;
  }
  return null;
};
