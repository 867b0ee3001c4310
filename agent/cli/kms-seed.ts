/** `triseed kms key wrap | unwrap | rewrap`: what a hand-made volume, a recovery or a migration needs. */
import { AgentError } from '../errors.ts';
import { describeRefusal } from '../kms/classify.ts';
import { wrapBody } from '../kms/key-protect.ts';
import {
  type Parsed,
  parseGenerated,
  parseRewrapped,
  parseUnwrapped,
  parseWrapped,
} from '../kms/key-protect-answers.ts';
import type { Host } from '../ports.ts';
import type { CommandIo } from './io.ts';
import type { KmsExtra } from './kms.ts';
import { type AccessFlags, connect, pathOf, print, readInput, readTextSecret, usage, type Verb } from './kms-access.ts';

const understood = <T>(action: string, parsed: Parsed<T>): T => {
  if (parsed.kind === 'done') return parsed.value;
  throw new AgentError('KMS_COMMAND_UNANSWERED', { action, reason: describeRefusal(parsed), correlationId: null });
};

export const addSeedVerbs = (host: Host, io: CommandIo, extra: KmsExtra, verb: Verb): void => {
  verb('wrap <key>', 'a new wrapped seed, or one of your own; prints the wrapped text')
    .option('--seed-file <file>', 'wrap this seed (base64 text) instead of a new one; - for standard input')
    .option('--seed-out <file>', 'keep the new seed too (base64 text, mode 0600)')
    .action(async (key: string, flags: AccessFlags & { seedFile?: string; seedOut?: string }) => {
      const action = 'wrap';
      const keys = await connect(host, io, extra, flags);
      const call = { action, method: 'POST', path: pathOf(key, '/actions/wrap') } as const;
      if (flags.seedFile !== undefined) {
        if (flags.seedOut !== undefined) throw usage('--seed-out belongs to a new seed, not to --seed-file');
        const seed3 = await readTextSecret(host, io, flags.seedFile);
        const body = wrapBody(seed3);
        seed3.wipe();
        const wrapped = understood(action, parseWrapped(await keys.call({ ...call, body }).finally(() => body.wipe())));
        print(io, flags, { ciphertext: wrapped.wrapped, keyVersion: wrapped.keyVersion }, `${wrapped.wrapped}\n`);
        return;
      }
      const answer = await keys.call({ ...call, body: '{}' });
      const { seed3, wrapped, keyVersion } = understood(action, parseGenerated(answer));
      answer.fill(0);
      const { seedOut } = flags;
      if (seedOut !== undefined) await seed3.expose((bytes) => host.files.writeNew(seedOut, bytes, 0o600));
      seed3.wipe();
      print(io, flags, { ciphertext: wrapped, keyVersion }, `${wrapped}\n`);
    });

  verb('unwrap <key>', 'the seed of a wrapped text')
    .requiredOption('--ciphertext-file <file>', 'the wrapped text; - for standard input')
    .requiredOption('--seed-out <file>', 'where to put the seed (base64 text, mode 0600); - for standard output')
    .action(async (key: string, flags: AccessFlags & { ciphertextFile: string; seedOut: string }) => {
      const action = 'unwrap';
      const keys = await connect(host, io, extra, flags);
      const ciphertext = (await readInput(host, io, flags.ciphertextFile)).toString('latin1').trim();
      const answer = await keys.call({
        action,
        method: 'POST',
        path: pathOf(key, '/actions/unwrap'),
        body: JSON.stringify({ ciphertext }),
      });
      const { seed3, keyVersion, rewrapped } = understood(action, parseUnwrapped(answer));
      answer.fill(0);
      try {
        if (flags.seedOut === '-') seed3.expose((bytes) => io.stdout(Buffer.from(bytes)));
        else await seed3.expose((bytes) => host.files.writeNew(flags.seedOut, bytes, 0o600));
      } finally {
        seed3.wipe();
      }
      const stale = rewrapped === null ? '' : '; a newer version exists: rewrap it';
      io.stderr(`wrapped by key version ${keyVersion}${stale}\n`);
    });

  verb('rewrap <key>', 'wrap with the current key version, without showing the seed; prints the new text')
    .requiredOption('--ciphertext-file <file>', 'the wrapped text; - for standard input')
    .action(async (key: string, flags: AccessFlags & { ciphertextFile: string }) => {
      const action = 'rewrap';
      const keys = await connect(host, io, extra, flags);
      const ciphertext = (await readInput(host, io, flags.ciphertextFile)).toString('latin1').trim();
      const answer = await keys.call({
        action,
        method: 'POST',
        path: pathOf(key, '/actions/rewrap'),
        body: JSON.stringify({ ciphertext }),
      });
      const { wrapped, keyVersion } = understood(action, parseRewrapped(answer));
      print(io, flags, { ciphertext: wrapped, keyVersion }, `${wrapped}\n`);
    });
};
