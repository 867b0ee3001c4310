/**
 * A host whose commands, files and devices are real and whose disks are plain files: enough for everything but
 * device-mapper. Power and journal are recorded.
 */
import { disks } from '../../agent/host/disks.ts';
import { entropy } from '../../agent/host/entropy.ts';
import { runCommand } from '../../agent/host/exec.ts';
import { files } from '../../agent/host/files.ts';
import { locks } from '../../agent/host/locks.ts';
import type { Command, Host } from '../../agent/ports.ts';

export interface RecordedHost extends Host {
  readonly commands: Command[];
  readonly messages: { readonly name: string; readonly facts: unknown }[];
  readonly power: Host['power'];
}

const started = process.hrtime.bigint();

export const hostOnFiles = (): RecordedHost => {
  const commands: Command[] = [];
  const messages: { name: string; facts: unknown }[] = [];
  return {
    commands,
    messages,
    run: (command) => {
      commands.push(command);
      return runCommand(command);
    },
    files,
    disks,
    // Test files run beside each other on one machine.
    locks: { acquire: (name) => locks.acquire(`${process.pid}/${name}`) },
    entropy,
    http: async () => ({ kind: 'failure', failure: 'connect', detail: 'this host has no network' }),
    clock: {
      now: () => new Date(),
      monotonicMs: () => Number((process.hrtime.bigint() - started) / 1_000_000n),
      sleep: async () => {},
    },
    power: { restart: async () => {}, powerOff: async () => {} },
    journal: {
      message: (name, facts) => {
        messages.push({ name, facts });
      },
      note: () => {},
    },
  };
};
