/** Limits and settings of our own that a guest enforces, at their exact value, through the line that a boot takes. */
import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { onTheLine, plainEnv } from '../workload/contract-on-the-line.ts';

const outcome = (act: () => unknown): string => {
  try {
    act();
    return 'taken';
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const { findings = [] } = error.facts as { readonly findings?: readonly { readonly code: string }[] };
    return [error.code, ...findings.map(({ code }) => code)].join(' ');
  }
};
const play = 'type: workload\nplay: {}\n';

t.test('aliases', async (t) => {
  const env = (count: number): string =>
    `${plainEnv}env:\n  A: &a value\n${Array.from({ length: count }, (_, at) => `  B${at}: *a\n`).join('')}`;
  t.equal(
    outcome(() => onTheLine(play, env(100))),
    'taken',
  );
  t.equal(
    outcome(() => onTheLine(play, env(101))),
    'CONTRACT_NOT_OPENED YAML_LIMIT',
  );
});

t.test('depth', async (t) => {
  const nested = (levels: number): string => `${plainEnv}deep: ${'['.repeat(levels)}${']'.repeat(levels)}\n`;
  t.equal(
    outcome(() => onTheLine(play, nested(64))),
    'taken',
  );
  t.equal(
    outcome(() => onTheLine(play, nested(65))),
    'CONTRACT_NOT_OPENED YAML_LIMIT',
  );
});

t.test('serial', async (t) => {
  const top = Number.MAX_SAFE_INTEGER;
  const cases: readonly (readonly [serial: string, minimumSerial: number, expected: string])[] = [
    ['', 0, 'taken'],
    ['', 1, 'CONTRACT_OUTDATED'],
    ['{ serial: 6 }', 7, 'CONTRACT_OUTDATED'],
    ['{ serial: 7 }', 7, 'taken'],
    ['{ serial: 8 }', 7, 'taken'],
    [`{ serial: ${top - 1} }`, top, 'CONTRACT_OUTDATED'],
    [`{ serial: ${top} }`, top, 'taken'],
    ['{ serial: 9007199254740992 }', 0, 'CONTRACT_INVALID OUT_OF_RANGE'],
    ['{ serial: -1 }', 0, 'CONTRACT_INVALID OUT_OF_RANGE'],
    ['{ serial: "7" }', 0, 'CONTRACT_INVALID WRONG_TYPE'],
    ['{ serial: 7.5 }', 0, 'CONTRACT_INVALID WRONG_TYPE'],
  ];
  for (const [serial, minimumSerial, expected] of cases) {
    const knobs = serial === '' ? '' : `triseed: ${serial}\n`;
    t.equal(
      outcome(() => onTheLine(play, plainEnv + knobs, { minimumSerial })),
      expected,
      `env ${serial}`,
    );
    t.equal(
      outcome(() => onTheLine(play + knobs, plainEnv, { minimumSerial })),
      expected,
      `workload ${serial}`,
    );
  }
  const both = (env: number, workload: number) =>
    outcome(() => onTheLine(`${play}triseed: { serial: ${workload} }\n`, `${plainEnv}triseed: { serial: ${env} }\n`));
  t.equal(both(7, 7), 'taken');
  t.equal(both(7, 8), 'CONTRACT_INVALID SERIALS_DIFFER', 'neither section may lower the other');
});

t.test('intent', async (t) => {
  const intentOf = (env: string, workload: string): string => {
    const knobs = (intent: string): string =>
      intent === '' ? '' : `triseed: { volumes: { data: { intent: ${intent} } } }\n`;
    let found = '';
    const said = outcome(() => {
      const { contract } = onTheLine(
        `${play}volumes: { data: { seed: workload_seed_1234 } }\n${knobs(workload)}`,
        `${plainEnv}volumes: { data: { seed: env_seed_123456789 } }\n${knobs(env)}`,
      );
      found = contract.volumes.map(({ intent }) => intent).join();
    });
    return said === 'taken' ? found : said;
  };
  const cases: readonly (readonly [env: string, workload: string, expected: string])[] = [
    ['', '', 'auto'],
    ['auto', '', 'auto'],
    ['open', '', 'open'],
    ['', 'open', 'open'],
    ['auto', 'create', 'create'],
    ['create', 'auto', 'create'],
    ['open', 'open', 'open'],
    ['open', 'create', 'CONTRACT_INVALID INTENT_CONFLICT'],
    ['create', 'open', 'CONTRACT_INVALID INTENT_CONFLICT'],
    ['format', '', 'CONTRACT_INVALID WRONG_VALUE'],
  ];
  for (const [env, workload, expected] of cases)
    t.equal(intentOf(env, workload), expected, `env ${env || 'silent'}, workload ${workload || 'silent'}`);
});
