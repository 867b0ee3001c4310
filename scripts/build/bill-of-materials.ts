/** Software bill of materials: CycloneDX 1.6, JSON (https://cyclonedx.org/docs/1.6/json/). */
import type { Part } from './inventory.ts';

const packageUrl = (name: string, version: string): string => `pkg:npm/${name.replace('@', '%40')}@${version}`;

/** `sha512-BASE64` as the format wants it: name of the algorithm, hexadecimal. */
const hashOf = (integrity: string): { readonly alg: string; readonly content: string } => {
  const [, length, base64 = ''] = /^sha(256|384|512)-([A-Za-z0-9+/=]+)$/.exec(integrity) ?? [];
  if (length === undefined) throw new Error(`not an integrity value: ${integrity}`);
  return { alg: `SHA-${length}`, content: Buffer.from(base64, 'base64').toString('hex') };
};

/** A single identifier is an `id`, anything with operators an `expression`. */
const licenceChoice = (licence: string): object =>
  /^[\w.+-]+$/.test(licence) ? { license: { id: licence.replace(/\+$/, '-or-later') } } : { expression: licence };

export interface Product {
  readonly name: string;
  readonly version: string;
  /** Seconds since 1970. */
  readonly date: number;
}

export const billOfMaterials = ({ name, version, date }: Product, parts: readonly Part[]): string => {
  const reference = packageUrl(name, version);
  const components = parts.map((part) => ({
    type: part.name.startsWith('node-') ? 'platform' : 'library',
    'bom-ref': packageUrl(part.name, part.version),
    name: part.name,
    version: part.version,
    purl: packageUrl(part.name, part.version),
    hashes: [hashOf(part.integrity)],
    licenses: [licenceChoice(part.licence)],
  }));
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(date * 1000).toISOString().replace('.000', ''),
      component: {
        type: 'application',
        'bom-ref': reference,
        name,
        version,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components,
    dependencies: [{ ref: reference, dependsOn: components.map((component) => component['bom-ref']) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
};
