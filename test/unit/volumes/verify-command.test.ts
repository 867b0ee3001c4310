/** What `triseed volume verify` ends with, over one file that is no volume and one that cannot be read. */
import { join } from 'node:path';
import t from 'tap';
import { verifyCommand } from '../../../agent/cli/volume-state.ts';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import { openedPath, renderOpened } from '../../../agent/volumes/opened-record.ts';
import { callCommand } from '../../fakes/command-line.ts';
import { filesInMap } from '../../fakes/files-in-map.ts';

const folder = t.testdir({ plain: 'no LUKS header'.repeat(1000) });
const run = '/run/triseed';
const record = (volume: string, device: string) => ({
  ...{ volume, device, mount: `/mnt/${volume}`, mapping: `triseed-${volume}` },
  ...{ luksUuid: '11111111-2222-4333-8444-555555555555', scenario: 'open' },
});
const plain = record('plain', join(folder, 'plain'));
const unreadable = record('unreadable', join(folder, 'absent'));

const verified = async (...opened: readonly (typeof plain)[]): Promise<number> => {
  const files = filesInMap({ [openedPath(run)]: renderOpened(opened), '/proc/self/mountinfo': '' });
  const ended = await callCommand(
    (host, io) =>
      verifyCommand({
        configured: async () => ({ settings: parseConfiguration('', 'agent.yaml'), host: { ...host, files } }),
        host,
        io,
        credentialsFolder: null,
        signal: new AbortController().signal,
        ask: async () => '',
      }),
    [],
  );
  return ended.status;
};

t.test('one that is not encrypted is told, whatever could not be found out of another', async (t) => {
  t.equal(await verified(), 0);
  t.equal(await verified(plain), 1);
  t.equal(await verified(unreadable), 3);
  t.equal(await verified(plain, unreadable), 1);
  t.equal(await verified(unreadable, plain), 1);
});
