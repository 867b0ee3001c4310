/** Network configurations: what is said about a whole document. Its fields are in the fixture matrix. */
import t from 'tap';
import { renderFindings } from '../../../agent/contract/finding.ts';
import { checkNetwork } from '../../../agent/contract/network.ts';
import { fieldsOf } from '../../../scripts/schema-fields.ts';
import { schemas } from '../../../scripts/schemas.ts';

const check = (text: string | Uint8Array) => checkNetwork(Buffer.from(text));
const told = (text: string | Uint8Array) => check(text).map(({ code, path }) => `${code} at ${path}`);

const ethernet = (lines: string): string => `network:
  ethernets:
    enc1:
      dhcp4: false
      addresses: [192.0.2.10/24, 198.51.100.7/25]
${lines}`;

t.test('a document that is something else is told once', async (t) => {
  const cases: readonly (readonly [string | Uint8Array, string, RegExp])[] = [
    ['version: 2\nethernets: {enc1: {dhcp4: true}}\n', 'MISSING_KEY at ethernets', /begin with network:/],
    ['workload: |\n  type: workload\nenv: x\n', 'MISSING_KEY at workload', /looks like a contract/],
    ['type: env\nlogging: {}\n', 'MISSING_KEY at type', /looks like a contract/],
    ['{}\n', 'MISSING_KEY at ', /whole configuration/],
    ['- network\n', 'NOT_A_MAPPING at ', /begin with network:/],
    ['', 'NOT_A_MAPPING at ', /begin with network:/],
    ['network: [\n', 'YAML_SYNTAX at ', /YAML 1\.2/],
    [Buffer.from([0xff, 0xfe]), 'NOT_UTF8 at ', /UTF-8/],
    [
      'network: {ethernets: {enc1: {dhcp4: true, dhcp4: true}}}\n',
      'YAML_DUPLICATE_KEY at network.ethernets.enc1',
      /keep one/,
    ],
  ];
  for (const [text, expected, hint] of cases) {
    t.same(told(text), [expected]);
    t.match(check(text)[0]?.hint, hint, expected);
  }
});

t.test('a finding shows its line: the file holds no secrets', async (t) => {
  const text = ethernet('      gateway4: 192.0.2.256\n');
  t.equal(
    renderFindings(check(text), 'network-config').split('\n').slice(0, 3).join('\n'),
    'network-config:6:17: error HPL05001E WRONG_PATTERN: network.ethernets.enc1.gateway4: the value does not have the right form\n' +
      '          gateway4: 192.0.2.256\n' +
      '                    ^',
  );
});

t.test('a router must be in a network of the interface, and not the interface itself', async (t) => {
  const remark = 'GATEWAY_UNREACHABLE at network.ethernets.enc1.gateway4';
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['192.0.2.1', []],
    ['198.51.100.1', []],
    ['192.0.2.255', []],
    ['192.0.3.1', [remark]],
    ['198.51.100.127', []],
    ['198.51.100.128', [remark]],
    ['192.0.2.10', [remark]],
    ['0.0.0.0', [remark]],
    ['255.255.255.255', [remark]],
  ];
  for (const [gateway, expected] of cases) t.same(told(ethernet(`      gateway4: ${gateway}\n`)), expected, gateway);
  t.same(told(ethernet('      routes: [{to: 203.0.113.0/24, via: 192.0.2.1}, {to: 0.0.0.0/0, via: 203.0.113.1}]\n')), [
    'GATEWAY_UNREACHABLE at network.ethernets.enc1.routes[1].via',
  ]);
  const pointToPoint =
    'network: {ethernets: {enc1: {dhcp4: false, addresses: [192.0.2.10/0], gateway4: 203.0.113.1}}}\n';
  t.same(told(pointToPoint), []);
});

t.test('what a reader of the file passes over is a warning, with the key that is meant', async (t) => {
  const found = check(ethernet('      nameserver: {addresses: [192.0.2.53]}\n      dhcp6: false\n'));
  t.same(
    found.map(({ code, severity, path }) => [code, severity, path]),
    [
      ['KEY_UNUSUAL', 'warning', 'network.ethernets.enc1.nameserver'],
      ['KEY_UNUSUAL', 'warning', 'network.ethernets.enc1.dhcp6'],
    ],
  );
  t.match(found[0]?.hint, /is "nameservers" meant/);
});

t.test('the names that are known are those of the schema', async (t) => {
  const known = check('network: {ethernets: {enc1: {dhcp4: true, zzzzzzzzzzzz: 1}}, zzzzzzzzzzzz: 1}\n').map(
    ({ hint }) => hint,
  );
  const children = (parent: string) =>
    fieldsOf(schemas.network)
      .map(({ name }) => name)
      .filter((name) => name.startsWith(`${parent}.`) && !/[.[]/.test(name.slice(parent.length + 1)))
      .map((name) => name.slice(parent.length + 1));
  t.same(known, [
    `known here: ${children('network').join(', ')}`,
    `known here: ${children('network.ethernets.*').join(', ')}`,
  ]);
});

t.test('a document full of faults gets a bounded answer', async (t) => {
  const routes = Array.from({ length: 9000 }, () => '{to: default, via: 203.0.113.1, gate: 1}').join(', ');
  const many = Array.from({ length: 200 }, (_, index) => `    eth${index}: {dhcp4: true}`).join('\n');
  t.ok(check(ethernet(`      routes: [${routes}]\n`)).length < 300);
  t.ok(check(`network:\n  ethernets:\n${many}\n`).length < 300);
});
