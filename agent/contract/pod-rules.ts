/** Rules about the Pods and ConfigMaps of play.resources and play.templates that no schema can say. */
import { finding, type ParsedGround, quoted } from './finding.ts';
import type { FindingCode } from './finding-rules.ts';
import * as keys from './pod-keys.ts';
import type { BrokenRule } from './schema-findings.ts';
import { meantOr, strayKeys } from './stray-keys.ts';
import { isMapping, type YamlMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';
import { mappingAt } from './volume-rules.ts';

/** After so many the rest would only repeat them. */
const limit = 50;

/** ConfigMap of the contract's merged variables (IBM Cloud docs, "About the contract", section "play"). */
const contractConfigMap = 'contract.config.map';

/** Kinds of volumes that have a meaning in a guest without a cluster. */
const usualVolumes = ['hostPath', 'configMap', 'emptyDir'];

interface Remark {
  readonly code: FindingCode;
  readonly path: YamlPath;
  readonly at: 'key' | 'value';
  readonly message: string;
  readonly hint: () => string;
}

/** A mapping of the descriptors, and where it stands. */
interface Part {
  readonly path: YamlPath;
  readonly value: YamlMapping;
}

interface Pod extends Part {
  readonly spec: YamlMapping;
  readonly containers: readonly Part[];
  readonly volumes: readonly Part[];
}

const partsAt = ({ path, value }: Part, key: string): readonly Part[] => {
  const list = value[key];
  if (!Array.isArray(list)) return [];
  return (list as readonly YamlValue[]).flatMap((item, index) =>
    isMapping(item) ? [{ path: [...path, key, index], value: item }] : [],
  );
};

const hasExpression = (value: YamlValue | undefined): boolean => typeof value === 'string' && value.includes('{{');

/** A name that can be compared: what a template makes of an expression is not known here. */
const nameOf = (value: YamlValue | undefined): string | null =>
  typeof value === 'string' && !hasExpression(value) ? value : null;

/** Expressions of templates may stand for any text, number or boolean; what they make is not known here. */
export const isTemplateExpression = ({ path, value, expectedTypes }: BrokenRule): boolean =>
  path[0] === 'play' &&
  path[1] === 'templates' &&
  hasExpression(value) &&
  !expectedTypes.some((type) => type === 'object' || type === 'array');

const resourcesOf = (play: Part): readonly Part[] => [...partsAt(play, 'resources'), ...partsAt(play, 'templates')];

const podOf = (part: Part): Pod => {
  const spec = { path: [...part.path, 'spec'], value: mappingAt(part.value, 'spec') };
  const containers = [...partsAt(spec, 'initContainers'), ...partsAt(spec, 'containers')];
  return { ...part, spec: spec.value, containers, volumes: partsAt(spec, 'volumes') };
};

const twice = (parts: readonly (readonly [identity: string | null, path: YamlPath])[], what: string): Remark[] => {
  const seen = new Set<string>();
  return parts.flatMap(([identity, path]) => {
    if (identity === null || !seen.has(identity)) {
      if (identity !== null) seen.add(identity);
      return [];
    }
    const message = `two ${what} have this name`;
    return [{ code: 'NAME_TWICE', path, at: 'value', message, hint: () => 'give each a name of its own' } as const];
  });
};

const names = (parts: readonly Part[]): readonly (readonly [string | null, YamlPath])[] =>
  parts.map(({ path, value }) => [nameOf(value.name), [...path, 'name']]);

const resourceNames = (resources: readonly Part[]): Remark[] =>
  twice(
    resources.map(({ path, value }) => {
      const name = nameOf(mappingAt(value, 'metadata').name);
      return [name === null ? null : `${value.kind}/${name}`, [...path, 'metadata', 'name']];
    }),
    'resources of this kind',
  );

const mounts = ({ containers, volumes, spec }: Pod): Remark[] => {
  // Volumes that are no list are told by the schema, and which mounts they would serve is not known.
  const isKnown = spec.volumes === undefined || Array.isArray(spec.volumes);
  const known = new Set(volumes.map(({ value }) => nameOf(value.name)));
  const named = [...known].filter((name) => name !== null);
  return containers.flatMap((container) => {
    const targets = new Set<string>();
    return partsAt(container, 'volumeMounts').flatMap(({ path, value }): Remark[] => {
      const name = nameOf(value.name);
      const target = nameOf(value.mountPath)?.replace(/:.*$/, '').replace(/\/+$/, '') ?? null;
      const found: Remark[] = [];
      if (isKnown && name !== null && !known.has(name) && !known.has(null)) {
        const message = 'the Pod has no volume of this name';
        const hint = () =>
          meantOr(name, named, `add it to spec.volumes; names there: ${named.slice(0, 9).join(', ') || 'none'}`);
        found.push({ code: 'VOLUME_MOUNT_UNKNOWN', path: [...path, 'name'], at: 'value', message, hint });
      }
      if (target !== null && targets.has(target)) {
        const message = 'two volumes are mounted at this path';
        const hint = () => 'give each mount a path of its own';
        found.push({ code: 'MOUNT_COLLISION', path: [...path, 'mountPath'], at: 'value', message, hint });
      }
      if (target !== null) targets.add(target);
      return found;
    });
  });
};

const volumeKinds = ({ volumes }: Pod): Remark[] =>
  volumes.flatMap(({ path, value }): Remark[] => {
    if (usualVolumes.some((kind) => kind in value)) return [];
    const kind = Object.keys(value).find((key) => key !== 'name');
    const message =
      kind === undefined ? 'the volume has no source' : `volumes of kind ${quoted(kind)} have no meaning here`;
    const hint = () =>
      'give a folder of the guest: hostPath: {path: /mnt/data}; configMap and emptyDir are possible, too';
    return [
      { code: 'POD_VOLUME_UNUSUAL', path: kind === undefined ? path : [...path, kind], at: 'key', message, hint },
    ];
  });

const allAddresses: ReadonlySet<YamlValue | undefined> = new Set([undefined, '', '0.0.0.0', '::']);

const ports = (pods: readonly Pod[]): Remark[] => {
  const taken = new Map<string, (YamlValue | undefined)[]>();
  return pods.flatMap(({ containers, spec }) =>
    containers
      .flatMap((container) => partsAt(container, 'ports'))
      .flatMap(({ path, value }): Remark[] => {
        const { hostPort, containerPort, hostIP } = value;
        if (hostPort === undefined && containerPort !== undefined && spec.hostNetwork !== true) {
          const message = 'there is no hostPort, so that nothing is bound and the port cannot be reached';
          const hint = () =>
            `add hostPort: ${typeof containerPort === 'number' ? containerPort : 'with the port of the guest'}`;
          return [{ code: 'PORT_NOT_BOUND', path, at: 'value', message, hint }];
        }
        if (typeof hostPort !== 'number') return [];
        const socket = `${hostPort}/${value.protocol ?? 'TCP'}`;
        const others = taken.get(socket) ?? [];
        taken.set(socket, [...others.slice(0, limit), hostIP]);
        const isTaken = others.some(
          (other) =>
            other === hostIP || (!hasExpression(hostIP) && (allAddresses.has(other) || allAddresses.has(hostIP))),
        );
        if (!isTaken) return [];
        const message = `port ${hostPort} of the guest is bound twice`;
        const hint = () => 'give each a hostPort of its own, over all Pods';
        return [{ code: 'PORT_COLLISION', path: [...path, 'hostPort'], at: 'value', message, hint }];
      }),
  );
};

/** Everything of a Pod that names a ConfigMap. */
const configMapReferences = ({ containers, volumes }: Pod): readonly Part[] => {
  const within = ({ path, value }: Part, ...steps: readonly string[]): Part => ({
    path: [...path, ...steps],
    value: mappingAt(value, ...steps),
  });
  return [
    ...containers.flatMap((container) => partsAt(container, 'envFrom')).map((source) => within(source, 'configMapRef')),
    ...containers
      .flatMap((container) => partsAt(container, 'env'))
      .map((variable) => within(variable, 'valueFrom', 'configMapKeyRef')),
    ...volumes.map((volume) => within(volume, 'configMap')),
  ];
};

const configMaps = (pods: readonly Pod[], resources: readonly Part[]): Remark[] => {
  const known = resources
    .filter(({ value }) => value.kind === 'ConfigMap' || hasExpression(value.kind))
    .map(({ value }) => nameOf(mappingAt(value, 'metadata').name));
  if (known.includes(null)) return [];
  const all = new Set([contractConfigMap, ...known.filter((name) => name !== null)]);
  return pods.flatMap(configMapReferences).flatMap(({ path, value }): Remark[] => {
    const name = nameOf(value.name);
    if (name === null || all.has(name) || value.optional === true) return [];
    const message = 'there is no ConfigMap of this name';
    const hint = () => meantOr(name, [...all], `there are: ${[...all].slice(0, 9).join(', ')}`);
    return [{ code: 'CONFIG_MAP_UNKNOWN', path: [...path, 'name'], at: 'value', message, hint }];
  });
};

const strays = (resources: readonly Part[], pods: readonly Pod[]): Remark[] => {
  const containers = pods.flatMap((pod) => pod.containers);
  const below = (key: string) => containers.flatMap((container) => partsAt(container, key));
  const groups: readonly (readonly [readonly Part[], readonly string[]])[] = [
    [resources, keys.resourceKeys],
    [pods.map(({ path, spec }) => ({ path: [...path, 'spec'], value: spec })), keys.podKeys],
    [containers, keys.containerKeys],
    [below('ports'), keys.portKeys],
    [below('volumeMounts'), keys.mountKeys],
    [below('env'), keys.variableKeys],
    [below('envFrom'), keys.variablesSourceKeys],
  ];
  return groups.flatMap(([parts, known]) =>
    parts.flatMap(({ path, value }) =>
      strayKeys(value, known).map(
        ({ key, message, hint }) => ({ code: 'KEY_UNUSUAL', path: [...path, key], at: 'key', message, hint }) as const,
      ),
    ),
  );
};

/** Findings about the descriptors in the workload section itself; those in an archive are read elsewhere. */
export const podFindings = (workload: ParsedGround): readonly Finding[] => {
  const play = { path: ['play'], value: mappingAt(workload.document.value, 'play') };
  const resources = resourcesOf(play);
  const pods = resources.filter(({ value }) => value.kind === 'Pod').map(podOf);
  const remarks = [
    ...resourceNames(resources),
    ...pods.flatMap((pod) => [
      ...twice(names(pod.containers), 'containers of the Pod'),
      ...twice(names(pod.volumes), 'volumes of the Pod'),
      ...mounts(pod),
      ...volumeKinds(pod),
    ]),
    ...ports(pods),
    // The archive may hold more ConfigMaps.
    ...('archive' in play.value ? [] : configMaps(pods, resources)),
    ...strays(resources, pods),
  ];
  return remarks
    .slice(0, limit)
    .map(({ code, path, at, message, hint }) => finding(code, workload, path, { message, hint: hint() }, at));
};
