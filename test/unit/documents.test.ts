/** Documents say what the program says: generated parts are current, links lead somewhere. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { messages } from '../../agent/messages.ts';
import { documents } from '../../scripts/generate-docs.ts';

const root = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const paths = ['*.md', '{agent,bench,contract-schema,docs,fixtures,scripts,systemd,test}/**/*.md'].flatMap((glob) =>
  globSync(glob, { cwd: root }),
);

t.test('generated parts are what would be generated now', async (t) => {
  for (const [path, text] of Object.entries(await documents()))
    t.equal(read(path), text, `${path} is current; otherwise run npm run generate`);
});

t.test('the message guide has every id', async (t) => {
  const guide = read('docs/messages.md');
  for (const { id } of Object.values(messages)) t.match(guide, new RegExp(`^### ${id}$`, 'm'), id);
});

/** As GitHub makes them from headings. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

t.test('links between files lead somewhere', async (t) => {
  for (const path of paths)
    for (const [, target = ''] of read(path).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? path : join(dirname(path), file);
      t.ok(existsSync(join(root, linked)), `${path}: ${target}`);
      if (anchor === undefined || !linked.endsWith('.md')) continue;
      const anchors = [...read(linked).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));
      t.ok(anchors.includes(anchor), `${path}: ${target}: the heading exists`);
    }
});

t.test('files and folders that documents name in code spans exist', async (t) => {
  for (const path of paths)
    for (const [, named = ''] of read(path).matchAll(
      /`((?:agent|bench|contract-schema|docs|fixtures|scripts|systemd|test)\/[\w./-]*)`/g,
    ))
      t.ok(existsSync(join(root, named)), `${path}: ${named}`);
});

t.test('documents that the program names exist', async (t) => {
  for (const path of globSync('{agent,scripts,test,systemd}/**/*', { cwd: root, withFileTypes: true })) {
    if (!path.isFile()) continue;
    const file = join(path.parentPath, path.name);
    for (const [named] of readFileSync(file, 'utf8').matchAll(/\bdocs\/[\w-]+\.md\b/g))
      t.ok(existsSync(join(root, named)), `${file}: ${named}`);
  }
});

t.test('every dependency has a line that says why', async (t) => {
  const lines = read('docs/dependencies.md').split('\n');
  const { dependencies, devDependencies } = JSON.parse(read('package.json'));
  const packages = Object.keys({ ...dependencies, ...devDependencies });
  for (const name of packages) {
    const line = lines.find((text) => text.startsWith('|') && text.includes(`\`${name}\``));
    const { license } = JSON.parse(read(`node_modules/${name}/package.json`));
    t.match(line, new RegExp(`\\b${license.split(' ')[0].replace('+', '\\+')}`), `${name}: ${license}`);
  }
  const debian = read('scripts/debian-packages.txt').matchAll(/^([a-z][\w.+-]*)/gm);
  for (const [, name = ''] of debian)
    t.ok(
      lines.some((text) => text.startsWith('|') && text.includes(`\`${name}\``)),
      name,
    );
});

t.test('folder READMEs stay short', async (t) => {
  for (const path of paths.filter((name) => name.endsWith('/README.md')))
    t.ok(read(path).split('\n').length <= 46, `${path} has about 40 lines`);
});
