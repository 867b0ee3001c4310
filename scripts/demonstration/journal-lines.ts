/** Which journal lines of the guest belong in the story, and how they read there. Pure. */
import type { JournalLine } from '../../test/e2e/guest/console.ts';

export type Shown = { readonly severity: 'info' | 'warning' | 'error'; readonly text: string } | null;

const severities = { I: 'info', W: 'warning', E: 'error' } as const;
const longest = 150;

/** Steps of a plan that overwrite what is on the disk are in capitals (agent/volumes/plan.ts renderSteps). */
const planOf = (text: string): string | null => {
  const match = /^TSD07001I: plan for volume (\S+): (\S+): (.*) \(digest (\w+)\)$/.exec(text);
  if (match === null) return null;
  const [, volume, scenario, steps = '', digest] = match;
  const lines = steps.split(' → ').map((step, at) => {
    const destructive = step === step.toUpperCase();
    return `  ${destructive ? '!' : ' '} ${at + 1}. ${step.toLowerCase()}${destructive ? '   (overwrites the disk)' : ''}`;
  });
  return [`plan for volume ${volume}: ${scenario}, digest ${digest}`, ...lines].join('\n');
};

/** A line with a message id, or one of the two sentences consumers wait for; null for everything else. */
export const shown = ({ identifier, text }: JournalLine): Shown => {
  const plan = planOf(text);
  if (plan !== null) return { severity: 'info', text: plan };
  if (/^VSI has /.test(text))
    return { severity: /failed/.test(text) ? 'error' : 'info', text: `${identifier}: ${text}` };
  const id = /^(?:HPL|TSD)\d{5}([IWE]): /.exec(text);
  if (id === null) return null;
  const severity = severities[id[1] as keyof typeof severities];
  const short = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return { severity, text: `${identifier}: ${short}` };
};
