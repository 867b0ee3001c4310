/** Real cryptsetup on header files: what a change of passphrase leaves in H, and that it can be committed. */

import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCommand } from '../../../agent/host/exec.ts';
import { Secret } from '../../../agent/secret.ts';
import { changePassphrase } from '../../../agent/volumes/change-passphrase.ts';
import { luksAddKey, luksFormat, luksOpen } from '../../../agent/volumes/commands.ts';
import { gateHeader } from '../../../agent/volumes/gate.ts';
import { planHeaderCommit } from '../../../agent/volumes/header-commit.ts';
import { onDevice, readHeaderFile, writeHeaderFile } from '../../../agent/volumes/header-file.ts';
import type { Plan } from '../../../agent/volumes/plan.ts';
import type { Proof } from '../../../agent/volumes/prove.ts';
import { bindingOf } from '../../../agent/volumes/prove.ts';
import { macMatches } from '../../../agent/volumes/token.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';

const secret = (text: string): Secret => Secret.fromText(text.padEnd(64, '.'));
const [old, fresh, spare] = [secret('throw-away old'), secret('throw-away new'), secret('throw-away spare')];
const opens = async (header: string, device: string, passphrase: Secret): Promise<boolean> =>
  (await runCommand(luksOpen({ header, device, name: null, keyslot: null }, passphrase))).exit === 0;

/** H of a volume that cryptsetup made, with a second keyslot when wanted. */
const made = async (t: Test, slots: 1 | 2) => {
  const run = t.testdir({});
  const device = join(run, 'device');
  writeFileSync(device, '');
  truncateSync(device, 32 << 20);
  const header = join(run, 'header');
  const luksUuid = '11111111-2222-4333-8444-555555555555';
  await runCommand(luksFormat({ header, device, luksUuid, sectorBytes: 4096, kdf: 'pbkdf2' }, old));
  if (slots === 2) await runCommand(luksAddKey({ header, device, kdf: 'pbkdf2' }, Secret.join([old, spare]), 64));
  const host = hostOnFiles();
  const file = await readHeaderFile(host, header);
  if (file.header.kind !== 'luks2') throw new Error('no header');
  const gate = gateHeader(file.header.current);
  if (gate.kind === 'refused') throw new Error(gate.reason);
  const { read, close } = await host.disks.open(header, 'read');
  const present = await onDevice(read, { gated: gate.header, primaryIsCurrent: true, secondaryIsCurrent: true });
  await close();
  await file.close();
  await writeHeaderFile(host, header, gate.header.segment.offsetBytes, present.image);
  return { host, device, header, present, gated: gate.header };
};

const plan = { volume: 'data', partitions: { disk: 'd', metadata: 'm', data: 'p' } } as Plan;
const proofWith = (headerFile: string, seed3: Secret | null): Proof => ({
  headerFile,
  passphrase: old,
  scheme: 'two-seed',
  renewal: { passphrase: fresh, scheme: seed3 === null ? 'two-seed' : 'interim' },
  keyslot: null,
  obtained: seed3 && { seed3, wrapped: 'd3JhcHBlZA==', keyVersion: 'v', rewrapped: false, entryIndex: 0, askedAtMs: 0 },
  present: null,
  wipe: () => {},
});

for (const slots of [1, 2] as const) {
  t.test(`${slots} keyslot(s): only the new passphrase opens, the data key is the same`, async (t) => {
    const { host, device, header, present, gated } = await made(t, slots);
    const seed3 = secret('throw-away third');
    const proof = proofWith(header, seed3);
    const step = { do: 'change-passphrase', kdf: 'pbkdf2', why: 'rekey' } as const;
    const changed = await changePassphrase(host, { plan, proof, step, present, gated, device });
    t.ok(await opens(header, device, fresh));
    t.notOk(await opens(header, device, old));
    t.notOk(await opens(header, device, spare));
    t.equal(changed.removed.length, slots);
    t.equal(changed.gated.keyslots.length, 1);
    t.equal(changed.gated.profile, 'triseed');
    t.strictSame(changed.gated.copy.json.segments, gated.copy.json.segments);
    t.ok(changed.gated.copy.sequence > gated.copy.sequence, 'readers take it for the newer one');
    const { token } = changed.gated;
    t.match(token, { volume: 'data', scheme: 'interim', keyslot: changed.keyslot });
    const binding = bindingOf(changed.gated, plan, 'interim');
    t.ok(macMatches(seed3, binding, token?.stored?.mac ?? ''), 'the token is bound to the header as it is now');
    const writes = planHeaderCommit(present, changed.image);
    const [first] = writes;
    t.ok((first?.offset ?? 0) >= 32_768, 'the new keyslot area is written before any header refers to it');
    for (const { args, stdin } of host.commands) {
      t.ok(args.includes(`--header=${header}`));
      t.notMatch(args.join(' '), /throw-away/);
      t.type(stdin, Secret);
    }
  });
}

t.test('a wrong passphrase changes nothing', async (t) => {
  const { host, device, header, present, gated } = await made(t, 1);
  const proof = { ...proofWith(header, null), passphrase: spare };
  const step = { do: 'change-passphrase', kdf: 'argon2id', why: 'roll' } as const;
  await t.rejects(changePassphrase(host, { plan, proof, step, present, gated, device }), {
    code: 'LUKS_PASSWORD_CHANGE_FAILED',
  });
  t.ok(await opens(header, device, old));
});
