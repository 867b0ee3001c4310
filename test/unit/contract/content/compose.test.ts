/** Compose projects in an archive: what is said about them, and where. */
import t from 'tap';
import { composeOf, contentOf, digest, told } from './content-of.ts';
import { archiveOf } from './tar-blocks.ts';

const compose = (text: string): Readonly<Record<string, string>> => ({ 'docker-compose.yaml': text });
const good = `services:\n  web:\n    image: de.icr.io/team/web${digest}\n`;
const dct = (name: string): string =>
  `images:\n  dct:\n    ${name}: {notary: "https://n.example.com", publicKey: REPLACE_ME}\n`;

t.test('a sound project has nothing to be told', async (t) => {
  const table: Readonly<Record<string, readonly [Readonly<Record<string, string>>, string?]>> = {
    'by digest': [compose(good)],
    'the other name': [{ 'docker-compose.yml': good, 'conf/x': 'y' }],
    'signed image': [compose('services: {web: {image: "de.icr.io/team/web:1.0"}}'), dct('de.icr.io/team/web')],
    'signed image of docker': [compose('services: {web: {image: "redis"}}'), dct('docker.io/library/redis')],
    'merge keys': [
      compose(
        `x-base: &base\n  image: de.icr.io/team/web${digest}\nservices:\n  a:\n    <<: *base\n  b:\n    <<: [*base]\n`,
      ),
    ],
    extends: [
      compose(
        `services:\n  a:\n    image: de.icr.io/team/web${digest}\n  b:\n    extends: a\n  c:\n    extends: {service: b}\n`,
      ),
    ],
    'variable with a value': [
      compose(`services: {a: {image: "$\{REGISTRY}/team/web${digest}"}}`),
      'env: {REGISTRY: de.icr.io}',
    ],
    'variable without braces': [
      compose(`services: {a: {image: "$REGISTRY/team/web${digest}"}}`),
      'env: {REGISTRY: de.icr.io}',
    ],
    default: [compose(`services: {a: {image: "$\{NONE:-de.icr.io}/team/web${digest}"}}`)],
    'nested default': [compose(`services: {a: {image: "$\{A:-$\{B:-de.icr.io}}/team/web${digest}"}}`)],
    'escaped dollar': [
      compose(`services: {a: {image: "de.icr.io/team/web${digest}", command: "echo $$HOME $$(date)"}}`),
    ],
    'variables of the archive': [
      { ...compose(`services: {a: {image: "$\{R}/team/web${digest}"}}`), '.env': '# c\nexport R="de.icr.io"\n' },
    ],
  };
  for (const [name, [files, more]] of Object.entries(table)) t.same(told(await composeOf(files, more)), [], name);
});

t.test('what is wrong is told with file and line', async (t) => {
  const table: Readonly<Record<string, readonly [Readonly<Record<string, string>>, readonly RegExp[], string?]>> = {
    'no file': [{ readme: '' }, [/COMPOSE_FILE_MISSING/]],
    'not YAML': [compose('services: [\n'), [/COMPOSE_FILE_INVALID docker-compose.yaml line \d/]],
    'a key twice': [compose('services: {}\nservices: {}\n'), [/COMPOSE_FILE_INVALID docker-compose.yaml line 2/]],
    'one word': [{ 'docker-compose.yaml': 'services' }, [/COMPOSE_FILE_INVALID/]],
    'no services': [compose('version: "3"\n'), [/COMPOSE_FILE_INVALID .*no services/]],
    'service without anything': [
      compose('services:\n  web:\n'),
      [/COMPOSE_FILE_INVALID docker-compose.yaml line 2: .*"web" is no mapping/],
    ],
    build: [compose('services:\n  web:\n    build: .\n'), [/COMPOSE_BUILD docker-compose.yaml line 3/]],
    'build and image': [compose(`${good}    build: {context: .}\n`), [/COMPOSE_BUILD docker-compose.yaml line 4/]],
    'build that is extended': [
      compose(`services:\n  a: {image: "x${digest}", build: .}\n  b: {extends: a}\n`),
      [/BUILD .* line 2: .*"a"/, /BUILD .* line 2: .*"b"/],
    ],
    'no image': [compose('services:\n  web:\n    ports: ["80:80"]\n'), [/IMAGE_MISSING docker-compose.yaml line 2/]],
    'extends in a circle': [
      compose('services:\n  a: {extends: b}\n  b: {extends: a}\n'),
      [/IMAGE_MISSING/, /IMAGE_MISSING/],
    ],
    'image is a number': [compose('services:\n  web:\n    image: 7\n'), [/IMAGE_REFERENCE_INVALID .* line 3/]],
    'image is no name': [
      compose('services:\n  web:\n    image: De.icr.io/Team/web\n'),
      [/IMAGE_REFERENCE_INVALID .*lower case/],
    ],
    'no digest': [
      compose('services:\n  web:\n    image: de.icr.io/team/web:1.0\n'),
      [/IMAGE_UNPINNED docker-compose.yaml line 3/],
    ],
    'signed is another': [
      compose('services: {web: {image: "de.icr.io/team/web"}}'),
      [/IMAGE_UNPINNED/],
      dct('de.icr.io/team/other'),
    ],
    'rhs is not for compose': [
      compose('services: {web: {image: "de.icr.io/team/web:1.0"}}'),
      [/IMAGE_UNPINNED/],
      'images: {rhs: {"de.icr.io/team/web:1.0": {publicKey: REPLACE_ME}}}',
    ],
    'variable registry and a tag': [
      compose(`services: {web: {image: "\${REGISTRY}/team/web"}}`),
      [/IMAGE_UNPINNED .*variable registry/],
      `env: {REGISTRY: de.icr.io}\n${dct('de.icr.io/team/web')}`,
    ],
    'variable without a value': [
      compose(`services: {web: {image: "$\{REGISTRY}/web${digest}", command: "$REGISTRY"}}`),
      [/VARIABLE_UNDEFINED .*"REGISTRY"/],
    ],
    'variable that must be': [
      compose(`${good}    command: "$\{A:?say it}"\n`),
      [/VARIABLE_UNDEFINED docker-compose.yaml line 4/],
    ],
    'lonely dollar': [
      compose(`${good}    command: "echo $(date)"\n`),
      [/COMPOSE_FILE_INVALID docker-compose.yaml line 4/],
    ],
    'brace that stays open': [
      compose(`${good}    command: "echo $\{A"\n`),
      [/COMPOSE_FILE_INVALID docker-compose.yaml line 4/],
    ],
    'two files': [
      { ...compose(good), 'docker-compose.yml': good, 'compose.yaml': good },
      [/AMBIGUOUS .*compose.yml/, /AMBIGUOUS .*compose.yaml/],
    ],
    'extends another file': [compose('services: {a: {extends: {file: b.yaml, service: x}}}'), [/CONTENT_NOT_CHECKED/]],
    include: [compose(`include: [other.yaml]\n${good}`), [/CONTENT_NOT_CHECKED .* line 1/]],
  };
  for (const [name, [files, expected, more]] of Object.entries(table)) {
    const found = await composeOf(files, more);
    t.equal(found.length, expected.length, `${name}: ${told(found).join('; ')}`);
    for (const [index, words] of expected.entries()) t.match(told(found)[index], words, name);
    t.ok(
      found.every(({ path, line, hint }) => path === 'workload.compose.archive' && line === 3 && hint !== ''),
      `${name}: at the archive`,
    );
  }
});

