/**
 * Template expressions in string values of pods (IBM Cloud docs, "About the contract", play subsection: Go text/template
 * with the one object `.Env`). Expressions are applied to the parsed model, never to the text around it, so no value can
 * change the structure. Only `{{ .Env.NAME }}` is taken, with or without the dashes that trim blanks; anything else
 * refuses, rather than becoming something near what was meant.
 */
import type { YamlValue } from '../contract/strict-yaml.ts';

/** Why a template cannot be rendered: where, never what stands there. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

const expression = /\{\{(-\s)?\s*\.Env\.([A-Za-z_][A-Za-z0-9_]*)\s*(\s-)?\}\}/y;

const renderText = (text: string, env: ReadonlyMap<string, string>, path: string): string => {
  let rendered = '';
  let trimsNext = false;
  for (let at = 0; ; ) {
    const open = text.indexOf('{{', at);
    const plain = text.slice(at, open < 0 ? undefined : open);
    const between = trimsNext ? plain.trimStart() : plain;
    if (open < 0) return rendered + between;
    expression.lastIndex = open;
    const found = expression.exec(text);
    if (found === null) throw new TemplateError(`${path} holds an expression other than {{ .Env.NAME }}`);
    const [, trimsBefore, name = '', trimsAfter] = found;
    const value = env.get(name);
    if (value === undefined) throw new TemplateError(`${path} asks for ${name}, which neither env nor workload sets`);
    rendered += (trimsBefore === undefined ? between : between.trimEnd()) + value;
    trimsNext = trimsAfter !== undefined;
    at = expression.lastIndex;
  }
};

/** `value` with every expression replaced in its strings, at any depth; keys stay. Throws TemplateError. */
export const renderTemplate = (value: YamlValue, env: ReadonlyMap<string, string>, path: string): YamlValue => {
  if (typeof value === 'string') return renderText(value, env, path);
  if (Array.isArray(value)) return value.map((item: YamlValue, at) => renderTemplate(item, env, `${path}[${at}]`));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, renderTemplate(item, env, `${path}.${key}`)]),
  );
};
