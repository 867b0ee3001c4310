/**
 * For a process that lasts as long as the guest and does little: memory matters more to it than speed. V8 takes new flags and
 * collects when asked (Node.js documentation, v8.setFlagsFromString; `--expose-gc`).
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** A collection takes some 15 ms: a forty-thousandth of this. */
const collectEveryMs = 60_000;
const firstCollectionMs = 5_000;

/** No compiled code beside the interpreter's, whose compilers alone are 3 MiB; and what is no longer needed goes back soon. */
export const lastLean = (): void => {
  for (const flag of ['--no-opt', '--no-sparkplug', '--no-maglev', '--expose-gc']) setFlagsFromString(flag);
  const collect: NodeJS.GCFunction = runInNewContext('gc');
  const all = () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  setTimeout(all, firstCollectionMs).unref();
  setInterval(all, collectEveryMs).unref();
};
