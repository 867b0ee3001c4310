/**
 * Forged LUKS2 headers, one after the other: what stock cryptsetup makes of them, and that we take none. The same in a guest, where
 * cryptsetup can also activate them: test/e2e/cases/stories/forgeries.ts.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import t from 'tap';
import { runCommand } from '../../../agent/host/exec.ts';
import type { DiskEntry, Host } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import { type GateResult, gateHeader, ourKdf } from '../../../agent/volumes/gate.ts';
import { guardPlan } from '../../../agent/volumes/guard.ts';
import { observe } from '../../../agent/volumes/inspect.ts';
import { type HeaderRead, readLuksHeader } from '../../../agent/volumes/luks-header.ts';
import { planVolume } from '../../../agent/volumes/plan.ts';
import { type Proof, proveOpening } from '../../../agent/volumes/prove.ts';
import { take } from '../../e2e/cases/image.ts';
import { forge, forgeCopy, luksFormat } from '../../e2e/cases/luks-file.ts';
import { type Forgery, forgeries } from '../../e2e/cases/luks-forgeries.ts';
import { quick } from '../../e2e/cases/volume-case.ts';
import { hostOnFiles } from '../../fakes/host-on-files.ts';
import { headerBytes, headerJson, keyslotAt, pbkdf2, threeSeedToken } from '../../fakes/luks-header.ts';
import { readerOf } from '../../fakes/sample-device.ts';
import { volumeWith } from '../../fakes/volume.ts';

t.setTimeout(120_000);
const work = t.testdir({ headers: {} });
const sizeBytes = 32 << 20;
const copyBytes = 16_384;
const seeds = { env: Secret.fromText('seed of the env'), workload: Secret.fromText('seed of the workload') };
/** sha256sum of both seeds, by coreutils. */
const passphrase = (
  await runCommand({
    program: '/usr/bin/sha256sum',
    args: [],
    stdin: Buffer.from('seed of the envseed of the workload'),
    timeoutMs: 10_000,
  })
).stdout
  .toString()
  .slice(0, 64);

const path = `${work}/device`;
writeFileSync(path, '');
truncateSync(path, sizeBytes);
luksFormat(path, passphrase, quick);
/** Both header copies and the keyslot's area: nothing behind them is ever forged. */
const areaBytes = 512 << 10;
const sound = take(path, 0, areaBytes);
const place = (bytes: Buffer): void => {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
};

const version = (
  await runCommand({ program: '/usr/sbin/cryptsetup', args: ['--version'], timeoutMs: 10_000 })
).stdout.toString();
/** Later versions refuse some of them; what they do is not ours to promise. */
const known = version.startsWith('cryptsetup 2.6.');

/** How long a passphrase may take that is right and costs 2000 iterations. */
const patienceMs = 1500;

const stockOn = async (bytes: Buffer): Promise<Forgery['stock']> => {
  place(bytes);
  const tested = await runCommand({
    program: '/usr/bin/timeout',
    args: [
      '--signal=KILL',
      String(patienceMs / 1000),
      ...['/usr/sbin/cryptsetup', 'open', '--test-passphrase', '--key-file=-', path],
    ],
    stdin: Buffer.from(passphrase),
    timeoutMs: 30_000,
  });
  if (tested.exit === 137 || tested.signal !== null) return 'hangs';
  if (tested.exit !== 0) return 'refuses';
  return take(path, 0, bytes.length).equals(bytes) ? 'opens' : 'repairs';
};

const gated = (found: HeaderRead): GateResult =>
  found.kind === 'luks2' ? gateHeader(found.current) : { kind: 'refused', reason: JSON.stringify(found) };
const ours = async (bytes: Buffer): Promise<GateResult> => gated(await readLuksHeader(readerOf(bytes), bytes.length));

const changed = (change: (bytes: Buffer) => unknown): Buffer => {
  const bytes = Buffer.from(sound);
  change(bytes);
  return bytes;
};

t.test('as it was made, both take it', async (t) => {
  t.match(await ours(sound), { kind: 'passed', header: { profile: 'compat-hpcr' } });
  t.equal(await stockOn(sound), 'opens');
});

