import { adminRoutes } from '../../src/admin/admin-app.ts'
import { openApiDocument } from '../../src/admin/openapi/document.ts'
import { checkDocument } from './check-document.ts'
import { tokenDocument } from './token-document.ts'

// One document of all listeners, for the reference page.

type Named = Record<string, object>

interface Document {
  info: { title: string; description: string }
  servers: readonly object[]
  tags: readonly { name: string }[]
  security?: readonly object[]
  paths: Record<string, Record<string, object>>
  components: Record<string, Named>
}

const INTRODUCTION = `Mintmark has three HTTP APIs, each on a listener of its own:

- the **admin API**, for operators,
- the **token API**, for clients and verifiers,
- the **gateway check**, for gateways.
`

const headingOf = ({ info }: Document) =>
  info.title.replace('Mintmark ', '').replace(/^./, first => first.toUpperCase())

/** Operations carry their own security and their listener, which differ between the documents. */
const operations = ({ paths, security, servers }: Document) =>
  Object.entries(paths).map(([path, methods]): [string, Record<string, object>] => {
    const own = Object.entries(methods).map(([method, operation]) => [
      method,
      { servers, security, ...operation },
    ])
    return [path, Object.fromEntries(own)]
  })

/** @throws {Error} when two documents give one name to different things. */
function joined(all: readonly Named[]): Named {
  const names = all.flatMap(each => Object.entries(each))
  const result: Named = {}
  for (const [name, value] of names) {
    if (name in result && JSON.stringify(result[name]) !== JSON.stringify(value))
      throw new Error(`two documents have another ${name}`)
    result[name] = value
  }
  return result
}

export function referenceDocument() {
  const admin = openApiDocument(adminRoutes({} as never)) as unknown as Document
  const documents = [admin, tokenDocument() as Document, checkDocument() as unknown as Document]
  const kinds = [...new Set(documents.flatMap(({ components }) => Object.keys(components)))]
  const components = kinds.map(kind => [
    kind,
    joined(documents.map(({ components }) => components[kind] ?? {})),
  ])
  return {
    ...admin,
    info: {
      ...admin.info,
      title: 'Mintmark API reference',
      description: [
        INTRODUCTION,
        ...documents.map(each => `# ${headingOf(each)}\n\n${each.info.description}`),
      ].join('\n'),
    },
    tags: documents.flatMap(({ tags }) => tags),
    'x-tagGroups': documents.map(each => ({
      name: headingOf(each),
      tags: each.tags.map(({ name }) => name),
    })),
    paths: Object.fromEntries(documents.flatMap(operations)),
    components: Object.fromEntries(components),
  }
}
