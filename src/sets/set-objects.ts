import type { Actor, AuditEvent, Once } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Conflict, NotFound } from '../errors.ts'
import { type Membership, type ObjectName, SET_KINDS, type SetKind, type SetObject } from './set-object.ts'
import {
  deleteObject,
  findNamed,
  insertObject,
  listObjects,
  lockObject,
  lockSet,
  renameObject,
  renameSet,
} from './set-object-repository.ts'

/** Which objects belong to which set. */
export class SetObjects {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** Of one set, or of all. */
  list(set: string | undefined, page: PageRequest): Promise<Page<SetObject>> {
    return this.#database.run(db => listObjects(db, set, page))
  }

  /**
   * Takes an existing object into a set, which may change it from now on; it is never deleted with the set. An object that
   * is in the set gets the name. Idempotent. @throws {Conflict} for an object of another set, or a name that is taken.
   */
  adopt(actor: Actor, object: ObjectName, { set, name }: Membership): Promise<SetObject> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      const before = await lockObject(trx, object)
      if (before && before.set !== set) throw inAnotherSet(object, before.set)
      if (before?.name !== name) {
        await refuseTaken(trx, object.kind, { set, name })
        if (before) await renameObject(trx, object, name)
        else await insertObject(trx, { ...object, set, name, createdBySet: false, createdBy: actor.id })
        const changes = { set: { to: set }, name: { ...(before && { from: before.name }), to: name } }
        record({ action: 'set.adopt', targetKind: object.kind, targetId: object.id, changes })
      }
      const after = await lockObject(trx, object)
      if (!after) throw new Error('the object of the set is gone')
      return after
    })
  }

  /** Takes an object out of its set. It is not changed itself. @throws {NotFound} when it is in no set. */
  async release(actor: Actor, object: ObjectName): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, record }) => {
      const before = await lockObject(trx, object)
      if (!before) throw new NotFound(`${object.kind} in a set`, object.id)
      await deleteObject(trx, object)
      const changes = { set: { from: before.set }, name: { from: before.name } }
      record({ action: 'set.release', targetKind: object.kind, targetId: object.id, changes })
    })
  }

  /**
   * Gives a set another name. Its objects stay in it, under their names in the set, and as created by it. Returns how many.
   * @throws {NotFound} without an object in it. @throws {Conflict} when the name is another set's.
   */
  rename(actor: Actor, from: string, to: string): Promise<number> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      const objects = await lockSet(trx, from)
      if (objects === 0) throw new NotFound('set', from)
      if (from === to) return objects
      if ((await lockSet(trx, to)) > 0)
        throw new Conflict('set_exists', `There is a set "${to}" with objects. Choose another name.`)
      await renameSet(trx, from, to)
      record({ action: 'set.rename', targetKind: 'set', targetId: to, changes: { name: { from, to } } })
      return objects
    })
  }

  /**
   * Takes part in a change that is made for a set: what it creates belongs to the set from then on, in the same transaction;
   * what it changes must belong to it. `named` is the object in the path of the request.
   */
  membership(actorId: string, { set, name }: Membership, named: ObjectName | undefined): Once {
    let before: SetObject | undefined
    return {
      begin: async trx => {
        before = named && (await lockObject(trx, named))
        if (named && before && before.set !== set) throw inAnotherSet(named, before.set)
      },
      end: async (trx, first) => {
        if (before || !first) return
        const object = objectOf(first)
        if (!object || !first.action.endsWith('.create')) throw inNoSet(named, set)
        await refuseTaken(trx, object.kind, { set, name })
        await insertObject(trx, { ...object, set, name, createdBySet: true, createdBy: actorId })
        first.changes.set = { to: set }
      },
    }
  }
}

function objectOf({ targetKind, targetId }: AuditEvent): ObjectName | undefined {
  const kind = SET_KINDS.find(known => known === targetKind)
  return kind && { kind, id: targetId }
}

/** Two that take one name at the same time: the constraint set_objects_name. @throws {Conflict} */
async function refuseTaken(trx: Handle, kind: SetKind, membership: Membership): Promise<void> {
  const taken = await findNamed(trx, kind, membership)
  if (taken) {
    throw new Conflict(
      'name_taken_in_set',
      `The set "${membership.set}" has another ${kind} with the name "${membership.name}": "${taken.id}".`,
    )
  }
}

const inAnotherSet = ({ kind, id }: ObjectName, set: string) =>
  new Conflict('in_another_set', `The ${kind} "${id}" belongs to the set "${set}".`)

const inNoSet = (named: ObjectName | undefined, set: string) =>
  new Conflict(
    'in_no_set',
    `${named ? `The ${named.kind} "${named.id}"` : 'The object'} belongs to no set, so it is not changed for the set "${set}". Adopt it first.`,
  )
