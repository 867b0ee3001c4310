/**
 * A load of writes whose every acknowledgement is remembered. Each key goes through the same life; what the service has to
 * know after a crash is each acknowledged step, and at most the one that was under way.
 */
import { type RawClient, Refused } from './raw-service.ts';

const KEY = 'application/vnd.ibm.kms.key+json';
const POLICY = 'application/vnd.ibm.kms.policy+json';
export const SEED = Buffer.alloc(32, 6).toString('base64');

/** In the order of a life; every second key ends before it is disabled, so that it still unwraps. */
export const STEPS = ['create', 'alias', 'rotate', 'policy', 'disable', 'delete'] as const;
const LASTING_STEPS = 4;

export interface Life {
  readonly instance: string;
  readonly name: string;
  readonly steps: number;
  id: string;
  /** Wrapped by the first version of the key. */
  wrapped: string;
  acknowledged: number;
  isUnderWay: boolean;
}

/** What the list of an instance shows of a key. */
export interface Shown {
  readonly id: string;
  readonly name: string;
  readonly state: number;
  readonly aliases?: readonly string[];
  readonly lastRotateDate?: string;
  readonly rotation?: { readonly interval_month: number };
}

/** How many steps of its life a key shows. */
export const stepsShown = (key: Shown | undefined): number => {
  if (key === undefined) return 0;
  if (key.state === 5) return 6;
  if (key.state === 2) return 5;
  if (key.rotation !== undefined) return 4;
  if (key.lastRotateDate !== undefined) return 3;
  return key.aliases === undefined ? 1 : 2;
};

const perform = async (client: RawClient, life: Life): Promise<void> => {
  const { instance, name, id } = life;
  const own = (rest: string, method = 'POST', body?: object) => client.api(instance, method, `keys/${id}${rest}`, body);
  switch (STEPS[life.acknowledged]) {
    case 'create': {
      const { text } = await client.api(instance, 'POST', 'keys', {
        metadata: { collectionType: KEY, collectionTotal: 1 },
        resources: [{ type: KEY, name, extractable: false }],
      });
      life.id = JSON.parse(text).resources[0].id;
      return;
    }
    case 'alias':
      return void (await own(`/aliases/${name}`));
    case 'rotate':
      return void (await own('/actions/rotate'));
    case 'policy':
      return void (await own('/policies?policy=rotation', 'PUT', {
        metadata: { collectionType: POLICY, collectionTotal: 1 },
        resources: [{ type: POLICY, rotation: { enabled: true, interval_month: 3 } }],
      }));
    case 'disable':
      return void (await own('/actions/disable'));
    case 'delete':
      return void (await own('', 'DELETE'));
    case undefined:
      throw new TypeError('this life is over');
  }
};

const wrap = async (client: RawClient, life: Life): Promise<void> => {
  const { text } = await client.api(life.instance, 'POST', `keys/${life.id}/actions/wrap`, { plaintext: SEED });
  life.wrapped = JSON.parse(text).ciphertext;
};

export class WriteLoad {
  readonly lives: Life[] = [];
  readonly #instances: readonly string[];
  readonly #onAcknowledged: (count: number) => void;
  acknowledged = 0;

  constructor(instances: readonly string[], onAcknowledged: (count: number) => void) {
    this.#instances = instances;
    this.#onAcknowledged = onAcknowledged;
  }

  /** Goes on with unfinished lives and new ones until `limit` writes are acknowledged or the service is gone. */
  async run(client: RawClient, clients: number, limit: number): Promise<void> {
    const unfinished = this.lives.filter((life) => life.acknowledged < life.steps);
    const isEnough = (): boolean => this.acknowledged >= limit;
    const live = async (life: Life): Promise<void> => {
      while (life.acknowledged < life.steps && !isEnough()) {
        if (life.wrapped === '' && life.acknowledged > 0) await wrap(client, life);
        life.isUnderWay = true;
        await perform(client, life);
        life.isUnderWay = false;
        life.acknowledged += 1;
        this.acknowledged += 1;
        this.#onAcknowledged(this.acknowledged);
      }
    };
    const worker = async (): Promise<void> => {
      try {
        while (!isEnough()) await live(unfinished.pop() ?? this.#begin());
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
    };
    await Promise.all(Array.from({ length: clients }, worker));
  }

  /** Compares what the service knows with what it acknowledged; answers what is wrong. */
  async judge(client: RawClient): Promise<readonly string[]> {
    const complaints: string[] = [];
    const shown = new Map<string, Shown>();
    for (const instance of this.#instances) {
      const { text } = await client.api(instance, 'GET', 'keys?limit=5000&state=0,1,2,3,5');
      for (const key of JSON.parse(text).resources as readonly Shown[]) {
        if (shown.has(key.name)) complaints.push(`${key.name} exists twice`);
        shown.set(key.name, key);
      }
    }
    for (const life of this.lives) {
      const key = shown.get(life.name);
      const steps = stepsShown(key);
      const latest = life.acknowledged + (life.isUnderWay ? 1 : 0);
      if (steps < life.acknowledged || steps > latest) {
        complaints.push(`${life.name}: ${life.acknowledged} to ${latest} steps were done, ${steps} are there`);
      }
      if (steps > 1 && !key?.aliases?.includes(life.name)) complaints.push(`${life.name} lost its alias`);
      if (steps > 2 && key?.lastRotateDate === undefined) complaints.push(`${life.name} lost its rotation`);
      // What was under way and is there counts from now on, though nobody was told.
      life.acknowledged = steps;
      life.id = key?.id ?? '';
      life.isUnderWay = false;
    }
    if (shown.size > this.lives.length) complaints.push('there are keys that nobody made');
    return complaints;
  }

  #begin(): Life {
    const count = this.lives.length;
    const life: Life = {
      instance: this.#instances[count % this.#instances.length] ?? '',
      name: `life-${count}`,
      steps: count % 2 === 0 ? LASTING_STEPS : STEPS.length,
      id: '',
      wrapped: '',
      acknowledged: 0,
      isUnderWay: false,
    };
    this.lives.push(life);
    return life;
  }
}