t.test('every forgery is refused', async (t) => {
  const counts = new Map<string, number>();
  for (const { key, make, stock, reason } of forgeries) {
    const bytes = changed(make);
    t.match(await ours(bytes), { kind: 'refused', reason }, key);
    const found = await stockOn(bytes);
    counts.set(found, (counts.get(found) ?? 0) + 1);
    if (known) t.equal(found, stock, `${key}: cryptsetup ${stock}`);
  }
  const told = [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
  t.comment(`${forgeries.length} forgeries, all refused; ${version.trim()}: ${told}`);
});

t.test('copies that disagree', async (t) => {
  const [first, second] = [sound.subarray(0, copyBytes), sound.subarray(copyBytes, 2 * copyBytes)];
  const foreign = headerBytes(headerJson());
  const rows: readonly (readonly [string, Buffer, object, Forgery['stock']])[] = [
    // Reading is not writing: what is mended is decided by a plan.
    ['first scratched', changed((b) => b.write('x', 5000)), { kind: 'luks2', primary: 'invalid' }, 'repairs'],
    ['second scratched', changed((b) => b.write('x', copyBytes + 5000)), { secondary: 'invalid' }, 'repairs'],
    ['exchanged', changed((b) => b.set(Buffer.concat([second, first]))), { kind: 'absent' }, 'refuses'],
    ['the first one twice', changed((b) => b.set(first, copyBytes)), { secondary: 'invalid' }, 'repairs'],
    [
      'second of another volume',
      changed((b) => b.set(foreign.subarray(copyBytes), copyBytes)),
      { kind: 'damaged' },
      'opens',
    ],
    [
      'one sequence number, two contents',
      changed((b) =>
        forgeCopy(b.subarray(copyBytes, 2 * copyBytes), (json) => {
          json.config.flags = ['allow-discards'];
        }),
      ),
      { kind: 'damaged' },
      'opens',
    ],
    [
      'older forged second copy',
      changed((b) => {
        b.writeBigUInt64BE(1n, copyBytes + 16);
        forgeCopy(b.subarray(copyBytes, 2 * copyBytes), (json) => {
          json.config.flags = ['allow-discards'];
        });
      }),
      { primary: 'current', secondary: 'older' },
      'repairs',
    ],
    [
      'both scratched',
      changed((b) => b.write('x', 5000) && b.write('x', copyBytes + 5000)),
      { kind: 'damaged' },
      'refuses',
    ],
  ];
  for (const [name, bytes, expected, stock] of rows) {
    t.match(await readLuksHeader(readerOf(bytes), bytes.length), expected, name);
    const found = await stockOn(bytes);
    if (known) t.equal(found, stock, `${name}: cryptsetup ${stock}`);
  }
});

const volume = volumeWith({ envSeed: seeds.env, workloadSeed: seeds.workload });
const entry: DiskEntry = {
  name: 'device',
  path,
  sizeBytes,
  serial: 'data',
  readOnly: false,
  sectorBytes: 512,
  partitions: [],
  holders: [],
  mountPoints: [],
};
const legacy = { kind: 'opens', scenario: 'legacy-whole-disk', seeds: 2, rekeys: false } as const;
const nullCipher = changed((bytes) =>
  forge(bytes, 0, (json) => {
    for (const segment of Object.values(json.segments)) segment.encryption = 'cipher_null-ecb';
  }),
);
const noSeed = async (): Promise<never> => {
  throw new Error('nobody asks for a third seed');
};

/** A host with this one disk, which turns into `other` before the `turn`-th read of it. */
const turning = (turn: number, other: Buffer): Host & { readonly reads: () => number } => {
  const host = hostOnFiles();
  let reads = 0;
  const open: Host['disks']['open'] = async (wanted, access) => {
    const device = await host.disks.open(wanted, access);
    if (wanted !== path) return device;
    return {
      ...device,
      read: (offset, length) => {
        if (reads === turn) place(other);
        reads += 1;
        return device.read(offset, length);
      },
      close: () => device.close(),
    };
  };
  return { ...host, reads: () => reads, disks: { list: async () => [entry], open } };
};

/** What the agent does from the disk to a guarded plan, and the header that cryptsetup would then be given. */
const prepare = async (host: Host): Promise<{ readonly plan: string; readonly header: GateResult }> => {
  const observation = await observe(host, volume, entry);
  if (observation.target.fact !== 'luks')
    return { plan: observation.target.fact, header: await ours(Buffer.alloc(512)) };
  const proof = await proveOpening(host, volume, legacy, observation, work, noSeed);
  proof.wipe();
  const header = await ours(readFileSync(proof.headerFile));
  const identities = { diskGuid: 'd', metadataGuid: 'm', dataGuid: 'p', luksUuid: randomUUID() };
  const plan = planVolume(volume, observation, { seedWasRewrapped: false, opensWithPrevious: false }, identities);
  return guardPlan(host, plan).then(
    () => ({ plan: 'allowed', header }),
    (error: { readonly code: string }) => ({ plan: error.code, header }),
  );
};

t.test('a header that changes between any two looks at it', async (t) => {
  place(sound);
  const quiet = turning(-1, nullCipher);
  t.match(await prepare(quiet), { plan: 'allowed', header: { kind: 'passed' } });
  const total = quiet.reads();
  const ends = new Map<string, number>();
  for (let turn = 0; turn < total; turn += 1) {
    place(sound);
    const { plan, header } = await prepare(turning(turn, nullCipher));
    ends.set(plan, (ends.get(plan) ?? 0) + 1);
    if (header.kind === 'passed') {
      const { json } = header.header.copy;
      t.match(
        JSON.stringify(json),
        /"encryption":"aes-xts-plain64","sector/,
        `turn ${turn}: cryptsetup gets what was gated`,
      );
    } else t.not(plan, 'allowed', `turn ${turn}`);
  }
  t.comment(`${total} moments: ${[...ends].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  t.ok((ends.get('luks-damaged') ?? 0) > 0 && (ends.get('VOLUME_GUARD_OBJECTS') ?? 0) > 0, 'noticed early and late');
});

/** Opens a volume with this header with two seeds and one that the key service unwraps. */
const openingWithThird = async (bytes: Buffer): Promise<Proof> => {
  place(bytes);
  const host = turning(-1, bytes);
  const observation = await observe(host, volume, entry);
  if (observation.target.fact !== 'luks') throw new Error(`the header is ${observation.target.fact}`);
  const obtained = {
    seed3: Secret.fromText('a third seed of the service'),
    wrapped: 'd3JhcHBlZA==',
    keyVersion: 'v',
    rewrapped: false,
    entryIndex: 0,
    askedAtMs: 0,
  };
  const opening = { kind: 'opens', scenario: 'open-kms', seeds: 3, rekeys: false } as const;
  const seen = { ...observation, seed: { fact: 'present', wrapped: ['d3JhcHBlZA=='], mirrorIsCurrent: true } as const };
  return proveOpening(host, volume, opening, seen, work, async () => obtained);
};

t.test('a volume of ours whose token is gone is not opened, whatever keyslot stands before ours', async (t) => {
  const own = keyslotAt(1, { ...pbkdf2, iterations: ourKdf.pbkdf2.iterations });
  const odd = keyslotAt(0, { ...pbkdf2, iterations: 2000 });
  for (const keyslots of [{ '1': own }, { '0': odd, '1': own }]) {
    const json = headerJson();
    json.keyslots = keyslots;
    json.digests['0'].keyslots = Object.keys(keyslots);
    await t.rejects(openingWithThird(headerBytes(json)), { code: 'VOLUME_BINDING_BROKEN' });
  }
});

t.test('a keyslot for a key that the host knows needs a third seed that it cannot have', async (t) => {
  // Whoever knows both seeds can make a volume that opens with them; with a root key in between that is not enough.
  const json = headerJson();
  json.tokens['0'] = { ...threeSeedToken };
  await t.rejects(openingWithThird(headerBytes(json)), { code: 'VOLUME_BINDING_BROKEN' });
});
