/** Template expressions: what Go's text/template takes, what it refuses at parse time, and what they ask for. */
import fc from 'fast-check';
import t from 'tap';
import { parseTemplate, renderTemplate } from '../../../../agent/contract/content/go-template.ts';

const known = new Map([
  ['A', 'one'],
  ['B', 'two'],
]);

t.test('sound templates, and what they make as far as it can be told', async (t) => {
  const table: readonly (readonly [string, string | null])[] = [
    ['no expression } }} {', 'no expression } }} {'],
    ['{{ .Env.A }}/{{.Env.B}}', 'one/two'],
    ['{{$.Env.A}}', 'one'],
    ['x {{- .Env.A -}} y', 'xoney'],
    ['x{{/* a comment */}}y', 'xy'],
    ['x {{- /* a comment */ -}} y', 'xy'],
    ['{{ .Env.NONE }}', null],
    ['{{ "}}" }}', null],
    ['{{ `raw\n}}` }}', null],
    ['{{if .Env.A}}x{{else if .Env.B}}y{{else}}z{{end}}', null],
    ['{{with $x := .Env.A}}{{$x}}{{else with .Env.B}}{{.}}{{end}}', null],
    ['{{range $i, $e := .Env}}{{if $i}}{{break}}{{end}}{{continue}}{{end}}', null],
    ['{{range $e := .Env}}{{$e}}{{else}}none{{end}}', null],
    ['{{define "name"}}x{{end}}{{template "name"}}{{template "name" .}}{{block "b" .}}{{end}}', null],
    ['{{eq .Env.A "x" | not | printf "%v"}}', null],
    ['{{(index .Env "A")}}{{len (print .Env.A nil)}}', null],
    ["{{1}}{{-3}}{{ -3 -}}{{1.5e-3}}{{0x1F}}{{'a'}}{{true}}", null],
    ['{{$x := 1}}{{$x = 2}}{{$x}}', null],
    ['{{.Env.A |\nprintf "%s"}}', null],
    ['{{.}}{{.Env}}', null],
  ];
  for (const [text, expected] of table) {
    const outcome = parseTemplate(text);
    t.equal(outcome.kind, 'parsed', `${text} ${JSON.stringify(outcome)}`);
    if (outcome.kind === 'parsed') t.equal(renderTemplate(outcome.template, known).text, expected, text);
  }
});

t.test('malformed templates, with the place', async (t) => {
  const table: readonly (readonly [string, number, RegExp])[] = [
    ['a{{ .Env.A', 1, /not closed/],
    ['{{ .Env.A }', 10, /closing brace/],
    ['{{}}', 2, /no value/],
    ['{{ }}', 3, /no value/],
    ['{{ "x }}', 3, /quote/],
    ['{{ `x }}', 3, /quote/],
    ['{{/* x }}', 0, /comment/],
    ['{{/* x */ y}}', 9, /comment/],
    ['{{ a ! b }}', 5, /no meaning/],
    ['{{ (.Env.A }}', 3, /parenthesis/],
    ['{{ .Env.A) }}', 9, /parenthesis/],
    ['{{ .Env.A | }}', 12, /nothing follows/],
    ['{{ .Env.A | "x" }}', 12, /cannot be called/],
    ['{{ "a""b" }}', 6, /should end/],
    ['{{ nil }}', 3, /nil/],
    ['{{ 1.Field }}', 7, /should end/],
    ['{{ $x }}', 3, /not declared/],
    ['{{ $x = 1 }}', 3, /not declared/],
    ['{{if .Env.A}}{{$x := 1}}{{end}}{{$x}}', 33, /not declared/],
    ['{{if .Env.A}}', 0, /no \{\{end\}\}/],
    ['{{if}}{{end}}', 4, /no value/],
    ['{{end}}', 0, /without if/],
    ['{{else}}', 0, /without if/],
    ['{{if 1}}{{else}}{{else}}{{end}}', 16, /two/],
    ['{{range 1}}{{else if 1}}{{end}}', 18, /nothing of the kind/],
    ['{{if 1}}{{end x}}', 14, /should end/],
    ['{{break}}', 0, /outside/],
    ['{{define name}}{{end}}', 9, /quotes/],
    ['{{if 1}}{{define "a"}}{{end}}{{end}}', 8, /top/],
    ['{{define "a"}}{{else}}{{end}}', 14, /no meaning/],
    [`{{${'('.repeat(200)}}}`, 67, /deeply/],
    ['{{if 1}}'.repeat(100), 520, /deeply/],
  ];
  for (const [text, offset, reason] of table) {
    t.match(parseTemplate(text), { kind: 'malformed', offset, reason }, text.slice(0, 60));
  }
});

t.test('what a template asks for', async (t) => {
  const table: readonly (readonly [string, string, string, string])[] = [
    ['{{.Env.A}}{{$.Env.B}}{{index .Env "C"}}{{index $.Env `D`}}', 'A B C D', '', ''],
    ['{{if .Env.A}}{{.Env.B}}{{end}}', 'A B', '', ''],
    // Inside, the dot is something else.
    ['{{with .Env.A}}{{.Env.B}}{{.x}}{{$.Env.C}}{{end}}', 'A C', '', ''],
    ['{{range .Env}}{{.x}}{{else}}{{.Env.A}}{{end}}', 'A', '', ''],
    ['{{.Env.A | upper | quote}}', 'A', 'upper quote', ''],
    ['{{.Values.a.b}}{{.env.A}}{{.Env.A.B}}', '', '', '.Values.a.b .env.A .Env.A.B'],
    ['{{printf "%s" (default .Env.A "x")}}', 'A', 'default', ''],
  ];
  for (const [text, variables, functions, strangers] of table) {
    const outcome = parseTemplate(text);
    if (outcome.kind === 'malformed') throw new Error(`${text}: ${outcome.reason}`);
    const names = (list: readonly { readonly name: string }[]): string => list.map(({ name }) => name).join(' ');
    const { template } = outcome;
    t.same(
      [names(template.variables), names(template.functions), names(template.strangers)],
      [variables, functions, strangers],
      text,
    );
  }
});

t.test('no text makes the parser fail in another way', async (t) => {
  const word = fc.constantFrom(
    '{{',
    '}}',
    '{{-',
    ' -}}',
    'if ',
    'end',
    'else',
    '.Env.A',
    '$x',
    ':=',
    '|',
    '(',
    ')',
    '"',
    '`',
    ' ',
    '1',
    '/*',
    '*/',
    'range ',
    ',',
    '\n',
  );
  const anything = fc.property(fc.array(word, { maxLength: 30 }), (words) => {
    const text = words.join('');
    const outcome = parseTemplate(text);
    return outcome.kind === 'parsed' || (outcome.offset >= 0 && outcome.offset <= text.length);
  });
  t.doesNotThrow(() => fc.assert(anything, { numRuns: 300 }));
});
