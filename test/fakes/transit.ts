/**
 * A second kind of key service, to show that the interface holds for other verbs: a transit engine in memory. It encrypts
 * and decrypts, names the key version inside its texts, knows no key states, makes no keys and tells nobody of a newer
 * version. Callers authenticate with a token; the whole engine can be sealed.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { CallLimits, KeyBackend, KmsAnswer, KmsRefusal, WrappedSeed } from '../../agent/kms/backend.ts';
import { isBase64Text, isWrappedText } from '../../agent/kms/wrapped-text.ts';
import type { Clock, Entropy } from '../../agent/ports.ts';
import { Secret } from '../../agent/secret.ts';

type Answer =
  | { readonly status: 200; readonly text: string; readonly latestVersion: number }
  | { readonly status: 400 | 403 | 404 | 503 | 'hang' };

interface EngineKey {
  readonly versions: Buffer[];
  /** Texts of older versions are not decrypted any more: how an owner of such a key suspends it. */
  minimumVersion: number;
}

const TEXT = /^transit:v(\d{1,4}):([A-Za-z0-9+/=]+)$/;

export class TransitEngine {
  readonly #entropy: Pick<Entropy, 'bytes'>;
  readonly #keys = new Map<string, EngineKey>();
  readonly #tokens = new Set<string>();
  isSealed = false;
  isSilent = false;

  constructor(entropy: Pick<Entropy, 'bytes'>) {
    this.#entropy = entropy;
  }

  createKey(name: string): void {
    this.#keys.set(name, { versions: [this.#entropy.bytes(32)], minimumVersion: 1 });
  }

  rotate(name: string): void {
    this.#keys.get(name)?.versions.push(this.#entropy.bytes(32));
  }

  /** No version is allowed for decryption, or all of them are again. */
  setSuspended(name: string, isSuspended: boolean): void {
    const key = this.#keys.get(name);
    if (key !== undefined) key.minimumVersion = isSuspended ? key.versions.length + 1 : 1;
  }

  remove(name: string): void {
    this.#keys.delete(name);
  }

  admit(token: string): void {
    this.#tokens.add(token);
  }

