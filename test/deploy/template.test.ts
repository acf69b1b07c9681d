import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { render, type Values } from '../../deploy/generate/template.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mintmark-template-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function rendered(template: string, values: Values, fragments: Record<string, string> = {}): string {
  for (const [name, text] of Object.entries({ ...fragments, template }))
    writeFileSync(join(folder, name), text)
  return render(pathToFileURL(join(folder, 'template')).href, values)
}

describe('a template', () => {
  it.each<[string, string, Values, string]>([
    ['puts values in place', 'listen {{host}}:{{port}};\n', { host: '::', port: 80 }, 'listen :::80;\n'],
    ['takes a value twice', '{{a}}{{a}}\n', { a: false }, 'falsefalse\n'],
    ['leaves a brace of JSON alone', '{"a":{"b":{{c}}}}\n', { c: 1 }, '{"a":{"b":1}}\n'],
    ['does not look for placeholders in values', '{{a}}\n', { a: '{{b}}' }, '{{b}}\n'],
    ['takes $ in a value as it is', '{{a}}\n', { a: '$& $1' }, '$& $1\n'],
    [
      'repeats a line for each entry of a list',
      '  - {{a}} {{b}}\nend\n',
      { a: ['x', 'y'], b: 1 },
      '  - x 1\n  - y 1\nend\n',
    ],
    [
      'repeats it with the fields of each entry',
      '{{a.name}}={{a.value}}\n',
      {
        a: [
          { name: 'x', value: 1, why: 'because' },
          { name: 'y', value: true },
        ],
      },
      'x=1\ny=true\n',
    ],
    ['leaves out the line of an empty list', 'a\n  {{b}}\nc\n', { b: [] }, 'a\nc\n'],
    [
      'keeps the column of a text of several lines',
      'a:\n  - {{b}}\n',
      { b: 'c\n\n  d\n' },
      'a:\n  - c\n\n      d\n',
    ],
    ['keeps tabs', '\t{{b}}\n', { b: 'c\nd' }, '\tc\n\td\n'],
    ['leaves no spaces on an empty line', '  {{b}}\n', { b: ['c', ''] }, '  c\n\n'],
  ])('%s', (_, template, values, expected) => {
    expect(rendered(template, values)).toBe(expected)
  })

  it('includes another with the same values, in the column of its placeholder', () => {
    const fragments = { outer: 'b: {{x}}\nc:\n  {{> inner}}\n', inner: 'd: {{x}}\ne: {{y}}\n' }
    expect(rendered('a:\n  - {{> outer}}\n', { x: 1, y: 2 }, fragments)).toBe(
      'a:\n  - b: 1\n    c:\n      d: 1\n      e: 2\n',
    )
  })

  it.each<[string, string, Values, RegExp]>([
    ['a name without a value', 'a\n{{b}}\n', {}, /template:2: b has no value/],
    ['a name that every object has', '{{constructor}}\n', {}, /constructor has no value/],
    ['a value without a place', 'a\n', { b: 1 }, /does not use b/],
    ['a field that an entry lacks', '{{a.c}}\n', { a: [{ b: 1 }] }, /a\.c is not a text/],
    ['an entry where a field is needed', '{{a}}\n', { a: [{ b: 1 }] }, /a is not a text/],
    ['two lists on one line', '{{a}} {{b}}\n', { a: ['x'], b: ['y'] }, /two lists: a, b/],
    ['a placeholder with a slip in it', '{{ a }}\n', { a: 1 }, /template:1: this is not a placeholder/],
    ['several lines within a line', 'x = {{a}}\n', { a: 'b\nc' }, /a line for itself/],
    ['a template that does not exist', '{{> missing}}\n', {}, /template:1: .*missing/],
  ])('rejects %s', (_, template, values, message) => {
    expect(() => rendered(template, values)).toThrow(message)
  })
})
