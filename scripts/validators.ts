/**
 * Schemas compiled to validators ahead of time, so that the agent builds no code at run time and does not load ajv. What
 * ajv writes is made shorter: every start of the agent pays for it.
 */
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import standalone from 'ajv/dist/standalone/index.js';
import { build, transform } from 'esbuild';
import { type JsonObject, sharedSchemas } from './schemas.ts';
import { withSharedParts } from './shared-parts.ts';

const root = join(import.meta.dirname, '..');

/** ajv copies all errors for each part that adds some, which takes quadratic time: 10 s for a list of 16,000 wrong items. */
const appendErrors = `const appendErrors = (errors, more) => {
  for (const error of more) errors.push(error);
  return errors;
};
`;
const withAppendedErrors = (code: string): string =>
  appendErrors + code.replace(/\bvErrors\.concat\((\w+\.errors)\)/g, 'appendErrors(vErrors, $1)');

/** ajv writes out, 660 times, how an error is made and kept, and keeps the value with it, which nobody asks for. */
const addError = `const addError = (errors, instancePath, schemaPath, keyword, params, schema, parentSchema) => {
  const error = { instancePath, schemaPath, keyword, params, schema, parentSchema };
  if (errors === null) return [error];
  errors.push(error);
  return errors;
};
`;
const keptErrors =
  /const (err\d+) = \{instancePath(?::(.*?))?,schemaPath:(.*?),keyword:(".*?"),params:(.*?),schema:(.*?),parentSchema:(.*?),data(?::\w+)?\};\s*if\(vErrors === null\)\{\s*vErrors = \[\1\];\s*\}\s*else \{\s*vErrors\.push\(\1\);\s*\}/g;
const withShortErrors = (code: string): string =>
  addError +
  code.replace(
    keptErrors,
    (_whole, _name, path = 'instancePath', at, keyword, params, schema, parent) =>
      `vErrors = addError(vErrors, ${path}, ${at}, ${keyword}, ${params}, ${schema}, ${parent});`,
  );

/** ajv hands on where a value lies, for keywords that change it. Nothing here does, but for defaults, which are set from above. */
const withPathOnly = (code: string): string => {
  const short = code
    .replaceAll('{instancePath="", parentData, parentDataProperty, rootData=data}={}', 'instancePath=""')
    .replace(
      /\{instancePath(?::([^{}]*?))?,parentData:[^{}]*?,parentDataProperty(?::[^{}]*?)?,rootData\}/g,
      (_call, path) => (path === undefined ? 'instancePath' : path),
    );
  if (/parentData|rootData/.test(short)) throw new Error('a validator needs more than data and path');
  return short;
};

const compileSource = (
  sources: Readonly<Record<string, JsonObject>>,
  options: { readonly useDefaults: boolean },
): string => {
  const ajv = new Ajv2020({
    code: { source: true, esm: true, lines: true },
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
    allErrors: true,
    // Faults are told in our own words (agent/contract/schema-words.ts).
    messages: false,
    verbose: true,
    inlineRefs: false,
    useDefaults: options.useDefaults,
  });
  for (const [name, schema] of Object.entries({ ...sharedSchemas, ...withSharedParts(sources) }))
    ajv.addSchema(schema, name);
  // What the code keeps for these words, which no schema of ours has, is a sixth of it. The draft's own schemas have them.
  for (const schema of Object.values({ ...sharedSchemas, ...sources })) {
    if (/"(\$dynamic|unevaluated)/.test(JSON.stringify(schema)))
      throw new Error('a schema needs what is left out here');
  }
  Object.assign(ajv.opts, { dynamicRef: false, unevaluated: false });
  const names = Object.fromEntries(Object.keys(sources).map((name) => [name, name]));
  return withPathOnly(withShortErrors(withAppendedErrors(standalone.default(ajv, names))));
};

/** ajv's standalone code still says `require` for its run-time parts: bundle them in. */
const withRuntimeParts = async (code: string): Promise<string> => {
  const result = await build({
    stdin: { contents: code, resolveDir: root, loader: 'js' },
    absWorkingDir: root,
    // The names of what is carried along stay below node_modules, also where that is a link.
    preserveSymlinks: true,
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    legalComments: 'none',
    minifySyntax: true,
    logLevel: 'silent',
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error('esbuild made no output');
  return (await transform(file.text, { minifyWhitespace: true, loader: 'js', legalComments: 'none' })).code;
};

export const declarations = (names: readonly string[]): string =>
  `
export interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** Name of the key that broke \`propertyNames\`. */
  readonly propertyName?: string;
  readonly schema?: unknown;
  readonly parentSchema?: Readonly<Record<string, unknown>>;
}
export interface Validator {
  (value: unknown): boolean;
  errors?: readonly SchemaError[] | null;
}
${names.map((name) => `export declare const ${name}: Validator;`).join('\n')}
`;

/** Code of an ES module that exports a validator for each of `sources`, by its name. Throws an Error for schemas ajv or we cannot do. */
export const compileValidators = (
  sources: Readonly<Record<string, JsonObject>>,
  options: { readonly useDefaults: boolean },
): Promise<string> => withRuntimeParts(compileSource(sources, options));
