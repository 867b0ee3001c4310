/**
 * `npm run build`: everything that is shipped, in dist/. Two builds of the same sources give the same bytes.
 *
 *   node scripts/build/main.ts [--out DIR] [--level N]     N: how hard xz(1) works on the packages, 0 to 9; default 6
 */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { completionScript } from '../../agent/cli/completion.ts';
import { version } from '../../agent/version.ts';
import { makeBundle, openpgpFile, writeBundle } from '../bundle.ts';
import { billOfMaterials } from './bill-of-materials.ts';
import { buildDate } from './date.ts';
import { type DebianPackage, packDebian } from './debian-archive.ts';
import { defaultConfigurationFile } from './default-configuration.ts';
import { makeExecutable } from './executable.ts';
import { licencesDocument, packageFolders, partsOf } from './inventory.ts';
import { manualPages, wholeProgram } from './manual.ts';
import { executablePackage, nodePackage, type PackageContents, type ShippedProgram } from './packages.ts';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const { values } = parseArgs({
  options: { out: { type: 'string', default: join(root, 'dist') }, level: { type: 'string', default: '6' } },
});
const out = resolve(values.out);
const level = Number(values.level);
if (!/^[0-9]$/.test(values.level)) throw new Error(`--level is 0 to 9, not ${values.level}`);
const date = buildDate(root, process.env.SOURCE_DATE_EPOCH);

const put = (name: string, content: string | Uint8Array, mode = 0o644): void => {
  const path = join(out, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  console.log(`${path}  ${(Buffer.byteLength(content) / 1024 / 1024).toFixed(2)} MiB`);
};

const putPackage = (made: DebianPackage): void =>
  put(`${made.name}_${made.version}_${made.architecture}.deb`, packDebian(made, { date, level }));

const openpgpFolder = 'node_modules/openpgp';
const shippedParts = (files: ShippedProgram['files'], folders: readonly string[]): ShippedProgram => {
  const parts = partsOf(root, [...new Set([...folders, openpgpFolder])].sort());
  return {
    files,
    billOfMaterials: billOfMaterials({ name: 'triseed', version, date }, parts),
    licences: licencesDocument(parts),
  };
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const bundle = makeBundle();
const executable = makeExecutable(root);
const openpgp = bundle.files.filter(({ name }) => name === openpgpFile);

const asBundle = shippedParts(bundle.files, packageFolders(root, bundle.metafile));
const asExecutable = shippedParts(
  [{ name: 'triseed', contents: executable.contents, mode: 0o755 }, ...openpgp],
  [...packageFolders(root, executable.metafile), 'node_modules/node'],
);

const program = await wholeProgram(version);
const contents: PackageContents = {
  root,
  version,
  manual: manualPages(program, version, new Date(date * 1000).toISOString().slice(0, 10)),
  completion: { bash: completionScript(program, 'bash'), fish: completionScript(program, 'fish') },
  configuration: defaultConfigurationFile(root),
  openpgpLicence: readFileSync(join(root, openpgpFolder, 'LICENSE'), 'utf8'),
};

writeBundle(out, bundle.files);
put('triseed', executable.contents, 0o755);
put('openpgp.LICENSE.txt', contents.openpgpLicence);
put('third-party-licences.txt', asExecutable.licences);
put('triseed.cdx.json', asExecutable.billOfMaterials);
put('triseed.mjs.cdx.json', asBundle.billOfMaterials);
putPackage(executablePackage(contents, asExecutable));
putPackage(nodePackage(contents, asBundle));