t.test('hints say what to type', async (t) => {
  const table: Readonly<Record<string, readonly [Readonly<Record<string, string>>, RegExp, string?]>> = {
    'the name of newer versions': [{ 'compose.yaml': good }, /rename "compose.yaml" to docker-compose.yaml/],
    'upper case': [{ 'Docker-Compose.yml': good }, /rename "Docker-Compose.yml"/],
    'a folder too much': [{ 'app/docker-compose.yaml': good }, /"app\/docker-compose.yaml" lies too deep/],
    'image without digest': [
      compose('services: {a: {image: "de.icr.io/team/web:1.0"}}'),
      /de.icr.io\/team\/web@sha256:.*imagetools inspect de.icr.io\/team\/web:1.0.* or add "de.icr.io\/team\/web" to images.dct/,
    ],
    'a name that dct cannot have': [
      compose('services: {a: {image: "de.icr.io/web"}}'),
      /imagetools inspect (?!.*images.dct)/,
    ],
    'a misspelt entry': [
      compose('services: {a: {image: "de.icr.io/team/web"}}'),
      /images.dct has "de.icr.io\/team\/wbe": is "de.icr.io\/team\/web" meant/,
      dct('de.icr.io/team/wbe'),
    ],
  };
  for (const [name, [files, hint, more]] of Object.entries(table)) {
    const [found] = await composeOf(files, more);
    t.match(found?.hint, hint, name);
  }
});

t.test('while env is closed nothing is said about variables', async (t) => {
  const files = compose(
    `services:\n  a: {image: "$\{R}/team/web${digest}"}\n  b: {image: "$\{IMAGE}"}\n  c: {image: "$\{R:-de.icr.io}/team/web"}\n`,
  );
  t.match(told(await composeOf(files, '', null)), [/CONTENT_NOT_CHECKED .* line 3/, /CONTENT_NOT_CHECKED .* line 4/]);
  t.match(told(await composeOf(files)), [
    /IMAGE_UNPINNED .* line 4/,
    /VARIABLE_UNDEFINED .*"R"/,
    /VARIABLE_UNDEFINED .*"IMAGE"/,
  ]);
});

t.test('the workload wins over the deployer', async (t) => {
  const files = compose(`services: {a: {image: "\${IMAGE}"}}`);
  const mine = await composeOf(files, `env: {IMAGE: de.icr.io/team/web${digest}}`, { IMAGE: 'not/A name' });
  t.same(told(mine), []);
  const theirs = await composeOf(files, '', { IMAGE: 'secret/A name' });
  t.match(told(theirs), [/IMAGE_REFERENCE_INVALID/]);
  t.notMatch(JSON.stringify(theirs), /secret/, 'values of variables are not repeated');
});

t.test('an archive that the schema or the template speaks about is left alone', async (t) => {
  for (const value of ['REPLACE+WITH+BASE64', '"H4sI AAAA"', '7', '""', 'null']) {
    t.same(told(await contentOf(`compose: {archive: ${value}}`)), [], value);
  }
  const many = `services:\n${Array.from({ length: 300 }, (_, index) => `  s${index}: {build: .}\n`).join('')}`;
  t.equal((await contentOf(`compose: {archive: ${archiveOf(compose(many))}}`)).length, 50, 'not without end');
});
