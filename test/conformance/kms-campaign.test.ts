/**
 * Random fault scripts against client and key service in one process, on a clock that jumps. `CAMPAIGN_SEED=text` plays
 * another campaign than the one that is always played, `CAMPAIGN_RUNS=n` changes its length, `CAMPAIGN_ONLY=n` plays one script and prints it.
 */
import t from 'tap';
import { AgentError } from '../../agent/errors.ts';
import { backendFor } from '../../agent/kms/backends.ts';
import { type ObtainedSeed, obtainSeed } from '../../agent/kms/obtain-seed.ts';
import { manualClock } from '../fakes/clock.ts';
import { API_KEY, INSTANCE, type LocalKms, localKms } from '../fakes/local-kms.ts';
import { seeded, seededEntropy } from '../fakes/seeded.ts';
import { judge, type Run } from './campaign/judge.ts';
import { networkOf } from './campaign/network.ts';
import { type Script, scriptOf } from './campaign/script.ts';

t.setTimeout(300_000);

const seed = process.env.CAMPAIGN_SEED ?? '781670324';
const runs = Number(process.env.CAMPAIGN_RUNS ?? 1000);
const only = process.env.CAMPAIGN_ONLY === undefined ? null : Number(process.env.CAMPAIGN_ONLY);
/** One service is shared by so many scripts; each has its own keys. */
const BATCH = 50;

type Place = { readonly kms: LocalKms; readonly clock: ReturnType<typeof manualClock> };

const wrapWith = async (kms: LocalKms, key: string, plaintext: string): Promise<string> => {
  const { json } = await kms.request('POST', `/api/v2/keys/${key}/actions/wrap`, { plaintext });
  return String(json.ciphertext);
};

const act = (kms: LocalKms, key: string, action: Script['owner'][number]['action']): Promise<unknown> => {
  if (action === 'delete') return kms.request('DELETE', `/api/v2/keys/${key}`);
  const path = action === 'restore' ? 'restore' : `actions/${action}`;
  return kms.request('POST', `/api/v2/keys/${key}/${path}`);
};

/** What the service itself says is in `wrapped`, whatever its owner did to the key meanwhile. */
const contentOf = async ({ kms, clock }: Place, key: string, wrapped: string): Promise<string | null> => {
  for (const mend of ['enable', 'restore', 'enable', null] as const) {
    const { status, json } = await kms.request('POST', `/api/v2/keys/${key}/actions/unwrap`, { ciphertext: wrapped });
    if (status === 200) return String(json.plaintext);
    if (mend === null) return null;
    await clock.advance(31_000);
    await act(kms, key, mend);
  }
  return null;
};

const play = async (place: Place, script: Script, name: string): Promise<{ run: Run; complaints: string[] }> => {
  const { kms, clock } = place;
  const random = seeded(`${name} secrets`);
  const secretSeed = random.bytes(32).toString('base64');
  const lie = random.bytes(32).toString('base64');
  const keys: string[] = [];
  for (let entry = 0; entry < script.entries; entry += 1) keys.push(await kms.createKey());
  const owner = script.storedBy === 'nobody' ? await kms.createKey() : keys[Number(script.storedBy)];
  const stored = script.storedBy === 'none' ? null : await wrapWith(kms, owner ?? '', secretSeed);
  const network = networkOf(
    {
      clock,
      service: kms.http.send,
      keys,
      stored,
      lie: { seed: lie, ciphertext: await wrapWith(kms, keys[0] ?? '', lie) },
    },
    script,
  );
  const entropy = seededEntropy(`${name} entropy`);
  const backends = keys.map((key, entry) =>
    backendFor({ http: network.send, clock, entropy }, kms.entry(key), {
      ...kms.settings,
      iam: `http://127.0.0.1:${9000 + entry}`,
      endpoints: { [INSTANCE]: 'http://127.0.0.1:8080' },
    }),
  );

  const said: unknown[] = [];
  const over = new AbortController();
  for (const { atMs, entry, action } of script.owner) {
    void clock.sleep(atMs, over.signal).then(() => (over.signal.aborted ? null : act(kms, keys[entry] ?? '', action)));
  }
  const startedMs = clock.monotonicMs();
  const journal = { message: (...given: unknown[]) => void said.push(given), note: () => {} };
  const work = obtainSeed({ clock, entropy, journal }, backends, {
    volume: 'data',
    stored,
    kmsTimeoutMinutes: script.kmsTimeoutMinutes,
    startedAtMs: startedMs,
  });
  const result: ObtainedSeed | AgentError = await clock.run(work).catch((error: unknown) => {
    if (error instanceof AgentError) return error;
    throw error;
  });
  const endedMs = clock.monotonicMs();
  over.abort();

  const isOpenable = stored !== null && script.storedBy !== 'nobody';
  const run: Run = {
    script,
    network: { ...network, exchanges: [...network.exchanges] },
    stored,
    seed: isOpenable ? secretSeed : null,
    result,
    startedMs,
    endedMs,
    said,
    secrets: [API_KEY, lie],
  };
  const complaints = judge(run);
  if (!(result instanceof AgentError)) {
    const text = result.seed3.expose((bytes) => bytes.toString('latin1'));
    const kept = await contentOf(place, keys[0] ?? '', result.wrapped);
    if (kept !== text)
      complaints.push(`what is to be stored does not unwrap to the seed with entry 1: ${kept !== null}`);
  }
  return { run, complaints };
};

t.test(`${runs} fault scripts, CAMPAIGN_SEED=${seed}`, async (t) => {
  const ends = new Map<string, number>();
  let struck = 0;
  let place: Place | null = null;
  for (let at = only ?? 0; at < (only === null ? runs : only + 1); at += 1) {
    if (place === null || at % BATCH === 0) {
      place?.kms.store.close();
      const clock = manualClock();
      place = { clock, kms: await localKms(clock) };
    }
    const name = `${seed} ${at}`;
    const script = scriptOf(seeded(name));
    const { run, complaints } = await play(place, script, name);
    const end = run.result instanceof AgentError ? run.result.code : 'opened';
    ends.set(end, (ends.get(end) ?? 0) + 1);
    const isStruck = ({ outcome }: Run['network']['exchanges'][number]): boolean =>
      outcome.kind === 'failure' || outcome.isTouched;
    struck += run.network.exchanges.filter(isStruck).length;
    if (complaints.length > 0 || only !== null) {
      const facts = { script, end, exchanges: run.network.exchanges.slice(0, 40), complaints: complaints.slice(0, 5) };
      t.same(complaints, [], `CAMPAIGN_SEED=${seed} CAMPAIGN_ONLY=${at}`, facts);
    }
  }
  place?.kms.store.close();
  t.comment(`ends: ${JSON.stringify(Object.fromEntries(ends))}; ${struck} answers were struck`);
  if (only === null && runs >= 500) {
    // A campaign that never opens, or never fails, shows nothing.
    t.ok((ends.get('opened') ?? 0) > runs / 10, 'many open');
    for (const code of ['KMS_UNREACHABLE', 'KMS_KEY_NOT_ACTIVE', 'KMS_UNWRAP_FAILED', 'KMS_CONFIGURATION_REFUSED'])
      t.ok((ends.get(code) ?? 0) > 3, `some end with ${code}`);
    t.ok(struck > runs, 'faults really strike');
  }
});
