import type { z } from 'zod'
import type { Actor } from '../audit/audit-event.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Invalid } from '../errors.ts'
import { type Model, modelVersion } from '../tenants/model.ts'
import type { Models } from '../tenants/models.ts'
import { type Tier, tierVersion } from '../tenants/tier.ts'
import type { Tiers } from '../tenants/tiers.ts'
import { type AdminAnswer, created, noContent, ok } from './answer.ts'
import {
  adapterBody,
  adapterPut,
  modelBody,
  modelPut,
  modelToWire,
  tierBody,
  tierPut,
  tierToWire,
} from './bodies/catalogue-body.ts'
import { page as pageOf } from './bodies/wire.ts'
import type { Cursors } from './cursor.ts'
import * as field from './fields.ts'
import { pageBody, pageQuery, pageRequest } from './paging.ts'
import { REVALIDATED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'
import type { Example } from './route-docs.ts'

/** Tiers, base models and adapters: named objects that PUT creates or replaces. */

/** How the three differ. `conflicts`: why one may not be deleted. */
interface Kind {
  list: string
  noun: 'Tier' | 'Model' | 'Adapter'
  /** With its article. */
  one: string
  body: z.ZodType
  conflicts: readonly string[]
}

const TIER: Kind = {
  list: '/tiers',
  noun: 'Tier',
  one: 'a tier',
  body: tierBody,
  conflicts: ['tier_in_use'],
}
const MODEL: Kind = {
  list: '/models',
  noun: 'Model',
  one: 'a base model',
  body: modelBody,
  conflicts: ['model_in_use'],
}
const ADAPTER: Kind = {
  list: '/adapters',
  noun: 'Adapter',
  one: 'an adapter',
  body: adapterBody,
  conflicts: ['model_in_use'],
}

export function tierRoutes(tiers: Tiers, cursors: Cursors): AdminRoute[] {
  return [
    ...readRoutes(
      cursors,
      TIER,
      page => tiers.list(page),
      async name => tierAnswer(await tiers.get(name)),
      tierToWire,
    ),
    route({
      ...putting(TIER),
      conflicts: ['tier_exists'],
      example: { body: { priority: -20, description: 'Scheduled before all others' } },
      method: 'put',
      path: '/tiers/:name',
      right: 'catalogue:write',
      // With If-None-Match: * it creates, and never replaces.
      ...REVALIDATED,
      body: tierPut,
      handle: async ({ actor, params, body }) => {
        const { tier, created: isNew } = await tiers.put(actor, {
          name: nameOf(field.tierName, params),
          ...body,
        })
        return isNew
          ? created(at('/tiers', tier.name), tierToWire(tier), tierVersion(tier))
          : tierAnswer(tier)
      },
    }),
    deleteRoute(
      TIER,
      name => tiers.get(name),
      (actor, name) => tiers.delete(actor, name),
    ),
  ]
}

export function modelRoutes(models: Models, cursors: Cursors): AdminRoute[] {
  const example = { body: { max_model_len: 131_072, description: 'Eight billion parameters' } }
  return kindRoutes({ models, cursors }, 'model', { ...MODEL, example }, modelPut, () => null)
}

export function adapterRoutes(models: Models, cursors: Cursors): AdminRoute[] {
  const example = { body: { base_model: 'llama-3-8b' } }
  return kindRoutes(
    { models, cursors },
    'adapter',
    { ...ADAPTER, example },
    adapterPut,
    body => body.base_model,
  )
}

function kindRoutes<Body extends { description: string; max_model_len: number | null }>(
  { models, cursors }: { models: Models; cursors: Cursors },
  kind: Model['kind'],
  described: Kind & { example: Example },
  schema: z.ZodType<Body>,
  baseModel: (body: Body) => string | null,
): AdminRoute[] {
  const { list, example } = described
  return [
    ...readRoutes(
      cursors,
      described,
      page => models.list(kind, page),
      async name => modelAnswer(await models.get(kind, name)),
      modelToWire,
    ),
    route({
      ...putting(described),
      conflicts: ['name_taken', 'too_many_models'],
      example,
      method: 'put',
      path: `${list}/:name`,
      right: 'catalogue:write',
      ...REVALIDATED,
      body: schema,
      handle: async ({ actor, params, body }) => {
        const name = nameOf(kind === 'model' ? field.modelName : field.adapterName, params)
        const { max_model_len: maxModelLen, description } = body
        const settings = { name, kind, baseModel: baseModel(body), maxModelLen, description }
        const { model, created: isNew } = await models.put(actor, settings)
        return isNew ? created(at(list, name), modelToWire(model), modelVersion(model)) : modelAnswer(model)
      },
    }),
    deleteRoute(
      described,
      name => models.get(kind, name),
      (actor, name) => models.delete(actor, kind, name),
    ),
  ]
}

function readRoutes<T>(
  cursors: Cursors,
  { list, noun, one, body }: Kind,
  page: (request: PageRequest) => Promise<Page<T>>,
  get: (name: string) => Promise<AdminAnswer>,
  toWire: (item: T) => object,
): AdminRoute[] {
  return [
    route({
      operation: `list${noun}s`,
      summary: `List ${list.slice(1)}`,
      answers: { 200: pageOf(body) },
      method: 'get',
      path: list,
      right: 'catalogue:read',
      query: pageQuery,
      handle: async ({ query }) => {
        const found = await page(pageRequest(cursors, { path: list }, query))
        return ok(pageBody(cursors, { path: list }, found, toWire))
      },
    }),
    route({
      operation: `get${noun}`,
      summary: `Get ${one}`,
      answers: { 200: body },
      method: 'get',
      path: `${list}/:name`,
      right: 'catalogue:read',
      ...REVALIDATED,
      handle: ({ params }) => get(params.name ?? ''),
    }),
  ]
}

function deleteRoute(
  { list, noun, one, conflicts }: Kind,
  exists: (name: string) => Promise<unknown>,
  remove: (actor: Actor, name: string) => Promise<void>,
): AdminRoute {
  return route({
    operation: `delete${noun}`,
    summary: `Delete ${one}`,
    answers: { 204: null },
    conflicts,
    method: 'delete',
    path: `${list}/:name`,
    right: 'catalogue:write',
    exists: params => exists(params.name ?? ''),
    preconditions: ['If-Match'],
    handle: async ({ actor, params }) => {
      await remove(actor, params.name ?? '')
      return noContent
    },
  })
}

const putting = ({ noun, one, body }: Kind) => ({
  operation: `put${noun}`,
  summary: `Create or update ${one}`,
  details:
    'Replaces all settings. With `If-None-Match: *` the request creates an object, and never replaces one.',
  answers: { 200: body, 201: body },
})

const at = (list: string, name: string) => `${list}/${encodeURIComponent(name)}`

/** The name in the path of a PUT becomes the object's name. @throws {Invalid} */
function nameOf(schema: z.ZodType<string>, params: Record<string, string>): string {
  const result = schema.safeParse(params.name)
  if (result.success) return result.data
  throw new Invalid(
    result.error.issues.map(issue => ({
      pointer: '',
      message: `Invalid name in the path: it ${issue.message}`,
    })),
  )
}

const tierAnswer = (tier: Tier) => ok(tierToWire(tier), tierVersion(tier))
const modelAnswer = (model: Model) => ok(modelToWire(model), modelVersion(model))
