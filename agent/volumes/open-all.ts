/** Many volumes: all of them are ready before the first one is changed, and all are opened or none stays open. */
import type { ContractVolume } from '../contract/types.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { type AppliedVolume, applyPlan, closeVolumes } from './apply.ts';
import { derivesKeys, settleDevices, waitsForDevices } from './commands.ts';
import { guardPlan } from './guard.ts';
import { type Plan, renderSteps } from './plan.ts';
import {
  discard,
  impatient,
  impatiently,
  type Preparation,
  type PreparedVolume,
  prepareVolume,
  rehearseVolume,
} from './prepare.ts';
import { limited, shared } from './take-turns.ts';

/** A root key whose answer is older than this is asked again before its volume is opened. */
const keyAnswerAgeMs = 20_000;
/** Where asking all volumes takes longer than that, some answers are always old: then they are opened, and each is asked for by itself. */
const patientRounds = 2;

/** Volumes that are changed at the same time: each that is being made holds a header of 16 MiB in the run folder. */
const volumesAtOnce = 4;
/** Runs of cryptsetup at the same time: a key derivation takes 64 MiB, on volumes made elsewhere up to 1 GiB. */
const derivationsAtOnce = 2;

/**
 * `host` for many volumes at a time: few programs at once that derive keys, and one listing of the disks and one wait for
 * udev for all who ask at the same time. Everything else happens as it comes.
 */
const forMany = (host: Host): Host => {
  const derive = limited(host.run, derivationsAtOnce);
  const settle = shared(() => host.run(settleDevices()));
  const run: Host['run'] = (command) => {
    if (derivesKeys(command)) return derive(command);
    return waitsForDevices(command) ? settle() : host.run(command);
  };
  const listAll = shared(() => host.disks.list());
  const list: Host['disks']['list'] = (path) => (path === undefined ? listAll() : host.disks.list(path));
  return { ...host, run, disks: { ...host.disks, list } };
};

/** Runs all, waits for all: nothing keeps running behind an error. Failures in the order in which they happened; `onFailure` hears of each. */
const all = async <In, Out>(inputs: readonly In[], work: (input: In) => Promise<Out>, onFailure = (): void => {}) => {
  const failed: unknown[] = [];
  const noted = async (input: In): Promise<Out> => {
    try {
      return await work(input);
    } catch (error) {
      failed.push(error);
      onFailure();
      throw error;
    }
  };
  const settled = await Promise.allSettled(inputs.map(noted));
  return { done: settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])), failed };
};

/** Nothing is wrong with the volume that ends with this: another one cannot be opened. */
class GivenUp extends Error {}

/** How soon who waits for a disk or a key hears of another volume's failure. Requests have limits of their own. */
const listenMs = 1000;

/** `host` for volumes of which none is opened without the others: once `ended` aborts they wait for nothing any more. */
const waitingUntil = (ended: AbortSignal, host: Host): Host => ({
  ...host,
  clock: {
    now: () => host.clock.now(),
    monotonicMs: () => host.clock.monotonicMs(),
    sleep: async (ms, signal) => {
      if (signal !== undefined) return host.clock.sleep(ms, signal);
      for (let leftMs = ms; leftMs > 0 && !ended.aborted; leftMs -= listenMs)
        await host.clock.sleep(Math.min(leftMs, listenMs));
      if (ended.aborted) throw new GivenUp();
    },
  },
});

/** The first failure as the error, all of them as its cause. */
const firstOf = (failed: readonly unknown[]): unknown => {
  const [first, ...others] = failed;
  if (!(first instanceof AgentError) || others.length === 0) return first;
  return new AgentError(first.code, first.facts, {
    cause: new AggregateError([first.cause, ...others].filter(Boolean)),
  });
};

const announce = (host: Host, { volume, scenario, steps, digest }: Plan): void =>
  host.journal.message('VOLUME_PLAN', { volume, scenario, steps: renderSteps(steps), digest });

/** A copy of a volume beside its original: XFS and btrfs take two devices with one identity for the same file system. */
const refuseCopies = (prepared: readonly PreparedVolume[]): void => {
  const uuidOf = ({ observation: { header, luks1 } }: PreparedVolume): string | undefined =>
    (header?.gated ?? luks1)?.copy.uuid;
  for (const volume of prepared) {
    const uuid = uuidOf(volume);
    const copies = prepared.filter((other) => uuid !== undefined && uuidOf(other) === uuid);
    if (copies.length < 2) continue;
    throw new AgentError('VOLUME_COPIED', {
      volumes: copies.map(({ plan }) => plan.volume).join(', '),
      uuid: uuid ?? '',
    });
  }
};

