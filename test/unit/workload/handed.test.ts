/** The whole hand-over: what is written for which contract, with which modes, and what is refused before anything is. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { maximumUnpackedBytes } from '../../../agent/contract/content/gunzip.ts';
import { AgentError } from '../../../agent/errors.ts';
import { type HandedWorkload, handedWorkload, wipeHanded } from '../../../agent/workload/handed.ts';
import { writeHanded } from '../../../agent/workload/write-handed.ts';
import { hostOnFiles, type RecordedHost } from '../../fakes/host-on-files.ts';
import { type OnTheLine, onTheLine, plainEnv } from './contract-on-the-line.ts';

const settings = {
  paths: { state: '/var/hyperprotect', run: '/run/triseed' },
  workload: { folder: '/data1', registryAuth: '/root/.docker/config.json' },
};
const handed = ({ contract, sealed }: OnTheLine, folder = ''): HandedWorkload =>
  handedWorkload(contract, sealed, {
    paths: { ...settings.paths, state: `${folder}${settings.paths.state}` },
    workload: {
      folder: `${folder}${settings.workload.folder}`,
      registryAuth: `${folder}${settings.workload.registryAuth}`,
    },
  });

const header = (name: string, size: number, kind: string, mode = 0o644): Buffer => {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100, 'utf8');
  block.write(`${mode.toString(8).padStart(7, '0')}\0${'0'.repeat(7)}\0${'0'.repeat(7)}\0`, 100, 'latin1');
  block.write(`${size.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0`, 124, 'latin1');
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(`${kind}`, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
};
type MemberText = readonly [name: string, content: string | Buffer | null, mode?: number];
/** A ustar archive, POSIX.1-2017 pax, "ustar Interchange Format"; null makes a folder. */
const tar = (...members: readonly MemberText[]): Buffer =>
  Buffer.concat([
    ...members.map(([name, content, mode]) => {
      const bytes = Buffer.from(content ?? '');
      const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
      return Buffer.concat([header(name, bytes.length, content === null ? '5' : '0', mode), bytes, padding]);
    }),
    Buffer.alloc(1024),
  ]);
const packed = (...members: readonly MemberText[]): string =>
  gzipSync(tar(...members), { level: 1 }).toString('base64');
const composeText = 'services: { web: { image: "registry.example.com/web@sha256:0" } }\n';
const compose = (...members: readonly MemberText[]): string =>
  `type: workload\ncompose: { archive: ${packed(...members)} }\n`;

const textAt = ({ files }: HandedWorkload, path: string): string | undefined =>
  files.find((file) => file.path === path)?.bytes?.expose((bytes) => bytes.toString('utf8'));
const modesOf = ({ files }: HandedWorkload): Readonly<Record<string, string>> =>
  Object.fromEntries(files.map(({ path, mode, bytes }) => [path, bytes === null ? 'absent' : mode.toString(8)]));

