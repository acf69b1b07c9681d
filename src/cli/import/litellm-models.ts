import type { Destination } from './import-plan.ts'

/** LiteLLM's names that stand for a set of models (SpecialModelNames in litellm/proxy/_types.py). */
const ALL = 'all-proxy-models'
const OF_THE_TEAM = 'all-team-models'
const NONE = 'no-default-models'

/** Which models a team or key may use. null: all of what it belongs to. */
interface MappedModels {
  models: readonly string[] | null
  adapters: readonly string[] | null
  /** Names that Mintmark does not have as they are: wildcards, groups, and models that are not registered. */
  unknown: readonly string[]
}

/** `lists`: the model lists that apply, LiteLLM's: a request needs all of them. An empty one restricts nothing. */
export function mapModels(
  lists: readonly (readonly string[] | null | undefined)[],
  { models, adapters }: Pick<Destination, 'models' | 'adapters'>,
): MappedModels {
  const restricting = lists.flatMap(list => {
    const names = (list ?? []).filter(name => name !== OF_THE_TEAM)
    const isWhole = list?.includes(OF_THE_TEAM) === true || names.includes(ALL)
    return names.length === 0 || isWhole ? [] : [new Set(names)]
  })
  const [first, ...others] = restricting
  if (!first) return { models: null, adapters: null, unknown: [] }
  const named = [...first].filter(name => name !== NONE && others.every(other => other.has(name)))
  return {
    models: named.filter(name => models.has(name)),
    adapters: named.filter(name => adapters.has(name)),
    unknown: [...new Set(restricting.flatMap(list => [...list]))].filter(
      name => name !== NONE && !models.has(name) && !adapters.has(name),
    ),
  }
}
