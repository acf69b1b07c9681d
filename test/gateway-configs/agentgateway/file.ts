/** What the tests read of a file of deploy/agentgateway. */
export interface File {
  binds: { listeners: Listener[] }[]
}

interface Listener {
  policies: {
    jwtAuth: { mode: string }
    extAuthz: { conditional: [{ condition: string; failureMode: object }] }
    transformations: { request: { remove: string[] } }
  }
  routes: Route[]
}

interface Route {
  name: string
  matches: { method: string; path: { exact?: string } }[]
  policies: {
    jwtAuth?: object
    authorization?: { rules: string[] }
    transformations: { request: { set: Record<string, string> } }
    requestHeaderModifier: { remove: string[] }
    directResponse: {
      conditional: { condition?: string; status: number; body?: string; bodyExpression?: string }[]
    }
    remoteRateLimit?: {
      domain: string
      descriptors: { entries: { key: string; value: string }[]; limitOverride: string; type: string }[]
    }
  }
  backends?: object[]
}

/** The routes by their names, with the one rule of each. */
export function routesOf(file: File) {
  const listener = file.binds[0]?.listeners[0] as Listener
  const named = (name: string) => {
    const route = listener.routes.find(each => each.name === name) as Route
    return { ...route, rule: route.policies.authorization?.rules[0] ?? '' }
  }
  return {
    listener,
    all: listener.routes,
    models: named('models'),
    withoutPriority: named('models-without-priority'),
    list: named('list'),
  }
}

/** All expressions in CEL, by the fields that have them (agentgateway's schema: Expression, RuleSet, KV, LocalTransform). */
export function expressionsOf(value: unknown, field = ''): string[] {
  if (Array.isArray(value)) return value.flatMap(each => expressionsOf(each, field))
  if (typeof value === 'object' && value !== null) {
    const members =
      field === 'headers' || field === 'set' ? (name: string) => `${field}.${name}` : (name: string) => name
    return Object.entries(value).flatMap(([name, each]) => expressionsOf(each, members(name)))
  }
  const isExpression =
    /^(rules|condition|bodyExpression|limitOverride|value)$/.test(field) || /^(headers|set)\./.test(field)
  return isExpression && typeof value === 'string' ? [value] : []
}
