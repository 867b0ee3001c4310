/** Pods: in the contract, as templates, and in an archive. */
import t from 'tap';
import { splitDocuments } from '../../../../agent/contract/content/play-archive.ts';
import { contentOf, digest, sectionOf, told } from './content-of.ts';
import { archiveOf } from './tar-blocks.ts';

const pod = (image: string, kind = 'Pod'): string =>
  JSON.stringify({ apiVersion: 'v1', kind, metadata: { name: 'web' }, spec: { containers: [{ name: 'app', image }] } });
const map = (text: string): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data: { text } });
const rhs = (name: string): string => `images: {rhs: {"${name}": {publicKey: REPLACE_ME}}}\n`;
const image = `de.icr.io/team/web${digest}`;

t.test('images of Pods need a digest or a signer', async (t) => {
  const table: readonly (readonly [string, string, readonly RegExp[]])[] = [
    [pod(image), '', []],
    [pod('de.icr.io/team/web:1.0'), '', [/IMAGE_UNPINNED/]],
    [pod('de.icr.io/team/web:1.0'), rhs('de.icr.io/team/web:1.0'), []],
    [pod('de.icr.io/team/web:1.0'), rhs('de.icr.io/team/web'), []],
    [pod('de.icr.io/team/web:1.0'), rhs('de.icr.io/team'), []],
    [pod('de.icr.io/team/web:1.0'), rhs('de.icr.io/tea'), [/IMAGE_UNPINNED/]],
    [pod('de.icr.io/team/web:1.0'), rhs('de.icr.io/team/web:1.1'), [/IMAGE_UNPINNED/]],
    [pod('de.icr.io/team/web'), rhs('de.icr.io/team/web:latest'), []],
    [pod('redis'), rhs('docker.io/library/redis'), []],
    [pod('De.icr.io/Team'), '', [/IMAGE_REFERENCE_INVALID/]],
    [pod('{{ .Env.R }}/web'), '', [/IMAGE_REFERENCE_INVALID .*play.templates only/]],
    [map('{{ no template here'), '', []],
  ];
  for (const [resource, more, expected] of table) {
    const found = await contentOf(`play: {resources: [${resource}]}\n${more}`);
    t.match(told(found), expected, resource + more);
    t.equal(found.length, expected.length, told(found).join());
  }
  const init = JSON.parse(pod(image));
  init.spec.initContainers = [{ name: 'i', image: 'redis' }];
  const [found] = await contentOf(`play: {resources: [${JSON.stringify(init)}]}`);
  t.equal(found?.path, 'workload.play.resources[0].spec.initContainers[0].image');
});

t.test('templates are parsed, their variables looked up', async (t) => {
  const env = { REGISTRY: 'de.icr.io', PORT: '80' };
  const table: readonly (readonly [string, readonly RegExp[]])[] = [
    [pod(`{{ .Env.REGISTRY }}/team/web${digest}`), []],
    [pod('{{ .Env.REGISTRY }}/team/web:1.0'), [/IMAGE_UNPINNED .*variable registry/]],
    [pod(`{{ .Env.REGSTRY }}/team/web${digest}`), [/VARIABLE_UNDEFINED .*"REGSTRY"/]],
    [pod(`{{ if .Env.REGISTRY }}{{ .Env.REGISTRY }}{{ end }}/web${digest}`), []],
    [pod('{{ printf "%s/web" .Env.REGISTRY }}'), [/CONTENT_NOT_CHECKED/]],
    [map('{{ range $i, $e := .Env }}{{ $i }}{{ end }}'), []],
    [map('{{ with .Env.PORT }}{{ . }}{{ else }}80{{ end }}'), []],
    [map('{{ index .Env "NONE" }}'), [/VARIABLE_UNDEFINED .*"NONE"/]],
    [map('{{ .Values.port }}'), [/TEMPLATE_UNKNOWN .*".Values.port"/]],
    [map('{{ .Env.PORT | quote }}'), [/TEMPLATE_UNKNOWN .*"quote"/]],
    [map('{{ .Env.PORT }'), [/TEMPLATE_INVALID .*character/]],
    [map('a\n{{ if .Env.PORT }}b'), [/TEMPLATE_INVALID .*\{\{if\}\} has no \{\{end\}\}.*line 2/]],
    [map('{{ end }}'), [/TEMPLATE_INVALID/]],
    [map('nginx uses { braces } and $host'), []],
  ];
  for (const [template, expected] of table) {
    const found = await contentOf(`play: {templates: [${template}]}`, env);
    t.match(told(found), expected, template);
    t.equal(found.length, expected.length, told(found).join());
  }
  t.same(told(await contentOf(`play: {templates: [${map('{{ .Env.ANY }}')}]}`, null)), [], 'env is closed: not known');
  const [found] = await contentOf(
    `play:\n  templates:\n    - apiVersion: v1\n      kind: ConfigMap\n      data:\n        a: "{{ .Env.X"\n`,
  );
  t.match(found, { path: 'workload.play.templates[0].data.a', line: 7 });
});

t.test('a value that begins with an expression and has no quotes is explained', async (t) => {
  for (const value of ['{{ .Env.X }}', '{{ .Env.X }}/app', '{{ .Env.X }}:{{ .Env.Y }}']) {
    const [found] = await sectionOf(`type: workload\nplay:\n  templates:\n    - data:\n        a: ${value}\n`);
    t.match(found, { line: 5, hint: /in quotes: "\{\{ \.Env\.NAME \}\}"/ }, value);
  }
});

