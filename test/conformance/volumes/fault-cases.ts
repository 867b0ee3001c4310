/** Which faults each effect of a boot can meet, and which of them a boot is put through. Pure. */
import type { HttpOutcome } from '../../../agent/ports.ts';
import type { Effect, Ended, Fault } from '../../fakes/faulty-host.ts';

export interface NamedFault {
  readonly name: string;
  readonly fault: Fault;
}

export interface FaultCase extends NamedFault {
  readonly effect: Effect;
  /** The disk is gone from this effect on. */
  readonly vanishes: boolean;
}

const ends = (name: string, ended: Ended, late = false): NamedFault => ({ name, fault: { do: 'end', ended, late } });
const errno = (name: string, errno: string, part?: number): NamedFault => ({
  name,
  fault: { do: 'errno', errno, ...(part === undefined ? {} : { part }) },
});

const killed = ends('killed', { signal: 'SIGKILL' });
const tooLate = ends('done but too late', { signal: 'SIGTERM', timedOut: true }, true);
const absent: NamedFault = { name: 'absent', fault: { do: 'absent' } };
const anyProgram = [ends('status 1', { exit: 1, stderr: 'went wrong' }), killed, tooLate, absent];
/** cryptsetup(8), RETURN CODES. */
const cryptsetup = [1, 2, 3, 4, 5].map((exit) => ends(`status ${exit}`, { exit, stderr: 'went wrong' }));

const answers = (name: string, change: (answer: HttpOutcome) => HttpOutcome): NamedFault => ({
  name,
  fault: { do: 'answer', change },
});

const status = (code: number): NamedFault =>
  answers(`status ${code}`, () => ({
    kind: 'answer',
    response: { status: code, headers: {}, body: Buffer.from('{"resources":[{"errorMsg":"as the test says"}]}') },
  }));

const timeout = answers('timeout', () => ({ kind: 'failure', failure: 'timeout', detail: 'as the test says' }));

const bodyOf = (name: string, change: (text: string) => string): NamedFault =>
  answers(name, (answer) =>
    answer.kind === 'failure'
      ? answer
      : {
          kind: 'answer',
          response: { ...answer.response, body: Buffer.from(change(answer.response.body.toString())) },
        },
  );

/** Of 32 bytes, like a seed. */
const anotherSeed = Buffer.alloc(32, 7).toString('base64');

const service: readonly NamedFault[] = [
  timeout,
  ...[401, 403, 410, 503].map(status),
  bodyOf('cut', (text) => text.slice(0, text.length / 2)),
  bodyOf('another seed', (text) => text.replace(/("plaintext":\s*)"[^"]*"/, `$1"${anotherSeed}"`)),
  bodyOf('another wrapping', (text) => text.replace(/("ciphertext":\s*")...../, '$1AAAAA')),
];

const byKind: Readonly<Record<Exclude<Effect['kind'], 'run'>, readonly NamedFault[]>> = {
  open: [errno('ENXIO', 'ENXIO')],
  read: [errno('EIO', 'EIO')],
  write: [errno('EIO', 'EIO'), errno('ENOSPC in the middle', 'ENOSPC', 0.5), errno('EIO when all is there', 'EIO', 1)],
  flush: [errno('EIO', 'EIO')],
  close: [errno('EIO', 'EIO')],
  list: [errno('disk gone', 'ENODEV')],
  files: [errno('ENOSPC', 'ENOSPC'), errno('EROFS', 'EROFS')],
  http: service,
  lock: [{ name: 'held', fault: { do: 'held' } }],
};

export const faultsOf = ({ kind, name }: Pick<Effect, 'kind' | 'name'>): readonly NamedFault[] => {
  if (kind !== 'run') return byKind[kind];
  return name.startsWith('cryptsetup') ? [...cryptsetup, killed, tooLate, absent] : anyProgram;
};

/** One of a series of reads of the same device stands for all of them. */
const withoutRepeats = (effects: readonly Effect[]): readonly Effect[] =>
  effects.filter((effect, at) => effect.kind !== 'read' || effects[at + 1]?.name !== effect.name);

/** What happened last before each effect, beside reading: a read of the same device means something else there. */
const phases = (effects: readonly Effect[]): ReadonlyMap<Effect, string> => {
  let last = '';
  return new Map(
    effects.map((effect) => {
      const phase = last;
      if (['run', 'write', 'http', 'lock'].includes(effect.kind)) last = effect.name;
      return [effect, phase];
    }),
  );
};

/**
 * The faults of one boot. `known` is kept over boots with different plans: an effect that it does not hold meets all of its faults; of
 * the others programs, calls, writes and flushes meet the next in turn, and whatever else has the same place in a boot meets none.
 */
export const faultCases = (all: readonly Effect[], known: Map<string, number>): readonly FaultCase[] => {
  const phaseOf = phases(all);
  return withoutRepeats(all).flatMap((effect) => {
    const faults = faultsOf(effect);
    const place = `${effect.name} after ${phaseOf.get(effect)}`;
    const isNewPlace = !known.has(place);
    known.set(place, 0);
    const turn = known.get(effect.name);
    known.set(effect.name, (turn ?? -1) + 1);
    const takesTurns = isNewPlace || ['run', 'http', 'write', 'flush'].includes(effect.kind);
    const next = faults[(turn ?? 0) % faults.length];
    const chosen = turn === undefined ? faults : next === undefined || !takesTurns ? [] : [next];
    const cases = chosen.map((fault) => ({ ...fault, effect, vanishes: false }));
    const changes = effect.kind === 'write' || (effect.kind === 'run' && !/^udevadm|^dmsetup/.test(effect.name));
    if (!changes || !isNewPlace) return cases;
    return [
      ...cases,
      { name: 'the disk is gone', fault: { do: 'errno', errno: 'ENODEV' } as const, effect, vanishes: true },
    ];
  });
};

/** What a disk that is gone does to `effect`, or null when it has nothing to do with the disk. */
export const gone = (effect: Effect): Fault | null => {
  if (effect.kind === 'run') {
    if (/^udevadm|^dmsetup|^umount/.test(effect.name)) return null;
    return { do: 'end', ended: { exit: effect.name.startsWith('cryptsetup') ? 4 : 1, stderr: 'No such device' } };
  }
  if (effect.kind === 'list') return { do: 'errno', errno: 'ENODEV' };
  const onDisk = /^(open|read|write|flush) (disk|metadata|data|mapping)/.test(effect.name);
  return onDisk ? { do: 'errno', errno: effect.kind === 'open' ? 'ENXIO' : 'EIO' } : null;
};