/** Two volumes that lead to one disk would format over each other. */
const refuseSharedDisks = (prepared: readonly PreparedVolume[]): void => {
  for (const { plan } of prepared) {
    const sharing = prepared.filter((other) => other.plan.disk === plan.disk);
    if (sharing.length < 2) continue;
    const volumes = sharing.map((other) => other.plan.volume).join(', ');
    throw new AgentError('VOLUME_DISK_SHARED', { volumes, path: plan.disk });
  }
};

/** `prepare` for every one of `given`; when one cannot be, the others wait for nothing more, and no proof is left behind. */
const prepareEach = async <Given>(
  host: Host,
  given: readonly Given[],
  prepare: (host: Host, given: Given) => Promise<PreparedVolume>,
): Promise<readonly PreparedVolume[]> => {
  const ended = new AbortController();
  const calm = waitingUntil(ended.signal, forMany(host));
  const one = (volume: Given): Promise<PreparedVolume> => prepare(calm, volume);
  const { done, failed } = await all(given, one, () => ended.abort());
  try {
    if (failed.length > 0) throw firstOf(failed.filter((error) => !(error instanceof GivenUp)));
    refuseSharedDisks(done);
    refuseCopies(done);
    return done;
  } catch (error) {
    for (const { proof } of done) await discard(host, proof);
    throw error;
  }
};

/** Every volume inspected, proven, planned and guarded. Throws at once what the first one throws that cannot be. */
export const prepareAll = (
  host: Host,
  volumes: readonly ContractVolume[],
  preparation: Preparation,
): Promise<readonly PreparedVolume[]> =>
  prepareEach(host, volumes, (calm, volume) => prepareVolume(calm, volume, preparation));

const isStale = (host: Host, { keyAskedAtMs }: PreparedVolume): boolean =>
  keyAskedAtMs !== null && host.clock.monotonicMs() - keyAskedAtMs > keyAnswerAgeMs;

/**
 * As long as no volume is open, root keys asked long ago, while another volume was waited for, are asked again as patiently as the
 * first time. Nobody watches the keys of opened volumes yet, so that later no volume may make them wait.
 */
const refreshAll = async (
  host: Host,
  prepared: readonly PreparedVolume[],
  preparation: Preparation,
): Promise<readonly PreparedVolume[]> => {
  let current = prepared;
  for (let round = 0; round < patientRounds && current.some((volume) => isStale(host, volume)); round += 1)
    current = await prepareEach(host, current, async (calm, given) => {
      if (!isStale(host, given)) return given;
      await discard(host, given.proof);
      return prepareVolume(calm, given.volume, preparation);
    });
  return current;
};

/** The volume as it is now: a root key asked long ago is asked again, once, and the guard looks once more right before the first write. */
const refreshed = async (host: Host, prepared: PreparedVolume, preparation: Preparation): Promise<PreparedVolume> => {
  const { volume, proof, plan } = prepared;
  if (isStale(host, prepared)) {
    await discard(host, proof);
    return { ...(await prepareVolume(host, impatient(volume), impatiently(preparation))), volume };
  }
  try {
    return { ...prepared, plan: await guardPlan(host, plan, preparation.settings.volumes.legacyProfiles) };
  } catch (error) {
    await discard(host, proof);
    throw error;
  }
};

export interface Opened {
  readonly applied: AppliedVolume;
  readonly keyAskedAtMs: number | null;
  readonly restarts: PreparedVolume['restarts'];
}

const carryOut = async (host: Host, given: PreparedVolume, preparation: Preparation): Promise<Opened> => {
  let current = given;
  try {
    current = await refreshed(host, given, preparation);
    const { volume, plan, proof, observation, keyAskedAtMs, restarts } = current;
    announce(host, plan);
    return { applied: await applyPlan(host, { volume, plan, proof, observation }), keyAskedAtMs, restarts };
  } finally {
    current.proof.wipe();
  }
};

/** All volumes or none: when one fails, the others are closed again before the error leaves. */
export const applyAll = async (
  host: Host,
  prepared: readonly PreparedVolume[],
  preparation: Preparation,
): Promise<readonly Opened[]> => {
  const calm = forMany(host);
  const one = (volume: PreparedVolume): Promise<Opened> => carryOut(calm, volume, preparation);
  const fresh = await refreshAll(host, prepared, preparation);
  const { done, failed } = await all(fresh, limited(one, volumesAtOnce));
  if (failed.length === 0) return done;
  await closeVolumes(
    host,
    done.map(({ applied }) => applied),
  );
  throw firstOf(failed);
};

/** The plans alone. */
export const rehearseAll = async (
  host: Host,
  volumes: readonly ContractVolume[],
  preparation: Preparation,
): Promise<readonly Plan[]> => {
  const calm = forMany(host);
  const { done, failed } = await all(volumes, (volume) => rehearseVolume(calm, volume, preparation));
  if (failed.length > 0) throw firstOf(failed);
  return done;
};