t.test('a compose project', async (t) => {
  const workload = `${compose(
    ['docker-compose.yaml', composeText],
    ['./run/start.sh', '#!/bin/sh\n', 0o4755],
    ['.env', 'OWN=1\nBOTH=archive\n'],
    ['empty/folder/', null],
  )}env: { BOTH: of workload }\nvolumes: { data: { seed: PLANTED-workload-seed } }\n`;
  const env = `${plainEnv}env: { BOTH: of env, ONLY: "it's" }
auths: { registry.example.com: { username: reader, password: PLANTED-password } }
volumes: { data: { seed: PLANTED-env-seed-1 } }\n`;
  const given = onTheLine(workload, env, { cidata: { metaData: Buffer.from('instance-id: x\n'), vendorData: null } });
  const all = handed(given);
  t.strictSame(modesOf(all), {
    '/root/.docker/config.json': '600',
    '/var/hyperprotect/user-data.decrypted': '600',
    '/var/hyperprotect/cidata/meta-data': '644',
    '/var/hyperprotect/cidata/vendor-data': 'absent',
    '/var/hyperprotect/unsigned-checksums.txt': '644',
    '/data1/compose/docker-compose.yaml': '644',
    '/data1/compose/run/start.sh': '755',
    '/data1/compose/.env': '600',
  });
  t.strictSame(
    all.folders.map(({ path, mode }) => `${path} ${mode.toString(8)}`),
    [
      '/root/.docker 700',
      '/var/hyperprotect 755',
      '/var/hyperprotect/cidata 755',
      '/data1/compose 700',
      '/data1/compose/empty 700',
      '/data1/compose/empty/folder 700',
      '/data1/compose/run 700',
    ],
  );
  t.strictSame(all.places, ['/var/hyperprotect', '/root/.docker', '/data1']);
  t.equal(textAt(all, '/data1/compose/.env'), `OWN=1\nBOTH=archive\nBOTH='of workload'\nONLY="it's"\n`);
  const decrypted = textAt(all, '/var/hyperprotect/user-data.decrypted') ?? '';
  t.notMatch(decrypted, /PLANTED-(workload|env)-seed/);
  t.match(decrypted, /PLANTED-password/, 'credentials are the workload’s own');
  t.match(textAt(all, '/var/hyperprotect/unsigned-checksums.txt'), /^[0-9a-f]{64} contract:workload$/m);
  t.equal(all.pods, null);
  t.notMatch(JSON.stringify(all), /PLANTED/, 'nothing shows when it is printed');
  wipeHanded(all);
  t.throws(() => textAt(all, '/data1/compose/.env'), TypeError);
});

t.test('pods', async (t) => {
  const pod = (name: string): string =>
    `{ apiVersion: v1, kind: Pod, metadata: { name: ${name} }, spec: { containers: [{ name: web, image: "r.example.com/t/a@sha256:${'0'.repeat(64)}", args: ["{{ .Env.NAME }}"] }] } }`;
  const archive = packed(['pod.yml', 'kind: Pod\n'], ['data/config.yaml', 'x']);
  const workload = `type: workload
play:
  resources: [${pod('resource')}]
  templates: [${pod('template')}]
  archive: ${archive}
env: { NAME: web }
`;
  const all = handed(onTheLine(workload, plainEnv));
  t.strictSame(
    Object.keys(modesOf(all)).filter((path) => path.startsWith('/data1')),
    [
      '/data1/play/pod.yml',
      '/data1/play/data/config.yaml',
      '/data1/pods/contract.config.map.yaml',
      '/data1/pods/pods.yaml',
    ],
  );
  const read = parseAllDocuments(textAt(all, '/data1/pods/pods.yaml') ?? '').map((document) => [
    document.getIn(['metadata', 'name']),
    document.getIn(['spec', 'containers', 0, 'args', 0]),
  ]);
  t.strictSame(read, [
    ['resource', '{{ .Env.NAME }}'],
    ['template', 'web'],
  ]);
  t.match(textAt(all, '/data1/pods/contract.config.map.yaml'), /"NAME": "web"/);
  t.equal(all.pods, 3, 'with the one at the top of the archive');
  const none = handed(onTheLine('type: workload\nplay: {}\n', plainEnv));
  t.equal(none.pods, 0);
  t.match(modesOf(none), { '/data1/pods/contract.config.map.yaml': '600' });
});

