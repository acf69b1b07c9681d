import type { Actor } from '../audit/audit-event.ts'
import { fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import { type Model, modelVersion } from './model.ts'
import {
  deleteModel,
  findModel,
  insertModel,
  listModels,
  lockModels,
  type ModelSettings,
  registeredModels,
  updateModel,
} from './model-repository.ts'
import { jsonBytes, LONGEST_JSON } from './name.ts'

/** Operations on base models and adapters: one class, because they share one namespace. */
export class Models {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** @throws {NotFound} also when the name is of the other kind. */
  async get(kind: Model['kind'], name: string): Promise<Model> {
    return this.#database.run(db => getModel(db, kind, name))
  }

  list(kind: Model['kind'], page: PageRequest): Promise<Page<Model>> {
    return this.#database.run(db => listModels(db, kind, page))
  }

  /**
   * Registers the name, or replaces an existing one of the same kind.
   * @throws {Conflict} when the other kind has the name, or the registered models no longer fit in a token.
   * @throws {Invalid} when the base model is not registered.
   */
  async put(actor: Actor, settings: ModelSettings): Promise<{ model: Model; created: boolean }> {
    return mutate(this.#database, actor, async ({ trx, found, record }) => {
      await lockModels(trx)
      const before = await findModel(trx, settings.name)
      if (before && before.kind !== settings.kind) {
        throw new Conflict(
          'name_taken',
          `"${settings.name}" is already registered as ${a(before.kind)}. Choose another name.`,
        )
      }
      found(before && modelVersion(before))
      const changes = fieldChanges(before && editable(before), settings)
      if (before && Object.keys(changes).length === 0) return { model: before, created: false }
      await checkBaseModel(trx, settings)
      if (!before) await checkRoom(trx, settings)
      const model = before ? await updateModel(trx, settings) : await insertModel(trx, settings)
      const action = `${settings.kind}.${before ? 'update' : 'create'}` as const
      record(
        { action, targetKind: settings.kind, targetId: model.name, changes },
        { kind: 'model', id: model.name },
      )
      return { model, created: !before }
    })
  }

  /** @throws {NotFound} @throws {Conflict} while a tenant, a key or an adapter uses it. */
  async delete(actor: Actor, kind: Model['kind'], name: string): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, found, record }) => {
      await lockModels(trx)
      const model = await getModel(trx, kind, name)
      found(modelVersion(model))
      await deleteModel(trx, name)
      const changes = fieldChanges(editable(model), undefined)
      record(
        { action: `${kind}.delete`, targetKind: kind, targetId: name, changes },
        { kind: 'model', id: name },
      )
    })
  }
}

async function getModel(db: Handle, kind: Model['kind'], name: string): Promise<Model> {
  const model = await findModel(db, name)
  if (model?.kind !== kind) throw new NotFound(kind, name)
  return model
}

async function checkBaseModel(trx: Handle, settings: ModelSettings): Promise<void> {
  if (settings.baseModel === null) return
  const base = await findModel(trx, settings.baseModel)
  if (base?.kind === 'model') return
  throw new Invalid([
    {
      pointer: '/base_model',
      message: `must be a registered base model: PUT /admin/v1/models/${settings.baseModel} first`,
    },
  ])
}

/** `models: null` puts every registered base model into a token, so their list has a limit. */
async function checkRoom(trx: Handle, settings: ModelSettings): Promise<void> {
  if (settings.kind !== 'model') return
  const names = [...(await registeredModels(trx)), settings.name]
  if (jsonBytes(names) <= LONGEST_JSON.models) return
  throw new Conflict(
    'too_many_models',
    `The registered base models would need ${jsonBytes(names)} bytes in a token; the limit is ${LONGEST_JSON.models}. Delete an unused one first.`,
  )
}

const a = (kind: Model['kind']) => (kind === 'adapter' ? 'an adapter' : 'a base model')

const editable = ({ name, kind, baseModel, maxModelLen, description }: Model): ModelSettings => ({
  name,
  kind,
  baseModel,
  maxModelLen,
  description,
})
