/** Triseed's own settings in either section: `triseed.serial` and `triseed.volumes.<key>.intent`. */
import { finding, type ParsedGround, quoted } from './finding.ts';
import { shownName } from './shown-name.ts';
import type { YamlMapping } from './strict-yaml.ts';
import type { Finding, Intent } from './types.ts';
import { mappingAt, volumesOf } from './volume-rules.ts';

const knobsOf = (ground: ParsedGround): YamlMapping => mappingAt(ground.document.value, 'triseed');

const serialIn = (ground: ParsedGround | null): number | null => {
  const serial = ground === null ? undefined : knobsOf(ground).serial;
  return typeof serial === 'number' ? serial : null;
};

/** The contract's serial; 0 when neither section has one. They agree when both have one, which is checked. */
export const serialOf = (env: ParsedGround | null, workload: ParsedGround | null): number =>
  serialIn(env) ?? serialIn(workload) ?? 0;

const intentIn = (ground: ParsedGround, key: string): Intent | null => {
  const { intent } = mappingAt(knobsOf(ground), 'volumes', key);
  return intent === 'auto' || intent === 'open' || intent === 'create' ? intent : null;
};

/** The intent for a volume: what a section asks for beyond `auto`; sections that disagree are refused before. */
export const intentOf = (env: ParsedGround, workload: ParsedGround, key: string): Intent =>
  [intentIn(env, key), intentIn(workload, key)].find((intent) => intent !== null && intent !== 'auto') ?? 'auto';

/** Settings for volumes that do not exist, in one section. */
export const knobFindings = (ground: ParsedGround): readonly Finding[] =>
  Object.keys(mappingAt(knobsOf(ground), 'volumes'))
    .filter((key) => !(key in volumesOf(ground)))
    .map((key) => {
      const message = `there is no volume ${quoted(key)} that this could apply to`;
      const names = Object.keys(volumesOf(ground)).map(shownName).join(', ');
      const hint = `names in ${ground.section}.volumes: ${names || 'none'}`;
      return finding('TRISEED_VOLUME_UNKNOWN', ground, ['triseed', 'volumes', key], { message, hint }, 'key');
    });

/** Settings on which the two sections disagree. */
export const sharedKnobFindings = (env: ParsedGround, workload: ParsedGround): readonly Finding[] => {
  const found: Finding[] = [];
  const [ours, theirs] = [serialIn(env), serialIn(workload)];
  if (ours !== null && theirs !== null && ours !== theirs) {
    const message = `env says serial ${ours}, workload says ${theirs}`;
    found.push(
      finding('SERIALS_DIFFER', env, ['triseed', 'serial'], { message, hint: 'give one serial, in one section' }),
    );
  }
  for (const key of Object.keys(volumesOf(env))) {
    const intents = new Set([intentIn(env, key), intentIn(workload, key)]);
    if (!(intents.has('open') && intents.has('create'))) continue;
    const message = `one section wants to open volume ${quoted(key)}, the other to create it`;
    const path = ['triseed', 'volumes', key, 'intent'];
    found.push(finding('INTENT_CONFLICT', env, path, { message, hint: 'agree on one intent' }));
  }
  return found;
};
