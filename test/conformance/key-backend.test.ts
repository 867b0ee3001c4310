/** Key Protect, through the local service, and a transit engine keep the same promises; seeds move between them. */
import t, { type Test } from 'tap';
import { clock } from '../../agent/host/clock.ts';
import { entropy } from '../../agent/host/entropy.ts';
import { TransitEngine, transitBackend } from '../fakes/transit.ts';
import { type BackendUnderTest, keyBackendSuite, type MakeBackend, migrates } from './key-backend.ts';
import { ownerOf } from './key-owner.ts';
import { serve } from './key-service.ts';

t.setTimeout(120_000);

const must = async (work: Promise<number>): Promise<void> => {
  const status = await work;
  if (status >= 300) throw new Error(`the local service answers ${status}`);
};

const keyProtectAt = async (t: Test): Promise<MakeBackend> => {
  const folder = t.testdir();
  const served = await serve(['--api-key-file', `${folder}/api-key`]);
  t.teardown(() => served.stop('SIGKILL'));
  const owner = ownerOf(served, `${folder}/api-key`);
  const fault = (effect: object | null) =>
    must(owner.admin('faults', { faults: effect === null ? [] : [{ operation: 'any', effect }] }));
  return async (): Promise<BackendUnderTest> => {
    const [key, other] = [await owner.create(), await owner.create()];
    return {
      backend: owner.backend(key),
      stranger: owner.backend(other),
      intruder: owner.backend(key, 'nobody-knows-this-key'),
      rotate: () => must(owner.act(key, 'rotate')),
      suspend: () => must(owner.act(key, 'disable')),
      resume: async () => {
        await must(owner.admin('clock', { advanceSeconds: 31 }));
        await must(owner.act(key, 'enable'));
      },
      destroy: () => must(owner.remove(key)),
      setSilent: (isSilent) => fault(isSilent ? { hang: true } : null),
      setInTrouble: (isInTrouble) => fault(isInTrouble ? { status: 503, body: 'no healthy upstream' } : null),
    };
  };
};

const transitIn = (): MakeBackend => async (): Promise<BackendUnderTest> => {
  const engine = new TransitEngine(entropy);
  engine.createKey('volumes');
  engine.createKey('others');
  engine.admit('a token');
  const backend = (name: string, token = 'a token') => transitBackend({ clock, entropy }, engine, name, token);
  return {
    backend: backend('volumes'),
    stranger: backend('others'),
    intruder: backend('volumes', 'another token'),
    rotate: async () => engine.rotate('volumes'),
    suspend: async () => engine.setSuspended('volumes', true),
    resume: async () => engine.setSuspended('volumes', false),
    destroy: async () => engine.remove('volumes'),
    setSilent: async (isSilent) => {
      engine.isSilent = isSilent;
    },
    setInTrouble: async (isInTrouble) => {
      engine.isSealed = isInTrouble;
    },
  };
};

t.test('backends', async (t) => {
  const keyProtect = await keyProtectAt(t);
  const transit = transitIn();
  await keyBackendSuite(t, 'Key Protect', keyProtect);
  await keyBackendSuite(t, 'a transit engine', transit);
  await t.test('a seed moves from one service to the other', async (t) => {
    const [one, other] = [(await keyProtect(t)).backend, (await transit(t)).backend];
    await migrates(t, one, other);
    await migrates(t, other, one);
  });
});
