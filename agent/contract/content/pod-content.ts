/**
 * What Pods of `play` run: images, and the expressions of templates (IBM Cloud docs, "About the contract", section
 * "play"). Names, mounts and ports of the descriptors are the affair of pod-rules.ts.
 */
import { quoted } from '../finding.ts';
import { isMapping, type YamlPath, type YamlValue } from '../strict-yaml.ts';
import { mappingAt } from '../volume-rules.ts';
import type { PlacedProblem } from './archive-file.ts';
import { parseTemplate, renderTemplate, type TemplateOutcome } from './go-template.ts';
import { imageProblem, type ResolvedImage, type TrustedImages } from './image-policy.ts';
import type { Variables } from './variables.ts';

export interface PodContext {
  readonly variables: Variables;
  readonly trusted: TrustedImages;
}

interface PlacedText {
  readonly text: string;
  readonly path: YamlPath;
}

/** Images of a Pod's containers; the schema says where one is missing. */
const imagesOf = (resource: YamlValue): readonly PlacedText[] => {
  if (mappingAt(resource).kind !== 'Pod') return [];
  const spec = mappingAt(resource, 'spec');
  return ['initContainers', 'containers'].flatMap((key) => {
    const list = spec[key];
    if (!Array.isArray(list)) return [];
    return (list as readonly YamlValue[]).flatMap((container, index) => {
      const { image } = mappingAt(container);
      return typeof image === 'string' ? [{ text: image, path: ['spec', key, index, 'image'] }] : [];
    });
  });
};

const imageProblems = (
  resource: YamlValue,
  trusted: TrustedImages,
  resolve: (written: string) => ResolvedImage | null,
): readonly PlacedProblem[] =>
  imagesOf(resource).flatMap(({ text, path }) => {
    const image = resolve(text);
    const wrong = image === null ? null : imageProblem(image, 'pods', trusted);
    return wrong === null ? [] : [{ ...wrong, path, at: 'value' as const }];
  });

/** A Pod or ConfigMap as it stands. */
export const resourceProblems = (resource: YamlValue, { trusted }: PodContext): readonly PlacedProblem[] =>
  imageProblems(resource, trusted, (written) => ({ written, text: written, sketch: written }));

const textsOf = (value: YamlValue, path: YamlPath = []): readonly PlacedText[] => {
  if (typeof value === 'string') return value.includes('{{') ? [{ text: value, path }] : [];
  if (Array.isArray(value))
    return (value as readonly YamlValue[]).flatMap((item, index) => textsOf(item, [...path, index]));
  return isMapping(value) ? Object.entries(value).flatMap(([key, item]) => textsOf(item, [...path, key])) : [];
};

const problem = (code: PlacedProblem['code'], path: YamlPath, message: string, hint: string): PlacedProblem => ({
  code,
  path,
  message,
  hint,
  at: 'value',
});

/** Where in a value something stands, for values of several lines. */
const lineWithin = (text: string, offset: number): string => {
  const line = text.slice(0, offset).split('\n').length;
  return text.includes('\n') ? ` (line ${line} of the value)` : '';
};

const templateProblems = (
  { text, path }: PlacedText,
  outcome: TemplateOutcome,
  variables: Variables,
): readonly PlacedProblem[] => {
  if (outcome.kind === 'malformed') {
    const { offset, reason } = outcome;
    const message = `the template is malformed at character ${offset + 1}: ${reason}${lineWithin(text, offset)}`;
    return [
      problem(
        'TEMPLATE_INVALID',
        path,
        message,
        'expressions look like {{ .Env.NAME }}; {{ "{{" }} gives two braces as text',
      ),
    ];
  }
  const { variables: asked, functions, strangers } = outcome.template;
  const once = (names: readonly { readonly name: string }[]): readonly string[] => [
    ...new Set(names.map(({ name }) => name)),
  ];
  return [
    ...once(functions).map((name) =>
      problem(
        'TEMPLATE_UNKNOWN',
        path,
        `text/template has no function ${quoted(name)}`,
        'functions of Helm or Sprig are not there; put the finished value into env',
      ),
    ),
    ...once(strangers).map((name) =>
      problem(
        'TEMPLATE_UNKNOWN',
        path,
        `${quoted(name)} is not there: templates know .Env and nothing else`,
        'write {{ .Env.NAME }} and add NAME to env',
      ),
    ),
    ...once(asked)
      .filter((name) => variables !== null && !variables.has(name))
      .map((name) =>
        problem(
          'VARIABLE_UNDEFINED',
          path,
          `the variable ${quoted(name)} is in neither env.env nor workload.env`,
          `add ${quoted(name)} to one of them`,
        ),
      ),
  ];
};

/** A Pod or ConfigMap with expressions in its texts. */
export const templatedProblems = (
  resource: YamlValue,
  { variables, trusted }: PodContext,
): readonly PlacedProblem[] => {
  const texts = textsOf(resource).map((placed) => ({ placed, outcome: parseTemplate(placed.text) }));
  const images = imageProblems(resource, trusted, (written) => {
    const outcome = parseTemplate(written);
    if (outcome.kind === 'malformed') return null;
    const { text, sketch, missing } = renderTemplate(outcome.template, variables);
    // Told by the rule about variables.
    return missing.length > 0 ? null : { written, text, sketch };
  });
  return [...texts.flatMap(({ placed, outcome }) => templateProblems(placed, outcome, variables)), ...images];
};
