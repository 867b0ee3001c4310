/** The configuration file that a package installs: every field with its meaning and default, commented out. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Field {
  readonly description?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Field>>;
  readonly default?: unknown;
}

const heading = `\
## Triseed agent configuration. Every field has a default, which stands here behind a single #.
## It belongs to the guest image: measure it with the image.
## Guide: /usr/share/doc/triseed/docs/configuration.md
`;

const fieldLines = (name: string, { description, default: value }: Field, indent: string): readonly string[] => [
  `##${indent} ${description}`,
  `#${indent}${name}: ${JSON.stringify(value)}`,
];

export const defaultConfigurationFile = (root: string): string => {
  const schema = JSON.parse(readFileSync(join(root, 'contract-schema', 'agent.json'), 'utf8')) as Field;
  const blocks = Object.entries(schema.properties ?? {}).map(([name, field]) =>
    field.properties === undefined
      ? fieldLines(name, field, '')
      : [
          `## ${field.description}`,
          `#${name}:`,
          ...Object.entries(field.properties).flatMap(([key, inner]) => fieldLines(key, inner, '  ')),
        ],
  );
  return `${heading}\n${blocks.map((lines) => `${lines.join('\n')}\n`).join('\n')}`;
};
