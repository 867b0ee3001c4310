import t from 'tap';
import { shown } from '../../scripts/demonstration/journal-lines.ts';
import { type Screen, Timeline } from '../../scripts/demonstration/timeline.ts';

const line = (identifier: string, text: string) => ({ at: 1, identifier, pid: 1, text });

t.test('lines with a message id are shown, a plan step by step, everything else is not', async (t) => {
  t.equal(shown(line('systemd', 'Reached target basic.target')), null);
  t.match(shown(line('keydaemon', 'HPL18002W: root key is not usable')), { severity: 'warning' });
  t.match(shown(line('triseed', 'HPL05001E: broken')), { severity: 'error' });
  t.match(shown(line('hpcr-catch-failure', 'VSI has failed to start!')), { severity: 'error' });
  const plan = shown(line('hpcr-disk-mount', 'TSD07001I: plan for volume data: fresh: PARTITION → open (digest 12ab)'));
  t.match(plan?.text, /1\. partition +\(overwrites the disk\)/);
  t.match(plan?.text, /^ {4}2\. open$/m);
});

const record = (isTerminal: boolean, colour: boolean): { screen: Screen; text: () => string } => {
  let written = '';
  const screen = {
    write: (text: string) => {
      written += text;
    },
    isTerminal,
    colour,
    now: () => performance.now(),
  };
  return { screen, text: () => written };
};

t.test('without a terminal nothing moves and nothing is coloured', async (t) => {
  const { screen, text } = record(false, false);
  const timeline = new Timeline(screen);
  timeline.chapter('One');
  timeline.proven('done');
  t.equal(await timeline.countdown('waiting', 2, Promise.resolve(7)), 7);
  t.notOk(text().includes('\u001b') || text().includes('\r'));
  t.match(text(), /waiting: 2 s left/);
});

t.test('on a terminal a countdown replaces itself and leaves nothing behind', async (t) => {
  const { screen, text } = record(true, true);
  const timeline = new Timeline(screen);
  await timeline.countdown('waiting', 2, Promise.resolve());
  t.ok(text().endsWith('\r\u001b[K'));
});