t.test('what cannot be handed over is refused as a whole', async (t) => {
  const file: MemberText = ['docker-compose.yaml', composeText];
  const deep = Array.from({ length: 17 }, (_, at): MemberText => [`${at}${'/a'.repeat(40)}/x`, '']);
  const refused: Readonly<
    Record<string, readonly [workload: string, code: string, reason: RegExp | null, env?: string]>
  > = {
    'no gzip': ['type: workload\ncompose: { archive: AAAAAAAA }\n', 'COMPOSE_NOT_EXTRACTED', /gzip/],
    'a member outside': [compose(file, ['../up', 'x']), 'COMPOSE_NOT_EXTRACTED', /\.\./],
    'no compose file': [compose(['compose.yaml', composeText]), 'COMPOSE_NOT_EXISTS', null],
    'compose file below': [compose(['app/docker-compose.yml', composeText]), 'COMPOSE_NOT_EXISTS', null],
    'compose file is a folder': [compose(['docker-compose.yml/', null]), 'COMPOSE_NOT_EXISTS', null],
    '.env is a folder': [compose(file, ['.env/', null]), 'ENVIRONMENT_NOT_EXTRACTED', /folder/],
    '.env with an open quote': [compose(file, ['.env', 'A="PLANTED']), 'ENVIRONMENT_NOT_EXTRACTED', /line 1/],
    '.env in another encoding': [
      compose(file, ['.env', Buffer.from('A=\xe9', 'latin1')]),
      'ENVIRONMENT_NOT_EXTRACTED',
      /UTF-8/,
    ],
    'a template with an unknown variable': [
      'type: workload\nplay: { templates: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: "{{ .Env.X }}" } }] }\n',
      'PODS_NOT_PROCESSED',
      /templates\[0\]\.metadata\.name asks for X/,
    ],
    'a pod archive that is none': ['type: workload\nplay: { archive: AAAAAAAA }\n', 'PODS_NOT_PROCESSED', /gzip/],
    'a user name with a colon': [
      compose(file),
      'REGISTRY_AUTH_UNUSABLE',
      null,
      'auths: { registry.example.com: { username: "a:b", password: PLANTED-password } }\n',
    ],
  };
  for (const [name, [workload, code, reason, env = '']] of Object.entries(refused)) {
    try {
      handed(onTheLine(workload, plainEnv + env));
      t.fail(`${name}: taken`);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      t.equal(error.code, code, name);
      if (reason !== null) t.match((error.facts as { reason?: string }).reason, reason, name);
      t.notMatch(error.message, /PLANTED/, name);
    }
  }
  t.equal(handed(onTheLine(compose(file, ...deep), plainEnv)).files.length, 17 + 7, 'many folders');
});

t.test('the limits of an archive, exactly', async (t) => {
  const file: MemberText = ['docker-compose.yaml', composeText];
  // Header, content and padding of the two members, two blocks at the end.
  const room = maximumUnpackedBytes - 512 - 512 - 512 - 1024;
  t.equal(maximumUnpackedBytes, 16 * 1024 * 1024);
  t.equal(tar(file, ['big', Buffer.alloc(room)]).length, maximumUnpackedBytes);
  const largest = handed(onTheLine(compose(file, ['big', Buffer.alloc(room)]), plainEnv));
  t.equal(largest.files.find(({ path }) => path.endsWith('/big'))?.bytes?.length, room);
  t.throws(() => handed(onTheLine(compose(file, ['big', Buffer.alloc(room + 1)]), plainEnv)), {
    code: 'COMPOSE_NOT_EXTRACTED',
    facts: { reason: /16 MiB/ },
  });
  const folders = (count: number): readonly MemberText[] =>
    Array.from(
      { length: Math.ceil(count / 2) },
      (_, at): MemberText => [`${at}/b`, at === 0 && count % 2 === 1 ? 'x' : null],
    );
  t.equal(handed(onTheLine(compose(file, ...folders(4096 - 2)), plainEnv)).folders.length, 4 + 4096 - 2);
  t.throws(() => handed(onTheLine(compose(file, ...folders(8000)), plainEnv)), {
    code: 'COMPOSE_NOT_EXTRACTED',
    facts: { reason: /4096 folders/ },
  });
});

const inMemory = (): RecordedHost & { readonly notes: string[] } => {
  const host = hostOnFiles();
  const notes: string[] = [];
  return {
    ...host,
    notes,
    files: { ...host.files, isInMemory: async () => true },
    journal: { ...host.journal, note: (component, text) => notes.push(`${component}: ${text}`) },
  };
};
const rejected = (work: Promise<void>): Promise<string> =>
  work.then(
    () => 'written',
    (error: unknown) => (error instanceof AgentError ? `${error.code} ${error.message}` : String(error)),
  );
const project = onTheLine(
  `${compose(['docker-compose.yaml', composeText], ['bin/tool', 'x', 0o755])}volumes: { db: { seed: workload_seed_1234, mount: /mnt/db } }\n`,
  `${plainEnv}env: { A: b }\nvolumes: { db: { seed: env_seed_123456789 } }\n`,
);

