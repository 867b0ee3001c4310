/** Pods and ConfigMaps of the workload section: rules over several of them. Their fields are in the fixture matrix. */
import t from 'tap';
import { checkSection } from '../../../agent/contract/check.ts';
import * as keys from '../../../agent/contract/pod-keys.ts';
import { fieldsOf } from '../../../scripts/schema-fields.ts';
import { schemas } from '../../../scripts/schemas.ts';

const digest = `sha256:${'7c51bea71d1f4f6d8d6312c5e26fd7d6'.repeat(2)}`;
const image = `registry.example.com/team/app@${digest}`;

const check = (play: unknown) => {
  const bytes = Buffer.from(JSON.stringify({ type: 'workload', play }));
  return checkSection(bytes, 'workload', { profile: 'hpvs', minimumSerial: 0 });
};
const told = (play: unknown) => check(play).map(({ code, path }) => `${code} at ${path.replace('workload.play.', '')}`);

const pod = (name: string, spec: object, container: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'app', image, ...container }], ...spec },
});
const configMap = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: {} });
const listens = (...ports: object[]) => ({ ports });
const mounts = (name: string) => ({ volumeMounts: [{ name, mountPath: '/data' }] });
const data = { volumes: [{ name: 'data', hostPath: { path: '/mnt/data' } }] };
const from = (name: string, more: object = {}) => ({ envFrom: [{ configMapRef: { name, ...more } }] });

t.test('rules over several parts', async (t) => {
  const http = { containerPort: 80, hostPort: 80 };
  const cases: readonly (readonly [string, unknown, readonly string[]])[] = [
    [
      'ports of two pods',
      { resources: [pod('a', {}, listens(http)), pod('b', {}, listens(http))] },
      ['PORT_COLLISION at resources[1].spec.containers[0].ports[0].hostPort'],
    ],
    ['another protocol', { resources: [pod('a', {}, listens(http, { ...http, protocol: 'UDP' }))] }, []],
    [
      'TCP is the default',
      { resources: [pod('a', {}, listens(http, { ...http, protocol: 'TCP' }))] },
      ['PORT_COLLISION at resources[0].spec.containers[0].ports[1].hostPort'],
    ],
    [
      'other addresses',
      { resources: [pod('a', {}, listens({ ...http, hostIP: '192.0.2.1' }, { ...http, hostIP: '192.0.2.2' }))] },
      [],
    ],
    [
      'all addresses and one',
      { resources: [pod('a', {}, listens({ ...http, hostIP: '192.0.2.1' }, { ...http, hostIP: '0.0.0.0' }))] },
      ['PORT_COLLISION at resources[0].spec.containers[0].ports[1].hostPort'],
    ],
    ['the network of the guest', { resources: [pod('a', { hostNetwork: true }, listens({ containerPort: 80 }))] }, []],
    [
      'no hostPort',
      { resources: [pod('a', {}, listens({ containerPort: 80 }))] },
      ['PORT_NOT_BOUND at resources[0].spec.containers[0].ports[0]'],
    ],
    ['a known volume', { resources: [pod('a', data, mounts('data'))] }, []],
    [
      'no such volume',
      { resources: [pod('a', {}, mounts('data'))] },
      ['VOLUME_MOUNT_UNKNOWN at resources[0].spec.containers[0].volumeMounts[0].name'],
    ],
    [
      'the volume of another pod',
      { resources: [pod('a', data), pod('b', {}, mounts('data'))] },
      ['VOLUME_MOUNT_UNKNOWN at resources[1].spec.containers[0].volumeMounts[0].name'],
    ],
    [
      'in an init container',
      { resources: [pod('a', { initContainers: [{ name: 'init', image, ...mounts('dat') }], ...data })] },
      ['VOLUME_MOUNT_UNKNOWN at resources[0].spec.initContainers[0].volumeMounts[0].name'],
    ],
    [
      'a volume without a source',
      { resources: [pod('a', { volumes: [{ name: 'data' }] })] },
      ['POD_VOLUME_UNUSUAL at resources[0].spec.volumes[0]'],
    ],
    [
      'a claim',
      { resources: [pod('a', { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'c' } }] })] },
      ['POD_VOLUME_UNUSUAL at resources[0].spec.volumes[0].persistentVolumeClaim'],
    ],
    ['a ConfigMap beside', { resources: [configMap('settings'), pod('a', {}, from('settings'))] }, []],
    [
      'a ConfigMap that is a template',
      { resources: [pod('a', {}, from('settings'))], templates: [configMap('settings')] },
      [],
    ],
    ['the ConfigMap of the contract', { resources: [pod('a', {}, from('contract.config.map'))] }, []],
    [
      'no such ConfigMap',
      { resources: [pod('a', {}, from('settings'))] },
      ['CONFIG_MAP_UNKNOWN at resources[0].spec.containers[0].envFrom[0].configMapRef.name'],
    ],
    ['it may be absent', { resources: [pod('a', {}, from('settings', { optional: true }))] }, []],
    ['two of one name', { resources: [pod('a', {}), pod('a', {})] }, ['NAME_TWICE at resources[1].metadata.name']],
    ['two kinds of one name', { resources: [pod('a', {}), configMap('a')] }, []],
    [
      'two of one name, one a template',
      { resources: [pod('a', {})], templates: [pod('a', {})] },
      ['NAME_TWICE at templates[0].metadata.name'],
    ],
    [
      'a misspelt key',
      { resources: [pod('a', data, { volumeMount: [] })] },
      ['KEY_UNUSUAL at resources[0].spec.containers[0].volumeMount'],
    ],
    [
      'keys of Kubernetes',
      { resources: [pod('a', { hostname: 'web', dnsPolicy: 'Default' }, { securityContext: {}, tty: true })] },
      [],
    ],
  ];
  for (const [name, play, expected] of cases) t.same(told(play), expected, name);
});

