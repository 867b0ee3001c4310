/** What the `volume` commands get from the composition root, and options that several of them share. */
import type { Command } from 'commander';
import type { AgentConfiguration } from '../configuration.ts';
import type { Host } from '../ports.ts';
import { defaultConfiguration } from './default-configuration.ts';
import type { CommandIo } from './io.ts';

export interface VolumeContext {
  /** For commands that need no agent configuration. */
  readonly host: Host;
  readonly io: CommandIo;
  /** Reads and checks the agent configuration, then makes the host it asks for. */
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  readonly credentialsFolder: string | null;
  /** Aborts when the process is asked to end. */
  readonly signal: AbortSignal;
  /** Asks a person; only called when standard error is a terminal. */
  readonly ask: (question: string, signal: AbortSignal) => Promise<string>;
}

export const withConfiguration = (command: Command): Command =>
  command.option('--config <file>', 'agent configuration', defaultConfiguration);

export const withJson = (command: Command): Command => command.option('--json', 'one JSON document on standard output');

export const printJson = (io: CommandIo, document: unknown): void =>
  io.stdout(`${JSON.stringify(document, null, 2)}\n`);
