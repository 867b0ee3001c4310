/** Many volumes, none of which is opened without the others. */
import t from 'tap';
import { parseConfiguration } from '../../../agent/configuration-parse.ts';
import { Secret } from '../../../agent/secret.ts';
import { prepareAll } from '../../../agent/volumes/open-all.ts';
import { manualClock } from '../../fakes/clock.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { volumeWith } from '../../fakes/volume.ts';

t.test('a volume that can never be opened ends the boot within a second, whatever another one waits for', async (t) => {
  const clock = manualClock();
  const recorded = hostOnFiles();
  const host = { ...recorded, clock, disks: { ...recorded.disks, list: async () => [] } };
  const settings = parseConfiguration('volumes: { deviceWaitSeconds: 900 }', 'agent.yaml');
  const startedAtMs = clock.monotonicMs();
  const kms = [{ crn: 'no CRN', type: 'public', apiKey: Secret.fromText('throw-away') } as const];
  const volumes = [volumeWith({ key: 'late' }), volumeWith({ key: 'wrong', kms }), volumeWith({ key: 'later' })];
  const ends = clock.run(prepareAll(host, volumes, { settings, startedAtMs }));
  const error = await ends.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  t.match(error, { code: 'KMS_REFERENCE_INVALID', cause: undefined });
  t.ok(clock.monotonicMs() - startedAtMs <= 1000, `${clock.monotonicMs() - startedAtMs} ms waited`);
  t.equal(clock.sleeping, 0);
});
