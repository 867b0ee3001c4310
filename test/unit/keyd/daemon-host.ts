/** A host for the daemon: manual clock, files in a map, scripted commands, and a log of everything in order. */
import type { AgentConfiguration } from '../../../agent/configuration.ts';
import type { HandedVolume, HandOver } from '../../../agent/keyd/hand-over.ts';
import type { KeyBackend, KmsAnswer } from '../../../agent/kms/backend.ts';
import type { Command, CommandResult, Host } from '../../../agent/ports.ts';
import { Secret } from '../../../agent/secret.ts';
import { type ManualClock, manualClock } from '../../fakes/clock.ts';

export const bootId = '6a3f0f3e-8a3b-4f8f-9d43-0f0e6d2f6b11';
const never = new Promise<never>(() => {});
const unused = (): never => {
  throw new Error('the daemon has no business here');
};

export const apiKeyText = 'PLANTED-api-key-0123456789';

export const handedVolume = (given: Partial<HandedVolume> = {}): HandedVolume => ({
  key: 'data',
  mount: '/mnt/data',
  device: '/dev/vdb2',
  metadataDevice: '/dev/vdb1',
  mapping: 'triseed-data',
  luksUuid: '7f0d4d0a-3a39-4f31-8b0a-1f6a2a0d8a51',
  wrapped: 'old',
  keyVersion: 'v1',
  kmsTimeoutMinutes: 10,
  crn: 'crn:v1:bluemix:public:kms:us-south:a/1:2:key:3',
  type: 'public',
  apiKey: Secret.fromText(apiKeyText),
  ...given,
});

const kms: AgentConfiguration['kms'] = {
  iam: 'https://iam.cloud.ibm.com',
  endpoints: {},
  ca: [],
  proxy: null,
  pollSeconds: 60,
  onRevoked: 'grace',
};

export const handOver = (
  clock: ManualClock,
  volumes: readonly HandedVolume[] = [handedVolume()],
  power: 'systemd' | 'report' = 'systemd',
): HandOver => ({
  version: 1,
  bootId,
  provenAtMs: clock.monotonicMs(),
  volumes,
  settings: { kms, paths: { state: '/var/hyperprotect', run: '/run/triseed' }, power },
});

export interface DaemonHost extends Host {
  readonly clock: ManualClock;
  /** Messages by name, commands as one line, power actions and notifications, in the order they happened. */
  readonly log: string[];
  readonly written: Map<string, string>;
  readonly texts: string[];
  /** First sectors of partitions, by path; a partition that was never written begins with zeros. */
  readonly sectors: Map<string, Buffer>;
  /** Disks whose host does not answer. */
  readonly hanging: Set<string>;
}

export type Outcome = 'hangs' | number | { readonly stdout: string };

/** `outcomeOf` scripts a command by its line: an exit status, what it prints when it succeeds, or `hangs` for a child that cannot be killed. */
export const daemonHost = (outcomeOf: (line: string) => Outcome = () => 0): DaemonHost => {
  const log: string[] = [];
  const texts: string[] = [];
  const written = new Map<string, string>();
  const sectors = new Map<string, Buffer>();
  const hanging = new Set<string>();
  const run = async ({ program, args }: Command): Promise<CommandResult> => {
    const line = [program.split('/').at(-1), ...args].join(' ');
    log.push(line);
    const outcome = outcomeOf(line);
    if (outcome === 'hangs') return never;
    const [exit, stdout] = typeof outcome === 'number' ? [outcome, ''] : [0, outcome.stdout];
    return { exit, signal: null, timedOut: false, stdout: Buffer.from(stdout), stderr: '', elapsedMs: 1 };
  };
  return {
    clock: manualClock(),
    log,
    texts,
    written,
    sectors,
    hanging,
    run,
    files: {
      read: async (path) => {
        const found = written.get(path);
        return found === undefined ? null : Buffer.from(found);
      },
      writeAtomically: async (path, bytes) => {
        written.set(path, Buffer.from(bytes).toString('utf8'));
      },
      list: async (path) => [
        ...new Set(
          [...written.keys()]
            .filter((known) => known.startsWith(`${path}/`))
            .map((known) => known.slice(path.length + 1).split('/')[0] ?? ''),
        ),
      ],
      writeNew: unused,
      writeSparse: unused,
      makeFolder: async () => {},
      kind: unused,
      remove: unused,
      resolve: unused,
      isExecutable: unused,
      target: unused,
      isInMemory: unused,
    },
    disks: {
      list: unused,
      open: async (path) => ({
        path: hanging.has(path) ? await never : path,
        sizeBytes: 100 << 20,
        read: async (offset, length) => {
          if (offset !== 0 || length !== 512) return unused();
          return Buffer.from(sectors.get(path) ?? Buffer.alloc(512));
        },
        write: async (offset, bytes) => {
          if (offset !== 0 || bytes.length !== 512) return unused();
          sectors.set(path, Buffer.from(bytes));
        },
        flush: async () => {},
        close: async () => {},
      }),
    },
    locks: { acquire: unused },
    http: unused,
    entropy: { bytes: unused, fraction: () => 0, uuid: unused },
    power: {
      restart: async () => {
        log.push('restart');
      },
      powerOff: async () => {
        log.push('power off');
      },
    },
    journal: {
      message: (name, facts) => {
        log.push(name);
        texts.push(JSON.stringify({ name, facts }));
      },
      note: (_, text) => {
        texts.push(text);
      },
    },
  };
};

type StateAnswer = Awaited<ReturnType<KeyBackend['keyState']>>;
export type ScriptedState = StateAnswer | 'hangs' | Error;

export const activeKey = (keyVersion = 'v1'): StateAnswer => ({
  kind: 'done',
  value: { state: 'active', keyVersion },
  correlationId: null,
});
export const suspendedKey: StateAnswer = {
  kind: 'done',
  value: { state: 'suspended', keyVersion: 'v1' },
  correlationId: null,
};

export interface ScriptedBackend extends KeyBackend {
  /** Answers from now on. */
  answer: ScriptedState;
  rewrapAnswer: KmsAnswer<{ readonly wrapped: string; readonly keyVersion: string }>;
  readonly calls: string[];
  /** Requests that were begun and have not ended. */
  readonly open: () => number;
}

export const scriptedBackend = (answer: ScriptedState = activeKey()): ScriptedBackend => {
  let open = 0;
  const backend: ScriptedBackend = {
    answer,
    rewrapAnswer: { kind: 'done', value: { wrapped: 'bmV3', keyVersion: 'v2' }, correlationId: null },
    calls: [],
    open: () => open,
    keyState: async () => {
      backend.calls.push('keyState');
      open += 1;
      if (backend.answer === 'hangs') return never;
      open -= 1;
      if (backend.answer instanceof Error) throw backend.answer;
      return backend.answer;
    },
    rewrap: async (wrapped) => {
      backend.calls.push(`rewrap ${wrapped}`);
      return backend.rewrapAnswer;
    },
    generateAndWrap: unused,
    wrap: unused,
    unwrap: unused,
  };
  return backend;
};
