/** `triseed boot`: the unattended start of a guest, and its rehearsal. */
import { Command } from 'commander';
import { boot, rehearse } from '../boot.ts';
import type { AgentConfiguration } from '../configuration.ts';
import { AgentError } from '../errors.ts';
import type { Host } from '../ports.ts';
import { destructive, type Plan, type Step } from '../volumes/plan.ts';
import { defaultConfiguration } from './default-configuration.ts';
import type { CommandIo } from './io.ts';

export interface BootContext {
  /** Reads and checks the agent configuration, then makes the host it asks for. */
  readonly configured: (path: string) => Promise<{ readonly settings: AgentConfiguration; readonly host: Host }>;
  readonly credentialsFolder: string | null;
}

const detailOf = (step: Step): string => {
  const { do: name, ...facts } = step;
  return Object.entries(facts)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');
};

/** What a plan is about, in one line. */
export const renderHeadline = (plan: Plan): string => {
  const warning = plan.steps.some((step) => destructive.has(step.do)) ? ' (! overwrites what is on the disk)' : '';
  return `volume ${plan.volume} on ${plan.disk}: ${plan.scenario}${warning}, digest ${plan.digest}\n`;
};

/** One line a step, destructive ones marked. */
export const renderStepLines = (plan: Plan): string =>
  plan.steps
    .map((step, at) => {
      const mark = destructive.has(step.do) ? '!' : ' ';
      return `${`  ${mark} ${at + 1}. ${step.do.padEnd(17)} ${detailOf(step)}`.trimEnd()}\n`;
    })
    .join('');

/** A failed boot is journalled under the identifier of the stage that refused; main.ts prints the whole chain. */
const journalled = async (host: Host, work: () => Promise<unknown>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof AgentError) host.journal.message(error.code, error.facts);
    throw error;
  }
};

const help = `
Examples:
  triseed boot                        what the unit triseed-boot.service runs
  triseed boot --dry-run              print the plans, write nothing to any disk
  triseed boot --dry-run --json       the same for scripts`;

export const bootCommand = (context: BootContext, io: CommandIo): Command =>
  new Command('boot')
    .description('open the contract, then open, format or refuse every volume it names, and mount them')
    .option('--config <file>', 'agent configuration', defaultConfiguration)
    .option('--dry-run', 'print the plans and stop')
    .option('--json', 'with --dry-run: one JSON document on standard output')
    .addHelpText('after', help)
    .action(async (options: { readonly config: string; readonly dryRun?: true; readonly json?: true }) => {
      const { settings, host } = await context.configured(options.config);
      const surroundings = { credentialsFolder: context.credentialsFolder };
      if (options.dryRun !== true) {
        await journalled(host, () => boot(host, settings, surroundings));
        return;
      }
      const plans = await rehearse(host, settings, surroundings);
      if (options.json === true) io.stdout(`${JSON.stringify({ plans }, null, 2)}\n`);
      else if (plans.length === 0) io.stdout('the contract names no volume\n');
      else for (const plan of plans) io.stdout(renderHeadline(plan) + renderStepLines(plan));
    });
