/**
 * Every small fault that could be made in a source file: one check removed, one condition halved, one limit moved by one, one entry
 * of a list left out. Pure: text in, faults out.
 */
import { stripTypeScriptTypes } from 'node:module';
import { type AnyNode, type CallExpression, type Literal, type Node, parse } from 'acorn';
import { fullAncestor } from 'acorn-walk';

export interface Mutant {
  readonly line: number;
  /** What was done, such as `removed` or `always true`. */
  readonly fault: string;
  /** The place as it reads in the source, shortened. */
  readonly place: string;
  /** The whole file as JavaScript, with the fault. */
  readonly source: string;
}

export interface Mutants {
  /** The whole file as JavaScript, without a fault. */
  readonly unchanged: string;
  readonly mutants: readonly Mutant[];
  /** Texts that only people read: no behaviour depends on them, and no test may. */
  readonly wording: readonly { readonly line: number; readonly text: string }[];
}

/** Which string literals of a file are wording. */
export interface Wording {
  /** Functions that take wording, and the place of that argument. */
  readonly arguments: Readonly<Record<string, number>>;
  /** Functions whose returned texts, and constants whose values, are wording. */
  readonly within: readonly string[];
}

type Change = readonly [fault: string, replacement: string];

const boundary: Readonly<Record<string, string>> = { '<': '<=', '<=': '<', '>': '>=', '>=': '>' };
const opposite: Readonly<Record<string, string>> = {
  '===': '!==',
  '!==': '===',
  '<': '>=',
  '<=': '>',
  '>': '<=',
  '>=': '<',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '%': '*',
  '<<': '>>',
};
/** Methods with a counterpart that answers differently. */
const counterpart: Readonly<Record<string, string>> = { some: 'every', every: 'some', min: 'max', max: 'min' };
/** Methods that give back something of the kind they were called on. */
const passThrough = new Set(['filter', 'sort', 'slice', 'trim']);

const regexChanges = (source: string): readonly Change[] => {
  const without = (pattern: RegExp, fault: string): readonly Change[] =>
    [...source.matchAll(pattern)].map(({ index, 0: found }) => [
      fault,
      source.slice(0, index) + source.slice(index + found.length),
    ]);
  const counts = [...source.matchAll(/(?<=[{,])\d+(?=[,}])/g)].map(
    ({ index, 0: count }): Change => [
      'count one higher',
      source.slice(0, index) + String(Number(count) + 1) + source.slice(index + count.length),
    ],
  );
  return [...without(/^\^|\$$/g, 'anchor removed'), ...without(/(?<=\[[^\]]*)\w-\w/g, 'range removed'), ...counts];
};

const literalChanges = (node: Literal): readonly Change[] => {
  const { value, raw = '' } = node;
  if (typeof value === 'boolean') return [['flipped', String(!value)]];
  if (typeof value === 'bigint')
    return [
      ['one higher', `${value + 1n}n`],
      ['one lower', `(${value - 1n}n)`],
    ];
  if (typeof value === 'number')
    return [
      ['one higher', `${value + 1}`],
      ['one lower', `(${value - 1})`],
    ];
  if (typeof value === 'string') return [['other text', value === '' ? "'x'" : "''"]];
  if (node.regex) {
    const { pattern, flags } = node.regex;
    return regexChanges(pattern).map(([fault, changed]) => [fault, `/${changed}/${flags}`]);
  }
  return raw === 'null' ? [['not null', "'x'"]] : [];
};

/** `list` without one of its entries, for each of them. */
const withoutEach = (
  text: (node: Node) => string,
  [open, close]: readonly [string, string],
  list: readonly (Node | null)[],
): readonly Change[] =>
  list.flatMap((left, index): readonly Change[] => {
    if (left === null) return [];
    const rest = list.filter((_, other) => other !== index).map((node) => (node === null ? '' : text(node)));
    return [[`without ${text(left)}`, `${open}${rest.join(', ')}${close}`]];
  });

const callChanges = (node: CallExpression, text: (node: Node) => string): readonly Change[] => {
  const { callee } = node;
  if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return [];
  const { name } = callee.property;
  const object = text(callee.object);
  const other = counterpart[name];
  const given = node.arguments.map(text).join(', ');
  return [
    ...(other === undefined ? [] : [[`${other} instead`, `${object}.${other}(${given})`] as const]),
    ...(passThrough.has(name) ? [[`without ${name}`, object] as const] : []),
  ];
};

