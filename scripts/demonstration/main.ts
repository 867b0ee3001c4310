/**
 * `npm start`: boots a real guest through the life of a protected volume. Everything is written below .cache/; on any
 * end, Ctrl-C included, the guest and the key service are ended.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Guest } from '../../test/e2e/guest/guest.ts';
import { openScratch } from '../../test/e2e/guest/scratch.ts';
import { KeyService } from '../../test/e2e/world/key-service.ts';
import { tellStory } from './story.ts';
import { Timeline } from './timeline.ts';

const out = process.stdout;
const isTerminal = out.isTTY === true;
const colour = isTerminal && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
const timeline = new Timeline({ write: (text) => out.write(text), isTerminal, colour, now: () => performance.now() });

/** What runs or may run, so that any end of this process can end it. */
const running: { guest: Guest | null; service: KeyService | null } = { guest: null, service: null };

const endAll = async (): Promise<void> => {
  await running.guest?.stop();
  await running.service?.stop();
};

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.once(signal, () => {
    out.write('\nending the guest and the key service …\n');
    void endAll().finally(() => process.exit(status));
  });

/** The last run's images make room for this one's. */
const removeLastRun = (): void => {
  const guests = fileURLToPath(new URL('../../.cache/guests', import.meta.url));
  if (!existsSync(guests)) return;
  for (const name of readdirSync(guests))
    if (name.startsWith('demonstration-')) rmSync(`${guests}/${name}`, { recursive: true, force: true });
};

const demonstrate = async (): Promise<void> => {
  out.write(timeline.style('bold', 'Triseed: from a sealed contract to a volume that obeys its root key\n'));
  out.write(
    'A real Linux kernel runs as an ordinary process of this machine; two of the waits below are real minutes.\n',
  );
  removeLastRun();
  const scratch = openScratch('demonstration');
  const service = new KeyService(scratch.path('key-service'));
  running.service = service;
  try {
    await tellStory({
      timeline,
      scratch,
      service,
      onGuest: (guest) => {
        running.guest = guest;
      },
    });
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : String(error)}\nIts files are kept in ${scratch.folder}`,
    );
  }
  out.write(`\n${timeline.style('green', 'All of it happened, and nothing is left running.')}\n`);
};

try {
  await demonstrate();
} catch (error) {
  out.write(`\nThe demonstration stopped: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await endAll();
}
