import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { repository } from './support/readme.ts'
import { matchedComments, type Prose, proseOf, withoutQuotations } from './support/source-text.ts'

/** What is checked. A scope that is removed here is not checked any more. */
const SCOPES: readonly (keyof typeof TEXTS)[] = ['comments', 'strings', 'pages']

/** Words that must not come back, and what to write instead. Ordinary uses of the same words pass. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/\bwhoever\b/, 'anyone who, or name the role: the caller, the owner'],
  [/\bnobody\b/, 'no one, no client; unknown keys, where a key belongs to no one'],
  [/\bsomebody\b/, 'someone, a person, another process'],
  [/\b(?:told|tells?|telling)\b/, 'reports, shows, notifies, names, distinguishes'],
  [/\b(?:hears?|heard)\b/, 'receives, is notified'],
  [/\b(?:comes?|came|coming) to\b/, 'is, results in, reaches'],
  [/\b(?:lets?|letting) (?:\w+ )?go\b/, 'drops, deletes, releases'],
  [/\bstands?\b(?! for\b|-)|\bstood\b/, 'is'],
  [/\b(?:is|are|was|were|be) (?:not |still |already |all )?there\b(?! an?\b| any\b| no\b)/, 'exists, is set'],
  [/\bof ours\b/, 'our; a bug, where it is a fault'],
  [/\banew\b/, 'again'],
  [/\bbeside\b/, 'next to, with, in addition to'],
  [/\bdoors?\b/, 'the check, the API'],
  [/\bjudg(?:e|es|ed|ing|e?ments?)\b/, 'checks, evaluates'],
  [
    /\bless (?:the|an?|its|what|one|where)\b|\b(?:seconds|clock|time|headers) less\b(?! than)/,
    'minus, without',
  ],
  [/\b(?:hand(?:s|ed|ing)?|give[sn]?|gave|giving) (?:\w+ )?out\b/, 'issues, returns'],
  [
    /\bma(?:kes?|king|de) (?:(?:an?|the|its|another|new|more|two|each|of) )?(?:(?:API|admin|signing|first|new) )?(?:keys?|tokens?|tenants?|secrets?)\b/,
    'creates, issues',
  ],
  [/\bkeys? (?:that )?(?:nobody|no one) has\b/, 'unknown keys'],
  [/\bnarrow(?:s|ed|ing)\b|\b(?:only|may|can|to) narrow\b/, 'restricts'],
  [/\bwhat (?:is|was|it is|they are) asked\b/, 'the request'],
  [/\bgo(?:es|ing)? on\b|\bwent on\b/, 'continues'],
  [/\b(?:is|are|was|were|be|goes|went) away\b/, 'is unavailable, is down'],
  [/\bat the (?:most|least)\b/, 'at most, at least'],
  [/\bright (?:seal|signature)s?\b/, 'valid'],
  [/\b(?:an|the) authority of its own\b/, 'a private certificate authority'],
  [/\bin vain\b|\bseldom\b(?! as)/, 'without success, rarely'],
  [/\b(?:end|ends|ended|ending) (?:all )?(?:the )?issued tokens\b/, 'revokes'],
  [/\bwhat(?:ever)? (?:comes?|came|becomes?|became) of\b/, 'the result of'],
]

const text = (file: string) => readFileSync(join(repository, file), 'utf8')
const find = (...globs: string[]) =>
  globs
    .flatMap(glob => globSync(glob, { cwd: repository, exclude: name => name.endsWith('node_modules') }))
    .toSorted()

/** How files that are not TypeScript or JavaScript mark a comment. */
const MARKS: readonly (readonly [RegExp, RegExp])[] = [
  [/\.sql$|\.lua(?:\.template)?$/, /--.*/g],
  [/\.js\.template$/, /(?<!:)\/\/.*/g],
  [/\.py$/, /(?<=""")[^"]+(?=""")|#.*/g],
  [/\.(?:yaml|cfg|conf|sh)(?:\.template)?$|Caddyfile\.template$|Dockerfile$/, /(?<!\S)#.*/g],
]

function comments(file: string): string {
  if (/\.(?:ts|m?js)$/.test(file)) return proseOf(text(file)).comments
  const mark = MARKS.find(([name]) => name.test(file))?.[1]
  return mark ? matchedComments(text(file), mark) : ''
}

/** Everything that people read, by kind: the text of each file with its lines. */
const TEXTS = {
  comments: () =>
    find(
      '{src,test,bench}/**/*.{ts,js}',
      'clients/*/src/*.ts',
      'clients/python/*.py',
      'db/**/*.sql',
      'deploy/generate/**/*.*',
      'deploy/{compose,observability,otel-collector}/*.*',
      '{deploy,scripts}/*.{js,ts,sh}',
      'Dockerfile',
    ).map(file => [file, [{ line: 1, text: comments(file) }]] as const),
  strings: () =>
    find('src/**/*.ts', 'clients/*/src/*.ts').map(file => {
      // A single word is a name, such as the account `nobody`.
      const strings = proseOf(text(file)).strings.filter(string => /\s/.test(string.text))
      return [file, strings] as const
    }),
  pages: () =>
    find('*.md', 'docs/**/*.md', 'src/**/*.md', 'db/*.md', 'deploy/**/*.md', 'clients/**/*.md').map(
      file => [file, [{ line: 1, text: text(file) }]] as const,
    ),
}

/** `<file>:<line>: "<word>": write <advice>` for each word in these texts that must not come back. */
function findings(file: string, texts: readonly Prose[]): string[] {
  return texts.flatMap(({ line, text }) => {
    const prose = withoutQuotations(text).replaceAll(
      /\n[ \t]*(?:\*|\/\/|--|#)(?= )/g,
      found => `\n${' '.repeat(found.length - 1)}`,
    )
    return WORDS.flatMap(([word, advice]) => {
      const spaced = new RegExp(word.source.replaceAll(' ', '\\s+'), 'gi')
      return [...prose.matchAll(spaced)].map(({ 0: found, index }) => {
        const at = line + prose.slice(0, index).split('\n').length - 1
        return `${file}:${at}: "${found.replaceAll(/\s+/g, ' ')}": write ${advice}`
      })
    })
  })
}

describe('the language', () => {
  it.each(SCOPES)('of %s uses no word that must not come back', scope => {
    const all = TEXTS[scope]()
    expect(all.flatMap(([, texts]) => texts).length).toBeGreaterThan(30)
    expect(all.flatMap(([file, texts]) => findings(file, texts))).toEqual([])
  })

  it('finds such a word in a comment, a string, a template literal and a page, with its line', () => {
    const { comments, strings } = proseOf(
      [
        'const a = 1 / 2 // one',
        '/**\n * Whoever\n * asks is\n * told.\n */',
        "const b = ['it\\'s', `x $" + "{y('beside')} anew`, /'door/]",
      ].join('\n'),
    )
    expect(findings('a.ts', [{ line: 1, text: comments }]).map(line => line.split(': write')[0])).toEqual([
      'a.ts:3: "Whoever"',
      'a.ts:5: "told"',
    ])
    expect(strings.map(({ line, text }) => [line, text])).toEqual([
      [7, "it\\'s"],
      [7, 'beside'],
      [7, 'x … anew'],
    ])
    expect(findings('a.md', [{ line: 1, text: 'A key\ngoes\non.' }])).toEqual([
      'a.md:2: "goes on": write continues',
    ])
  })

  it('lets quotations, code and ordinary uses pass', () => {
    const passes = [
      'The changelog says "whoever" and “told”; `nobody` is an account.',
      '```\nnobody\n```',
      'Is there a key? There is none. It takes less than a second, besides the standby, and stands for any.',
    ]
    expect(passes.flatMap(text => findings('a.md', [{ line: 1, text }]))).toEqual([])
  })
})
