/** HPCR's documented message codes and what became of them here: fixtures/hpcr-codes.tsv, and docs/hpcr-codes.md made from it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Message, messages } from '../agent/messages.ts';

export interface HpcrCode {
  readonly code: string;
  /** Its name in HPCR's documentation; empty where that gives none. */
  readonly name: string;
  /** Codes that say the same here; empty when nothing does, or when the code itself occurs. */
  readonly instead: readonly string[];
  /** Why it cannot occur; empty when it can. */
  readonly why: string;
}

const file = join(import.meta.dirname, '..', 'fixtures', 'hpcr-codes.tsv');

/** In the order of the documentation. */
export const hpcrCodes = (): readonly HpcrCode[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [code = '', name = '', instead = '', why = ''] = line.split('\t');
      return { code, name, instead: instead.split(' ').filter((id) => id !== '' && id !== '-'), why };
    });

const linked = (id: string): string => `[${id}](messages.md#${id.toLowerCase()})`;

export const hpcrCodesDocument = (generated: string): string => {
  const ours = new Map(
    Object.values(messages as Readonly<Record<string, Message<never>>>).map((entry) => [entry.id, entry]),
  );
  const codes = hpcrCodes();
  const occurring = codes.filter(({ code }) => ours.has(code));
  const others = codes.filter(({ code }) => !ours.has(code));
  const row = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return `${generated}
# HPCR's codes

For whoever watches guests by the message codes of Hyper Protect Container Runtime: which of the documented ones appear here,
and for the others why not and what to look for instead. Number and letter together are the code. What each of ours means is
in [messages.md](messages.md).

## Codes that appear

${row('code', 'name', 'identifier')}
${row('---', '---', '---')}
${occurring.map(({ code, name }) => row(linked(code), name, `\`${ours.get(code)?.component ?? ''}\``)).join('\n')}

HPL12005E and HPL12006E are information and warning, whatever their letter says; so is their priority in the journal.

## Codes that do not

${row('code', 'name', 'look for', 'because')}
${row('---', '---', '---', '---')}
${others.map(({ code, name, instead, why }) => row(code, name, instead.map(linked).join(', '), why)).join('\n')}
`;
};