t.test('what a template makes of an expression is not known, and no fault', async (t) => {
  const expression = '{{ .Env.NAME }}';
  const templates: readonly unknown[] = [
    [pod(expression, {}), pod(expression, {})],
    [pod('a', { volumes: [{ name: expression, hostPath: { path: expression } }] }, mounts('data'))],
    [pod('a', data, mounts(expression))],
    [pod('a', {}, from(expression))],
    [configMap(`${expression}-settings`), pod('a', {}, from('web-settings'))],
    [
      pod(
        'a',
        {},
        listens({ containerPort: expression, hostPort: expression }, { containerPort: 80, hostPort: expression }),
      ),
    ],
    [pod('a', {}, { image: `${expression}/team/app@${digest}`, tty: expression })],
    [{ ...pod('a', {}), kind: expression }],
  ];
  for (const list of templates) {
    t.same(told({ templates: list }), [], JSON.stringify(list));
    if (!JSON.stringify(list).includes('"kind":"{{')) continue;
    t.same(told({ resources: list }), ['WRONG_VALUE at resources[0].kind'], 'expressions are for templates only');
  }
  t.same(told({ resources: [pod(expression, {})] }), ['WRONG_PATTERN at resources[0].metadata.name']);
});

t.test('the archive beside may hold more ConfigMaps', async (t) => {
  const play = { archive: 'H4sIAAAA', resources: [pod('a', {}, from('settings'))] };
  t.notOk(told(play).some((one) => one.startsWith('CONFIG_MAP_UNKNOWN')));
});

t.test('every name of the schema is a name of Kubernetes', async (t) => {
  const lists: Readonly<Record<string, readonly string[]>> = {
    'play.resources[]': keys.resourceKeys,
    'play.resources[].spec': keys.podKeys,
    'play.resources[].spec.containers[]': keys.containerKeys,
    'play.resources[].spec.containers[].ports[]': keys.portKeys,
    'play.resources[].spec.containers[].volumeMounts[]': keys.mountKeys,
    'play.resources[].spec.containers[].env[]': keys.variableKeys,
    'play.resources[].spec.containers[].envFrom[]': keys.variablesSourceKeys,
  };
  for (const { name } of fieldsOf(schemas.workload)) {
    const dot = name.lastIndexOf('.');
    const known = lists[name.slice(0, dot)];
    if (known !== undefined && !name.endsWith('[]')) t.ok(known.includes(name.slice(dot + 1)), name);
  }
});

t.test('descriptors full of faults get a bounded answer', async (t) => {
  const ports = Array.from({ length: 5000 }, () => ({ containerPort: 80, hostPort: 80, hostport: 1 }));
  const many = Array.from({ length: 5000 }, (_, index) => ({ name: `volume-${index}`, hostPath: { path: '/x' } }));
  const wrong = Array.from({ length: 5000 }, (_, index) => ({ name: `volum-${index}`, mountPath: `/${index}` }));
  const found = check({ resources: [pod('a', { volumes: many }, { ports, volumeMounts: wrong })] });
  t.ok(found.length > 0 && found.length <= 50, `${found.length} findings`);
});
