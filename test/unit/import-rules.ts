/**
 * The import rules of ARCHITECTURE.md, as a checker over source texts:
 *
 *   main → cli → boot, keyd/run → effectful files → pure files → errors, messages, secret, contract-schema
 *
 * Directions count imports of values. A type costs nothing at run time, so `import type` may point anywhere but to
 * main.ts and out of the program. A file is effectful when one of its exported functions takes a port first.
 */
import { dirname, join, normalize } from 'node:path';
import { transform } from 'esbuild';

export type Rule =
  | 'direction'
  | 'package'
  | 'outside'
  | 'cycle'
  | 'time'
  | 'process'
  | 'port-not-first'
  | 'too-long'
  | 'vague-name';

export interface Fault {
  readonly file: string;
  readonly rule: Rule;
  readonly detail: string;
}

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

interface SourceFile {
  readonly path: string;
  readonly source: string;
  /** Types and comments removed. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export const maxLines = 350;

/**
 * Types whose values touch the world (agent/ports.ts, agent/service-ports.ts). ReadAt is not among them: it
 * reads bytes that somebody else opened, a buffer as well as a device.
 */
const ports = [
  'Host',
  'Files',
  'Disks',
  'BlockDevice',
  'SendHttp',
  'ServeHttp',
  'Connections',
  'FollowJournal',
  'Calendar',
  'OpenLineFile',
  'RunCommand',
  'Clock',
  'Entropy',
  'Power',
  'AskSocket',
  'ServeSocket',
  'Journal',
  'Locks',
  'Notify',
];
const portType = new RegExp(`^(?:(?:Pick|Readonly)<\\s*)?(?:${ports.join('|')}|\\w+Ports)\\b`);

const layers = ['base', 'pure', 'effectful', 'story', 'cli', 'host', 'main'] as const;
type Layer = (typeof layers)[number];

/** What a file of each layer may load. Port implementations are handed down by main, never imported. */
const mayLoad: Readonly<Record<Layer, readonly Layer[]>> = {
  base: ['base'],
  pure: ['base', 'pure'],
  effectful: ['base', 'pure', 'effectful'],
  story: ['base', 'pure', 'effectful'],
  cli: ['base', 'pure', 'effectful', 'story', 'cli'],
  host: ['base', 'host'],
  main: ['base', 'pure', 'effectful', 'story', 'cli', 'host'],
};

/** Libraries that only compute; everybody may use them. ajv is not among them: validators are compiled ahead of time. */
const computing = [
  'node:crypto',
  'node:buffer',
  'node:zlib',
  'yaml',
  'openpgp',
  '@peculiar/webcrypto',
  '@peculiar/x509',
];
const alsoComputing = ['reflect-metadata'];

const isBase = (path: string): boolean =>
  /^agent\/(errors|message|messages|secret|ports|[\w-]+-messages|\w+\/([\w-]+-)?messages)\.ts$/.test(path);

const importsOf = (path: string, source: string): readonly Import[] => {
  const resolved = (specifier: string): string =>
    specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier;
  const found: Import[] = [];
  for (const [, type, names = '', specifier = ''] of source.matchAll(
    /^(?:import|export)\s+(type\s+)?([^;'"]*?)\s*from\s+'([^']+)'/gms,
  )) {
    const onlyTypes = /^\{(\s*type\s+\w+(\s+as\s+\w+)?\s*,?)+\s*\}$/.test(names);
    found.push({ target: resolved(specifier), typeOnly: type !== undefined || onlyTypes });
  }
  for (const [, specifier = ''] of source.matchAll(/^import\s+'([^']+)'/gms))
    found.push({ target: resolved(specifier), typeOnly: false });
  for (const [, specifier = ''] of source.matchAll(/\bimport\(\s*['"`]([^'"`]+)['"`]/g))
    found.push({ target: resolved(specifier), typeOnly: false });
  return found;
};

/** The texts between the parentheses of every exported function's parameter list, one entry per parameter. */
const parameterLists = (source: string): readonly (readonly string[])[] => {
  const bare = source.replace(/\/\*[\s\S]*?\*\//g, '');
  const start = /^export (?:(?:async )?function \w+|const \w+(?::[^=]+)? =\s*(?:async\s*)?)(?:<[^(]*>)?\(/gm;
  return [...bare.matchAll(start)].map((match) => {
    const parameters = [''];
    let depth = 0;
    for (const character of bare.slice(match.index + match[0].length)) {
      if (depth === 0 && character === ')') break;
      if ('([{<'.includes(character)) depth += 1;
      if (')]}'.includes(character) || (character === '>' && !parameters.at(-1)?.endsWith('='))) depth -= 1;
      if (depth === 0 && character === ',') parameters.push('');
      else parameters.push(`${parameters.pop()}${character}`);
    }
    return parameters.map((text) => text.trim()).filter((text) => text !== '');
  });
};

const isPort = (parameter: string | undefined): boolean => {
  const [name = '', type = ''] = (parameter ?? '').split(/\??:\s*/, 2);
  return name === 'host' || portType.test(type.trim());
};

const layerOf = ({ path, source }: SourceFile): Layer => {
  if (path === 'agent/main.ts') return 'main';
  if (path === 'agent/boot.ts' || path === 'agent/keyd/run.ts') return 'story';
  if (path.startsWith('agent/cli/')) return 'cli';
  if (path.startsWith('agent/host/')) return 'host';
  if (isBase(path)) return 'base';
  return parameterLists(source).some(([first]) => isPort(first)) ? 'effectful' : 'pure';
};

const packageAllowed = (path: string, layer: Layer, target: string): boolean =>
  layer === 'host' ||
  computing.includes(target) ||
  alsoComputing.includes(target) ||
  (target === 'commander' && (layer === 'cli' || layer === 'main')) ||
  (target === 'node:sqlite' && path.startsWith('agent/emulator/store'));

const isInside = (path: string): boolean => path.startsWith('agent/') || path.startsWith('contract-schema/');
const isPackage = (target: string): boolean => /^(node:|@?[a-z])/.test(target) && !target.includes('.ts');

const importFaults = (file: SourceFile, files: ReadonlyMap<string, SourceFile>): readonly Fault[] => {
  const { path, imports } = file;
  const faults: Fault[] = [];
  const report = (rule: Rule, detail: string): void => void faults.push({ file: path, rule, detail });
  const ofAgent = path.startsWith('agent/');
  const layer = layerOf(file);
  for (const { target, typeOnly } of imports) {
    const inside = isInside(target);
    if (!inside && isPackage(target) && !/^(test|scripts|fixtures|bench)\//.test(target)) {
      if (!typeOnly && ofAgent && !packageAllowed(path, layer, target)) report('package', target);
      continue;
    }
    if (!inside) report('outside', target);
    else if (!ofAgent && target.startsWith('agent/')) report('direction', `contract-schema imports ${target}`);
    else if (target === 'agent/main.ts') report('direction', 'nothing may import main.ts');
    const other = files.get(target);
    if (typeOnly || other === undefined || !ofAgent || !target.startsWith('agent/')) continue;
    const below = layerOf(other);
    // A message table may word a duration or a size with a pure function that itself needs nothing.
    const leaf = layer === 'base' && below === 'pure' && other.imports.every((one) => one.typeOnly);
    if (!mayLoad[layer].includes(below) && !leaf) report('direction', `${layer} file loads ${below} file ${target}`);
  }
  return faults;
};

const textFaults = ({ path, source, code }: SourceFile): readonly Fault[] => {
  const faults: Fault[] = [];
  const report = (rule: Rule, detail: string): void => void faults.push({ file: path, rule, detail });
  const ofHost = path.startsWith('agent/host/');
  const lines = source.split('\n').length - 1;
  if (lines > maxLines) report('too-long', `${lines} lines`);
  if (/\/[\w-]*(utils?|helpers?|manager|common)\.ts$/.test(path)) report('vague-name', path);
  if (!ofHost)
    for (const [found] of code.matchAll(
      /\bDate\.now\b|\bnew Date\(\)|\bset(?:Timeout|Interval|Immediate)\b|\bMath\.random\b|\bperformance\.now\b|\bfetch\(/g,
    ))
      report('time', found);
  for (const [found, member = ''] of code.matchAll(/\bprocess\.(\w+)/g)) {
    if (path === 'agent/main.ts') continue;
    if (!ofHost || ['env', 'argv', 'exit', 'exitCode', 'abort', 'kill'].includes(member)) report('process', found);
  }
  if (!ofHost && path !== 'agent/main.ts')
    for (const parameters of parameterLists(source))
      if (!isPort(parameters[0]) && parameters.some(isPort))
        report('port-not-first', parameters.find(isPort)?.replaceAll(/\s+/g, ' ') ?? '');
  return faults;
};

/** Every cycle of loading files once, named by its members. */
const cycles = (files: ReadonlyMap<string, SourceFile>): readonly Fault[] => {
  const faults: Fault[] = [];
  const done = new Set<string>();
  const walk = (path: string, above: readonly string[]): void => {
    const at = above.indexOf(path);
    if (at >= 0) faults.push({ file: path, rule: 'cycle', detail: [...above.slice(at), path].join(' → ') });
    if (at >= 0 || done.has(path)) return;
    for (const { target, typeOnly } of files.get(path)?.imports ?? [])
      if (!typeOnly && files.has(target)) walk(target, [...above, path]);
    done.add(path);
  };
  for (const path of files.keys()) walk(path, []);
  return faults;
};

/** All faults of a set of files: path from the root of the repository → text. */
export const checkImports = async (sources: ReadonlyMap<string, string>): Promise<readonly Fault[]> => {
  const files = new Map<string, SourceFile>();
  for (const [path, source] of sources) {
    const { code } = await transform(source, {
      loader: path.endsWith('.ts') ? 'ts' : 'js',
      target: 'esnext',
      legalComments: 'none',
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    });
    files.set(path, { path, source, code, imports: importsOf(path, source) });
  }
  const each = [...files.values()].flatMap((file) => [
    ...importFaults(file, files),
    ...(file.path.startsWith('agent/') ? textFaults(file) : []),
  ]);
  return [...each, ...cycles(files)];
};

/** Layer of every file of agent/, for whoever wants to see what touches the world. */
export const layersOf = (sources: ReadonlyMap<string, string>): ReadonlyMap<string, Layer> =>
  new Map(
    [...sources]
      .filter(([path]) => path.startsWith('agent/'))
      .map(([path, source]) => [path, layerOf({ path, source, code: '', imports: [] })]),
  );
