/** Rules about volumes that no schema can say, as they span both sections. */
import { closest } from './closest.ts';
import { finding, type ParsedGround, quoted } from './finding.ts';
import { isMapping, type YamlMapping, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';

export const defaultMount = '/mnt/data';
/** Minutes; larger values are documented but refused by the published schema. */
const timeoutOfPublishedSchema = 20;
const knownKeyServices: ReadonlySet<string> = new Set(['kms', 'hs-crypto']);

/** Mounting on or below these would replace parts of the running system. */
const systemTrees = ['/proc', '/sys', '/dev', '/run', '/boot', '/etc', '/usr', '/bin', '/sbin', '/lib', '/lib64'];
const systemFolders: ReadonlySet<string> = new Set([
  '/var',
  '/tmp',
  '/var/hyperprotect',
  '/var/lib',
  '/var/log',
  '/root',
]);

export const mappingAt = (value: YamlValue | undefined, ...path: readonly string[]): YamlMapping => {
  let current: YamlValue | undefined = value;
  for (const key of path) current = isMapping(current) ? current[key] : undefined;
  return isMapping(current) ? current : {};
};

export const volumesOf = (ground: ParsedGround): YamlMapping => mappingAt(ground.document.value, 'volumes');

/** `hs-crypto` out of crn:v1:bluemix:public:hs-crypto:…: the fifth segment. */
const serviceOf = (crn: YamlValue | undefined): string => (typeof crn === 'string' ? (crn.split(':')[4] ?? '') : '');

const keyFindings = (workload: ParsedGround, env: ParsedGround): Finding[] => {
  const side = (here: ParsedGround, there: ParsedGround): Finding[] => {
    const others = Object.keys(volumesOf(there));
    return Object.keys(volumesOf(here))
      .filter((key) => !others.includes(key))
      .map((key) => {
        const near = closest(key, others);
        const message = `the volume ${quoted(key)} has no counterpart in ${there.section}.volumes`;
        const hint =
          near === null
            ? `add ${quoted(key)} with a seed of its own to ${there.section}.volumes`
            : `${there.section}.volumes has ${quoted(near)}: use one name`;
        return finding('VOLUME_KEYS_DIFFER', here, ['volumes', key], { message, hint }, 'key');
      });
  };
  return [...side(env, workload), ...side(workload, env)];
};

const mountOf = (volume: YamlValue | undefined): string => {
  const { mount } = mappingAt(volume);
  return typeof mount === 'string' ? mount : defaultMount;
};

const isWithin = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`);

const mountFindings = (workload: ParsedGround): Finding[] => {
  // What is no mapping is told by the schema.
  const volumes = Object.entries(volumesOf(workload)).filter(([, volume]) => isMapping(volume));
  return volumes.flatMap(([key, volume], index) => {
    const mount = mountOf(volume);
    const found: Finding[] = [];
    const path = ['volumes', key, 'mount'];
    const dotted = mount.split('/').some((part) => part === '.' || part === '..');
    if (dotted || systemFolders.has(mount) || systemTrees.some((tree) => isWithin(mount, tree))) {
      const message = dotted ? 'a mount path must not hold . or ..' : 'this path belongs to the system';
      found.push(finding('MOUNT_NOT_ALLOWED', workload, path, { message, hint: 'mount below /mnt' }));
    }
    const clash = volumes
      .slice(0, index)
      .find(([, other]) => isWithin(mount, mountOf(other)) || isWithin(mountOf(other), mount));
    if (clash !== undefined) {
      const message = `the mount path collides with that of volume ${quoted(clash[0])}`;
      const hint = `every volume needs a mount path of its own, not inside another; the default is ${defaultMount}`;
      found.push(finding('MOUNT_COLLISION', workload, path, { message, hint }));
    }
    return found;
  });
};

const seedSourceFindings = (env: ParsedGround, key: string, volume: YamlMapping): Finding[] => {
  const sources = ['uv-secret-id', 'grep11'].filter((source) => source in volume);
  const found = sources.map((source) =>
    finding('SEED_SOURCE_UNSUPPORTED', env, ['volumes', key, source], {
      message: `seeds from ${source} are not supported yet: the boot will refuse this volume`,
      hint: 'use a seed in the contract, with kms to protect it',
    }),
  );
  if ('grep11' in volume && 'kms' in volume) {
    const message = 'grep11 and kms both claim the third seed';
    found.push(finding('SEED_SOURCES_CONFLICT', env, ['volumes', key, 'grep11'], { message, hint: 'keep one' }, 'key'));
  }
  return found;
};

const kmsFindings = (env: ParsedGround, key: string, volume: YamlMapping): Finding[] => {
  const found: Finding[] = [];
  const { kms, kmsTimeout } = volume;
  if (typeof kmsTimeout === 'number' && kmsTimeout > timeoutOfPublishedSchema) {
    found.push(
      finding('KMS_TIMEOUT_LONG', env, ['volumes', key, 'kmsTimeout'], {
        message: `${kmsTimeout} minutes are allowed here, other runtimes accept ${timeoutOfPublishedSchema} at most`,
        hint: 'a revoked key goes on working for this long',
      }),
    );
  }
  for (const [index, entry] of (Array.isArray(kms) ? (kms as readonly YamlValue[]) : []).entries()) {
    const { crn } = mappingAt(entry);
    if (typeof crn === 'string' && !knownKeyServices.has(serviceOf(crn))) {
      const message = `the key belongs to the service ${quoted(serviceOf(crn))}`;
      const hint = `services with this interface are ${[...knownKeyServices].join(' and ')}; another needs kms.endpoints`;
      found.push(finding('KMS_SERVICE_UNUSUAL', env, ['volumes', key, 'kms', index, 'crn'], { message, hint }));
    }
  }
  return found;
};

/** Rules that need only the env section. */
export const envVolumeFindings = (env: ParsedGround): readonly Finding[] =>
  Object.entries(volumesOf(env)).flatMap(([key, volume]) => [
    ...seedSourceFindings(env, key, mappingAt(volume)),
    ...kmsFindings(env, key, mappingAt(volume)),
  ]);

/** Rules that need only the workload section. */
export const workloadVolumeFindings = (workload: ParsedGround): readonly Finding[] => mountFindings(workload);

/** Rules that need both. */
export const sharedVolumeFindings = (workload: ParsedGround, env: ParsedGround): readonly Finding[] =>
  keyFindings(workload, env);