  call(token: string, verb: 'encrypt' | 'decrypt' | 'read', name: string, text: string): Answer {
    if (this.isSilent) return { status: 'hang' };
    if (this.isSealed) return { status: 503 };
    if (!this.#tokens.has(token)) return { status: 403 };
    const key = this.#keys.get(name);
    if (key === undefined) return { status: 404 };
    const latestVersion = key.versions.length;
    const usable = key.minimumVersion <= latestVersion;
    if (verb === 'read') return { status: 200, text: usable ? 'usable' : 'suspended', latestVersion };
    if (verb === 'encrypt') {
      // As real engines do: a raised minimum for decryption does not stop encryption.
      const iv = this.#entropy.bytes(12);
      const cipher = createCipheriv('aes-256-gcm', key.versions[latestVersion - 1] as Buffer, iv);
      const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return { status: 200, text: `transit:v${latestVersion}:${sealed.toString('base64')}`, latestVersion };
    }
    const match = TEXT.exec(text);
    const version = Number(match?.[1]);
    const material = key.versions[version - 1];
    if (match === null || material === undefined || version < key.minimumVersion) return { status: 400 };
    const sealed = Buffer.from(match[2] ?? '', 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', material, sealed.subarray(0, 12));
      decipher.setAuthTag(sealed.subarray(-16));
      const opened = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
      return { status: 200, text: opened.toString('utf8'), latestVersion };
    } catch {
      return { status: 400 };
    }
  }
}

const encode = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const decode = (wrapped: string): string => Buffer.from(wrapped, 'base64').toString('latin1');
const versionOf = (text: string): string => `v${TEXT.exec(text)?.[1] ?? '0'}`;

/** The engine's key `name` as the agent sees it. */
export const transitBackend = (
  host: { readonly clock: Clock; readonly entropy: Entropy },
  engine: TransitEngine,
  name: string,
  token: string,
): KeyBackend => {
  const call = async (
    verb: 'encrypt' | 'decrypt' | 'read',
    text: string,
    { timeoutMs }: CallLimits = { timeoutMs: 30_000 },
  ): Promise<KmsAnswer<{ readonly text: string; readonly latestVersion: number }>> => {
    const correlationId = host.entropy.uuid();
    const refuse = (refusal: KmsRefusal) => ({ ...refusal, correlationId });
    const answer = engine.call(token, verb, name, text);
    switch (answer.status) {
      case 200:
        return { kind: 'done', value: answer, correlationId };
      case 400:
        return refuse({ kind: 'badCiphertext' });
      case 403:
        return refuse({ kind: 'denied', by: 'kms' });
      case 404:
        return refuse({ kind: 'gone' });
      case 503:
        return refuse({ kind: 'retryable', reason: 'sealed', afterMs: null });
      case 'hang':
        await host.clock.sleep(timeoutMs);
        return refuse({ kind: 'retryable', reason: 'timeout: no answer in time', afterMs: null });
    }
  };

  const stateOf = (text: string) => (text === 'usable' ? ('active' as const) : ('suspended' as const));

  /** The engine would go on encrypting under a suspended key, and calls every old text a bad one: its state is asked first. */
  const ifUsable = async <T>(
    limits: CallLimits | undefined,
    act: () => Promise<KmsAnswer<T>>,
  ): Promise<KmsAnswer<T>> => {
    const read = await call('read', '', limits);
    if (read.kind !== 'done') return read;
    const state = stateOf(read.value.text);
    return state === 'active' ? act() : { kind: 'notActive', state, correlationId: read.correlationId };
  };

  const wrap = (seed3: Secret, limits?: CallLimits): Promise<KmsAnswer<WrappedSeed>> =>
    ifUsable(limits, async () => {
      const text = seed3.expose((bytes) => bytes.toString('latin1'));
      const answer = await call('encrypt', text, limits);
      if (answer.kind !== 'done') return answer;
      const { text: wrapped } = answer.value;
      return { ...answer, value: { wrapped: encode(wrapped), keyVersion: versionOf(wrapped) } };
    });

  const unwrap: KeyBackend['unwrap'] = (wrapped, limits) => {
    if (!isWrappedText(wrapped)) return Promise.resolve({ kind: 'badCiphertext', correlationId: null });
    return ifUsable(limits, async () => {
      const answer = await call('decrypt', decode(wrapped), limits);
      if (answer.kind !== 'done') return answer;
      const seed3 = Secret.fromText(answer.value.text);
      if (!seed3.expose(isBase64Text)) {
        seed3.wipe();
        return { kind: 'badCiphertext', correlationId: answer.correlationId };
      }
      return { ...answer, value: { seed3, keyVersion: versionOf(decode(wrapped)), rewrapped: null } };
    });
  };

  return {
    wrap,
    unwrap,
    generateAndWrap: async (limits) => {
      const seed3 = Secret.fromText(host.entropy.bytes(32).toString('base64'));
      const answer = await wrap(seed3, limits);
      if (answer.kind === 'done') return { ...answer, value: { ...answer.value, seed3 } };
      seed3.wipe();
      return answer;
    },
    rewrap: async (wrapped, limits) => {
      const opened = await unwrap(wrapped, limits);
      if (opened.kind !== 'done') return opened;
      try {
        return await wrap(opened.value.seed3, limits);
      } finally {
        opened.value.seed3.wipe();
      }
    },
    keyState: async (limits) => {
      const answer = await call('read', '', limits);
      if (answer.kind !== 'done') return answer;
      const { text, latestVersion } = answer.value;
      return { ...answer, value: { state: stateOf(text), keyVersion: `v${latestVersion}` } };
    },
  };
};
