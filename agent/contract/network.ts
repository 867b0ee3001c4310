/**
 * network-config, the file beside the contract on the NoCloud disk of an on-premises guest (IBM documentation of
 * HPVS 2.x, "Network configuration"). IPv4 only; the names follow netplan.
 */
import { network as validateNetwork } from '../../contract-schema/generated/network-validator.js';
import { finding, type ParsedGround } from './finding.ts';
import { parseGroundBytes } from './parse-ground.ts';
import { schemaFindings } from './schema-findings.ts';
import { strayKeys } from './stray-keys.ts';
import { isMapping, type YamlMapping, type YamlPath, type YamlValue } from './strict-yaml.ts';
import type { Finding } from './types.ts';
import { mappingAt } from './volume-rules.ts';

/** After so many the rest would only repeat them. */
const limit = 50;

const networkKeys = ['version', 'ethernets'];
const ethernetKeys = ['dhcp4', 'addresses', 'gateway4', 'mtu', 'routes', 'nameservers'];
const routeKeys = ['to', 'via'];
const nameserverKeys = ['addresses', 'search'];

const listOf = (value: YamlValue | undefined): readonly YamlValue[] =>
  Array.isArray(value) ? (value as readonly YamlValue[]) : [];

/** Its 32 bits, or null when it is none; the schema tells that. */
const addressOf = (value: YamlValue | undefined): number | null => {
  const parts = typeof value === 'string' && /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(value) ? value.split('.') : [];
  return parts.length === 4 ? parts.reduce((bits, part) => bits * 256 + Number(part), 0) : null;
};

/** First and last address of the network that `value`, an address with its prefix, is in. */
const networkOf = (
  value: YamlValue,
): { readonly first: number; readonly last: number; readonly own: number } | null => {
  const [text, length] = typeof value === 'string' ? value.split('/') : [];
  const own = addressOf(text);
  if (own === null || length === undefined) return null;
  const size = 2 ** (32 - Number(length));
  const first = Math.floor(own / size) * size;
  return { first, last: first + size - 1, own };
};

const hopFinding = (
  ground: ParsedGround,
  path: YamlPath,
  hop: YamlValue | undefined,
  addresses: readonly YamlValue[],
): readonly Finding[] => {
  const address = addressOf(hop);
  const networks = addresses.map(networkOf).filter((network) => network !== null);
  if (address === null || networks.length === 0) return [];
  const isOwn = networks.some(({ own }) => own === address);
  if (!isOwn && networks.some(({ first, last }) => address >= first && address <= last)) return [];
  const message = isOwn
    ? 'this is the address of the interface itself'
    : 'this address is in no network of the interface, so that it cannot be reached';
  const hint = `give a router in the network of ${addresses.slice(0, 3).map(String).join(', ')}, or mend the prefix`;
  return [finding('GATEWAY_UNREACHABLE', ground, path, { message, hint })];
};

const routeFindings = (ground: ParsedGround, path: YamlPath, ethernet: YamlMapping): readonly Finding[] => {
  const addresses = listOf(ethernet.addresses);
  const found = [...hopFinding(ground, [...path, 'gateway4'], ethernet.gateway4, addresses)];
  for (const [index, route] of listOf(ethernet.routes).slice(0, limit).entries()) {
    const { to, via } = mappingAt(route);
    found.push(...hopFinding(ground, [...path, 'routes', index, 'via'], via, addresses));
    if (to !== 'default') continue;
    const message = 'the published pattern takes a prefix only, and a guest that applies it refuses this word';
    const hint = 'type 0.0.0.0/0, which means the same, or use gateway4';
    found.push(finding('ROUTE_DEFAULT', ground, [...path, 'routes', index, 'to'], { message, hint }));
  }
  return found;
};

const strayFindings = (ground: ParsedGround, network: YamlMapping): readonly Finding[] => {
  const ethernets = Object.entries(mappingAt(network, 'ethernets')).slice(0, limit);
  const parts: (readonly [YamlPath, YamlMapping, readonly string[]])[] = [[['network'], network, networkKeys]];
  for (const [name, ethernet] of ethernets) {
    const path = ['network', 'ethernets', name];
    parts.push([path, mappingAt(ethernet), ethernetKeys]);
    parts.push([[...path, 'nameservers'], mappingAt(ethernet, 'nameservers'), nameserverKeys]);
    for (const [index, route] of listOf(mappingAt(ethernet).routes).slice(0, limit).entries()) {
      parts.push([[...path, 'routes', index], mappingAt(route), routeKeys]);
    }
  }
  return parts
    .flatMap(([path, value, known]) => strayKeys(value, known).map((stray) => ({ path: [...path, stray.key], stray })))
    .slice(0, limit)
    .map(({ path, stray: { message, hint } }) =>
      finding('KEY_UNUSUAL', ground, path, { message, hint: hint() }, 'key'),
    );
};

/** A document that is something else: said once, instead of what is missing in it. */
const otherDocument = (ground: ParsedGround, root: YamlMapping): readonly Finding[] => {
  if ('network' in root) return [];
  const message = 'the key "network" is missing';
  if ('ethernets' in root) {
    const hint = 'begin with network: and put version and ethernets below it, two spaces further in';
    return [finding('MISSING_KEY', ground, ['ethernets'], { message, hint }, 'key')];
  }
  const section = ['workload', 'env', 'type'].find((key) => key in root);
  if (section === undefined) return [];
  const hint = 'this looks like a contract: leave out --section network';
  return [finding('MISSING_KEY', ground, [section], { message, hint }, 'key')];
};

/** Checks `bytes` as a network configuration. It holds no secrets, so that excerpts show its values. Nothing is thrown. */
export const checkNetwork = (bytes: Uint8Array): readonly Finding[] => {
  const read = parseGroundBytes(bytes, null);
  if (read.kind === 'refused') return read.findings;
  const root = read.value.document.value;
  // Addresses are no secret; another document, given by mistake, may be.
  const ground: ParsedGround = { ...read.value, isPublic: isMapping(root) && 'network' in root };
  if (!isMapping(root)) {
    const message = 'the document is no YAML mapping';
    return [finding('NOT_A_MAPPING', ground, [], { message, hint: 'begin with network: and ethernets: below it' })];
  }
  const other = otherDocument(ground, root);
  if (other.length > 0) return other;
  const network = mappingAt(root, 'network');
  return [
    ...schemaFindings(validateNetwork, ground, root),
    ...Object.entries(mappingAt(network, 'ethernets'))
      .slice(0, limit)
      .flatMap(([name, value]) => routeFindings(ground, ['network', 'ethernets', name], mappingAt(value))),
    ...strayFindings(ground, network),
  ];
};
