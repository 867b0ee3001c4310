/**
 * Documents made to harm their reader: each gets the refusal of its own, within one second of computing and 256 MiB,
 * through the command that people type, in the form that is shipped.
 */
import { createPublicKey } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { harmlessArchive, hostileArchives } from './hostile/archives.ts';
import { contract, hostileDocuments } from './hostile/documents.ts';
import { type Measured, validate } from './hostile/measured.ts';
import { hostileTokens } from './hostile/tokens.ts';

const maxCpuMs = 1000;
const maxResidentMiB = 256;
/** Caches and clock of the processor are shared with whatever else the machine does: the least of a few tells. */
const attempts = 4;

t.setTimeout(600_000);

const keyFile = join(import.meta.dirname, '../../fixtures/keys/THROWAWAY-guest-2048-key.pem');

const recipient = createPublicKey(readFileSync(keyFile));

const within = ({ usage }: Measured): boolean => usage.cpuMs <= maxCpuMs && usage.residentMiB <= maxResidentMiB;
const shown = ({ usage }: Measured): string => `${usage.cpuMs.toFixed(0)} ms, ${usage.residentMiB.toFixed(0)} MiB`;

let [slowest, largest] = [0, 0];

/** Runs `work` until it keeps the bounds, a few times at most; asserts that it did once. */
const bounded = async (t: Test, name: string, work: () => Promise<Measured>): Promise<Measured> => {
  let measured = await work();
  for (let attempt = 1; attempt < attempts && !within(measured); attempt += 1) measured = await work();
  t.ok(within(measured), `${name}: ${shown(measured)}`);
  slowest = Math.max(slowest, measured.usage.cpuMs);
  largest = Math.max(largest, measured.usage.residentMiB);
  return measured;
};

/** Calls `work` for every item, two at a time. */
const inTurns = async <Item>(
  items: readonly Item[],
  work: (item: Item, lane: number) => Promise<void>,
): Promise<void> => {
  const left = [...items];
  const lane = async (number: number): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item, number);
  };
  await Promise.all([lane(0), lane(1)]);
};

const errorCodes = ({ stdout }: Measured): readonly string[] => {
  const { findings } = JSON.parse(stdout) as { readonly findings: readonly { code: string; severity: string }[] };
  return [...new Set(findings.filter(({ severity }) => severity === 'error').map(({ code }) => code))];
};

t.test('every hostile document', async (t) => {
  const folder = t.testdir({});
  const rows = [...hostileDocuments, ...hostileArchives, ...(await hostileTokens(recipient))];
  await inTurns(rows, async ({ name, bytes, code }, lane) => {
    const file = join(folder, `${lane}`);
    writeFileSync(file, bytes());
    const measured = await bounded(t, name, () => validate([file, '--json', '--decrypt-key', keyFile]));
    t.equal(measured.status, 1, `${name}: refused`);
    t.strictSame(measured.status === 1 ? errorCodes(measured) : measured.stderr, [code], `${name}: ${code}`);
  });
  t.comment(`slowest ${slowest.toFixed(0)} ms, largest ${largest.toFixed(0)} MiB`);
});

t.test('input without end', async (t) => {
  const folder = t.testdir({});
  const large = join(folder, 'large');
  writeFileSync(large, '');
  truncateSync(large, 100_000_000);
  const endless = function* (): Generator<Uint8Array> {
    const chunk = Buffer.alloc(65_536, 'a: b\n');
    for (;;) yield chunk;
  };
  const table: readonly (readonly [name: string, work: () => Promise<Measured>, id: RegExp])[] = [
    ['a file of 100 MB', () => validate([large]), /TSD00008E/],
    ['a stream that does not end', () => validate(['-'], endless()), /TSD00004E/],
    ['a device', () => validate(['/dev/zero']), /TSD00004E/],
    ['a folder', () => validate([folder]), /TSD00004E/],
    ['a key of 100 MB', () => validate([keyFile, '--decrypt-key', large]), /TSD00008E/],
  ];
  for (const [name, work, id] of table) {
    const measured = await bounded(t, name, work);
    t.equal(measured.status, 3, `${name}: not read`);
    t.match(measured.stderr, id, name);
  }
});

t.test('the bounds refuse nothing that is harmless', async (t) => {
  const file = join(t.testdir({}), 'contract');
  const archive = 'A'.repeat(3_900_000);
  const inFlow = (): Buffer => {
    const workload = `type: workload\nplay: {}\nenv:\n  DATA: "${archive}"\n`;
    return Buffer.from(JSON.stringify({ workload, env: contract('').split('env: |\n')[1]?.replace(/^ {2}/gm, '') }));
  };
  const table: readonly (readonly [name: string, bytes: () => Uint8Array])[] = [
    ['the contract that all are made of', () => Buffer.from(contract(''))],
    ['an archive', harmlessArchive],
    ['a variable of 3.9 MB', () => Buffer.from(contract(`env: {DATA: ${archive}}`))],
    ['the same as JSON', inFlow],
    [
      '3.9 MB in lines of 64',
      () => Buffer.from(contract(`env:\n  DATA: |\n${`    ${'A'.repeat(64)}\n`.repeat(54_000)}`)),
    ],
    [
      '2,000 variables',
      () => Buffer.from(contract(`env:\n${Array.from({ length: 2000 }, (_, at) => `  K${at}: "1"\n`).join('')}`)),
    ],
  ];
  for (const [name, bytes] of table) {
    writeFileSync(file, bytes());
    const measured = await bounded(t, name, () => validate([file, '--json']));
    t.equal(measured.status, 0, `${name}: ${measured.stdout.slice(0, 500)}`);
  }
});