t.test('every YAML file at the top of an archive is a descriptor', async (t) => {
  const archive = async (files: Readonly<Record<string, string>>, more = '') =>
    contentOf(`play: {archive: ${archiveOf(files)}}\n${more}`);
  const table: readonly (readonly [Readonly<Record<string, string>>, readonly RegExp[], string?])[] = [
    [{ 'pod.yaml': pod(image), 'conf.d/x.yaml': 'not: a descriptor', readme: 'text' }, []],
    [{ 'pods.yml': `# two\n---\n${pod(image)}\n---\n${map('x')}\n---\n` }, []],
    [{ 'pod.yaml': pod('redis') }, [/IMAGE_UNPINNED pod.yaml line 1/]],
    [{ 'pod.yaml': pod('redis') }, [], rhs('docker.io/library/redis')],
    [{ 'p.yaml': `${pod(image)}\n---\n${pod('redis')}` }, [/IMAGE_UNPINNED p.yaml line 3/]],
    [{ 'd.yaml': pod(image, 'Deployment') }, [/PLAY_FILE_INVALID d.yaml line 1: this is a "Deployment"/]],
    [{ 'values.yaml': 'a: 1' }, [/PLAY_FILE_INVALID values.yaml line 1: this is no descriptor/]],
    [{ 'pod.yaml': 'a: [' }, [/PLAY_FILE_INVALID pod.yaml line 1, column/]],
    [{ 'pod.yaml': `${pod(image)}\n---\na: b: c\n` }, [/PLAY_FILE_INVALID pod.yaml line 3, column/]],
    [{ 'pod.yaml': pod(image), '._pod.yaml': '\0\x05\x16\x07' }, [/PLAY_FILE_INVALID ._pod.yaml/]],
    [
      { 'pod.yaml': '{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}' },
      [/WRONG_LENGTH pod.yaml line 1: spec.containers/],
    ],
    [{ 'pod.yaml': '{apiVersion: v1, kind: Pod, metadata: {name: a}}' }, [/MISSING_KEY pod.yaml line 1/]],
    [{ 'sub/pod.yaml': pod(image) }, [/PLAY_EMPTY/]],
    [{}, [/PLAY_EMPTY/]],
  ];
  for (const [files, expected, more] of table) {
    const found = await archive(files, more);
    const name = Object.keys(files).join();
    t.match(told(found), expected, name);
    t.equal(found.length, expected.length, `${name}: ${told(found).join()}`);
    t.ok(
      found.every(({ path, line }) => path === 'workload.play.archive' && line === 2),
      `${name}: at the archive`,
    );
  }
  t.match((await archive({ 'sub/pod.yaml': '' }))[0]?.hint, /"sub\/pod.yaml" lies too deep/);
  t.match((await archive({ 'pod.yaml': pod(image), '._pod.yaml': '\0' }))[0]?.hint, /Mac/);
  const beside = `play: {resources: [${pod(image)}], archive: ${archiveOf({ 'data.txt': '' })}}`;
  t.same(told(await contentOf(beside)), [], 'data for Pods of the contract');
  t.match(told(await contentOf('play: {}')), [/PLAY_EMPTY/]);
});

t.test('documents keep their lines', async (t) => {
  const table: readonly (readonly [string, readonly (readonly [string, number])[]])[] = [
    ['a: 1\n', [['a: 1\n', 0]]],
    [
      'a: 1\n---\nb: 2\n',
      [
        ['a: 1\n', 0],
        ['---\nb: 2\n', 1],
      ],
    ],
    ['---\na: |\n  ---\n', [['---\na: |\n  ---\n', 0]]],
    ['# only a comment\n---\n\n', []],
    ['# only a comment\n---\n\n---\na: 1', [['---\na: 1', 3]]],
    ['--- {a: 1}\n', [['--- {a: 1}\n', 0]]],
    ['a: ----\n----\n', [['a: ----\n----\n', 0]]],
  ];
  for (const [text, expected] of table)
    t.same(
      splitDocuments(text).map((one) => [one.text, one.before]),
      expected,
      text,
    );
});

t.test('descriptors have their bounds', async (t) => {
  const code = async (files: Readonly<Record<string, string>>) =>
    told(await contentOf(`play: {archive: ${archiveOf(files)}}`)).map((text) => text.split(' ')[0]);
  t.same(await code({ 'pod.yaml': '#'.repeat(1024 * 1024 + 1) }), ['PLAY_FILE_INVALID'], 'one file');
  const large = Object.fromEntries(['a', 'b', 'c'].map((name) => [`${name}.yaml`, '#'.repeat(1_000_000)]));
  t.same(await code(large), ['ARCHIVE_TOO_LARGE'], 'all files');
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`${index}.yaml`, '']));
  t.same(await code(many), ['ARCHIVE_TOO_LARGE'], 'number of files');
});

t.test('an error is never left out for warnings', async (t) => {
  const warnings = Array.from({ length: 80 }, (_, index) => `{{ .Env.X${index} }}`).join('');
  const found = await contentOf(`play: {templates: [${map(warnings)}, ${map('{{ end }}')}]}`);
  t.equal(found.length, 50);
  t.match(told(found)[0], /TEMPLATE_INVALID/);
});
