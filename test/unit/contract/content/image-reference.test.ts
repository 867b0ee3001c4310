/** Names of images: taken apart as docker does, refused with a reason. */
import t from 'tap';
import { parseImageReference } from '../../../../agent/contract/content/image-reference.ts';

const digest = `sha256:${'a'.repeat(64)}`;

t.test('names are completed as docker does', async (t) => {
  const table: readonly (readonly [string, readonly [string, string, string | null, string | null]])[] = [
    ['redis', ['docker.io', 'library/redis', null, null]],
    ['redis:7', ['docker.io', 'library/redis', '7', null]],
    ['team/app', ['docker.io', 'team/app', null, null]],
    ['docker.io/redis', ['docker.io', 'library/redis', null, null]],
    ['index.docker.io/team/app', ['docker.io', 'team/app', null, null]],
    ['localhost/app', ['localhost', 'app', null, null]],
    ['registry:5000/app', ['registry:5000', 'app', null, null]],
    ['de.icr.io/team/sub/app:1.2.3', ['de.icr.io', 'team/sub/app', '1.2.3', null]],
    [`de.icr.io/team/app@${digest}`, ['de.icr.io', 'team/app', null, digest]],
    [`de.icr.io:443/team/app:v1@${digest}`, ['de.icr.io:443', 'team/app', 'v1', digest]],
    ['127.0.0.1:5000/a__b/c-d.e', ['127.0.0.1:5000', 'a__b/c-d.e', null, null]],
    ['[::1]:5000/app', ['[::1]:5000', 'app', null, null]],
  ];
  for (const [text, [registry, path, tag, hash]] of table) {
    t.same(parseImageReference(text), { kind: 'reference', value: { registry, path, tag, digest: hash } }, text);
  }
});

t.test('what is no name is refused', async (t) => {
  const table: Readonly<Record<string, RegExp>> = {
    '': /empty/,
    'de.icr.io/a b': /space/,
    'https://de.icr.io/team/app': /address/,
    'docker://de.icr.io/team/app': /address/,
    'de.icr.io/Team/app': /lower case/,
    'de.icr.io/team/app@sha256:abc': /digest/,
    [`de.icr.io/team/app@${digest.toUpperCase()}`]: /digest/,
    'de.icr.io/team/app@md5:aaaa': /digest/,
    'de.icr.io/team/app:': /tag/,
    'de.icr.io/team/app:-x': /tag/,
    'de.icr.io/team//app': /path/,
    'de.icr.io/team/app-': /path/,
    'de.icr.io/': /path/,
    'de_icr.io/app': /host/,
    'de.icr.io:x/app': /host/,
    [`de.icr.io/${'a'.repeat(256)}`]: /longer/,
  };
  for (const [text, reason] of Object.entries(table))
    t.match(parseImageReference(text), { kind: 'malformed', reason }, text);
});