t.test('files are written as decided', async (t) => {
  const folder = t.testdir();
  const host = inMemory();
  const usual = process.umask(0o077);
  await writeHanded(host, handed(project, folder));
  process.umask(usual);
  const at = (path: string): string => join(folder, path);
  const mode = (path: string): string => (statSync(at(path)).mode & 0o777).toString(8);
  t.strictSame(
    [
      'var/hyperprotect',
      'var/hyperprotect/unsigned-checksums.txt',
      'root/.docker',
      'data1/compose',
      'data1/compose/bin/tool',
      'data1/compose/.env',
    ].map(mode),
    ['755', '644', '700', '700', '755', '600'],
  );
  t.equal(readFileSync(at('data1/compose/.env'), 'utf8'), "A='b'\n");
  t.strictSame(JSON.parse(readFileSync(at('root/.docker/config.json'), 'utf8')), { auths: {} });
  t.notOk(existsSync(at('var/hyperprotect/cidata/meta-data')));
  t.match(host.notes, [/^hpcr-registry-auth: credentials of 0 registries/, /^hpcr-container: .* 1 variables/]);
  const listed = execFileSync('find', [folder, '-name', '.*.new'], { encoding: 'utf8' });
  t.equal(listed, '', 'no temporary file is left');
});

t.test('older files: of the agent they are replaced or removed, of a workload they are refused', async (t) => {
  const folder = t.testdir({
    var: { hyperprotect: { cidata: { 'vendor-data': 'old' }, 'user-data.decrypted': 'old' } },
    data1: { compose: { 'docker-compose.override.yaml': 'services: {}' } },
  });
  const at = (path: string): string => join(folder, path);
  t.match(await rejected(writeHanded(inMemory(), handed(project, folder))), /^WORKLOAD_FOLDER_IN_USE .*override\.yaml/);
  t.strictSame(readdirSync(at('data1/compose')), ['docker-compose.override.yaml']);
  execFileSync('rm', ['-r', at('data1')]);
  mkdirSync(at('data1/pods'), { recursive: true });
  writeFileSync(at('data1/pods/pods.yaml'), 'of an older contract');
  t.match(await rejected(writeHanded(inMemory(), handed(project, folder))), /^WORKLOAD_FOLDER_IN_USE .*pods\.yaml/);
  execFileSync('rm', ['-r', at('data1')]);
  t.equal(await rejected(writeHanded(inMemory(), handed(project, folder))), 'written');
  t.notOk(existsSync(at('var/hyperprotect/cidata/vendor-data')), 'this contract has none');
  t.not(readFileSync(at('var/hyperprotect/user-data.decrypted'), 'utf8'), 'old');
});

t.test('mount points of volumes may be there, links may not', async (t) => {
  const folder = t.testdir({ elsewhere: {}, data1: { compose: { bin: {} } } });
  const all = handed(project, folder);
  const mounted = { ...all, volumeMounts: [join(folder, 'data1/compose/bin/db')] };
  t.equal(await rejected(writeHanded(inMemory(), mounted)), 'written');
  execFileSync('rm', ['-r', join(folder, 'data1/compose')]);
  mkdirSync(join(folder, 'data1/compose'));
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'data1/compose/bin'));
  t.match(await rejected(writeHanded(inMemory(), mounted)), /^WORKLOAD_PATH_OBSTRUCTED .*bin/);
  t.strictSame(readdirSync(join(folder, 'elsewhere')), [], 'nothing was written through the link');
});

t.test('nothing is written to a place that is not private, and failures say so', async (t) => {
  const folder = t.testdir({ data1: {}, root: {}, var: {} });
  const host = hostOnFiles();
  const plain = { ...host, files: { ...host.files, isInMemory: async (path: string) => !path.endsWith('/data1') } };
  t.match(await rejected(writeHanded(plain, handed(project, folder))), /^WORKLOAD_PLACE_NOT_PRIVATE .*data1/);
  t.strictSame(readdirSync(join(folder, 'root')), []);
  t.strictSame(readdirSync(join(folder, 'var')), []);
  writeFileSync(join(folder, 'var/hyperprotect'), 'a file in the way');
  t.match(await rejected(writeHanded(inMemory(), handed(project, folder))), /^FILE_UNWRITABLE /);
  chmodSync(folder, 0o755);
});