/** What can go wrong at one node, as replacements of its own text. */
const changesOf = (node: AnyNode, text: (node: Node) => string): readonly Change[] => {
  switch (node.type) {
    case 'ExpressionStatement':
    case 'ThrowStatement':
      return [['removed', ';']];
    case 'ConditionalExpression':
      return [
        ['always the first', text(node.consequent)],
        ['always the second', text(node.alternate)],
      ];
    case 'LogicalExpression':
      return [
        ['only the left', text(node.left)],
        ['only the right', text(node.right)],
      ];
    case 'BinaryExpression': {
      const { operator } = node;
      const [left, right] = [text(node.left), text(node.right)];
      return [boundary[operator], opposite[operator]].flatMap((other): readonly Change[] =>
        other === undefined ? [] : [[`${other} instead of ${operator}`, `${left} ${other} ${right}`]],
      );
    }
    case 'UnaryExpression':
      return node.operator === '!' ? [['not negated', text(node.argument)]] : [];
    case 'ArrayExpression':
      return withoutEach(text, ['[', ']'], node.elements);
    case 'ObjectExpression':
      return withoutEach(text, ['({', '})'], node.properties);
    case 'CallExpression':
      return callChanges(node, text);
    case 'Literal':
      return literalChanges(node);
    default:
      return [];
  }
};

const nameOf = (node: CallExpression): string => (node.callee.type === 'Identifier' ? node.callee.name : '');

const isWording = (node: AnyNode, ancestors: readonly AnyNode[], wording: Wording): boolean => {
  if (node.type !== 'TemplateLiteral' && !(node.type === 'Literal' && typeof node.value === 'string')) return false;
  return ancestors.some((ancestor, index) => {
    const below = ancestors[index + 1];
    if (ancestor.type === 'CallExpression')
      return ancestor.arguments[wording.arguments[nameOf(ancestor)] ?? -1] === below;
    if (ancestor.type !== 'VariableDeclarator' || ancestor.id.type !== 'Identifier') return false;
    if (!wording.within.includes(ancestor.id.name)) return false;
    // Of a function only what it returns, and what is put into that; a text that is compared with decides something.
    const text = ancestors.findLast(
      ({ type }, at) => type !== 'TemplateLiteral' && ancestors[at + 1]?.type === 'TemplateLiteral',
    );
    const parent = text ?? ancestors.at(-2);
    return (
      ancestor.init?.type !== 'ArrowFunctionExpression' ||
      parent?.type === 'ReturnStatement' ||
      parent === ancestor.init
    );
  });
};

/** Conditions of `if`, which are replaced as a whole; their parts are mutated by themselves as well. */
const isCondition = (node: AnyNode, parent: AnyNode | undefined): boolean =>
  parent?.type === 'IfStatement' && parent.test === node;

/** All mutants of `typescript`, in the order of the text. Throws when the file, or a mutant, is no JavaScript. */
export const mutantsOf = (typescript: string, wording: Wording): Mutants => {
  const javascript = stripTypeScriptTypes(typescript);
  const options = { ecmaVersion: 'latest', sourceType: 'module', locations: true } as const;
  const mutants: (Mutant & { readonly start: number })[] = [];
  const words: { line: number; text: string }[] = [];
  const text = (node: Node): string => `${javascript.slice(node.start, node.end)}`;
  fullAncestor(parse(javascript, options), (visited, _, path) => {
    const node = visited as AnyNode;
    const ancestors = path as AnyNode[];
    const parent = ancestors.at(-2);
    const line = node.loc?.start.line ?? 0;
    if (isWording(node, ancestors, wording)) {
      words.push({ line, text: text(node) });
      return;
    }
    if (parent?.type === 'ImportDeclaration' || (parent?.type === 'Property' && parent.key === node)) return;
    const changes = [
      ...changesOf(node, text),
      ...(isCondition(node, parent)
        ? ([
            ['never', 'false'],
            ['always', 'true'],
          ] as const)
        : []),
    ];
    for (const [fault, replacement] of changes) {
      const grouped = node.type.endsWith('Statement') || replacement.startsWith('(') ? replacement : `(${replacement})`;
      const source = javascript.slice(0, node.start) + grouped + javascript.slice(node.end);
      parse(source, options);
      const place = text(node).replace(/\s+/g, ' ');
      mutants.push({ line, fault, place, source, start: node.start });
    }
  });
  return { unchanged: javascript, mutants: mutants.sort((a, b) => a.start - b.start), wording: words };
};
