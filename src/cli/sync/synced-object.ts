import { isDeepStrictEqual } from 'node:util'
import { type Target, targetName, withJwks } from './authentication-files.ts'
import {
  ApiConflict,
  type AppliedObject,
  type KubernetesApi,
  type KubernetesObject,
  type Manager,
} from './kubernetes-api.ts'
import { MODIFIED, type PublishedJwks } from './published-jwks.ts'
import { VERSION } from './revocation-policy.ts'
import { SyncFault } from './sync-fault.ts'

/** The field manager of server-side apply. */
const MANAGER = 'mintmark-sync'
/** Where `kubectl apply` and Argo CD record what they applied, unless they apply server-side. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
/** More than a replica that reaches its database lags behind another one. */
const LAG_MS = 60_000
/** How often an object that changes between reading and writing is tried in one round. */
const TRIES = 3

export interface WriteOptions {
  issuer: string
  /** Take over fields of other managers. */
  forceConflicts: boolean
  /** Write also what is older than what the object has. */
  allowOlder: boolean
}

/**
 * Applies the RequestAuthentication of a file, with the JWKS, where it differs. Only the fields in the file and one
 * annotation are owned. `jwtRules` is one field: Istio's definition has it as a list that is replaced as a whole.
 * @throws {SyncFault}
 */
export function applyJwks(
  api: KubernetesApi,
  target: Target,
  jwks: PublishedJwks,
  options: WriteOptions,
): Promise<'written' | 'unchanged'> {
  return applyWhereDifferent(
    api,
    options,
    live => {
      const object = wantedOf(target, jwks, live, options)
      if (live && has(live, object, jwks)) return 'unchanged'
      return { title: targetName(target), path: pathOf(target), object }
    },
    pathOf(target),
  )
}

/**
 * Applies the AuthorizationPolicy of a file with these entries as its rules, where it differs. A list that is older than
 * the one in the object is not written. @throws {SyncFault}
 */
export function applyDenied(
  api: KubernetesApi,
  { title, path, object }: AppliedObject,
  options: Pick<WriteOptions, 'forceConflicts' | 'allowOlder'>,
): Promise<'written' | 'unchanged'> {
  return applyWhereDifferent(
    api,
    options,
    live => {
      if (live && specHas(live, object)) return 'unchanged'
      const version = (of: KubernetesObject | undefined) => Number(of?.metadata?.annotations?.[VERSION] ?? 0)
      const older = version(live) - version(object)
      // Of two replicas one sees a change a moment later: the next round has it.
      if (older > 0 && older < LAG_MS && !options.allowOlder) return 'unchanged'
      if (older > 0 && !options.allowOlder)
        throw new SyncFault(
          'list_older',
          `Mintmark's list of revoked tokens is of ${instant(version(object))}, that of ${title} of ${instant(version(live))}: ` +
            'a replica that lags behind, or a clock of the database that was set back. Nothing was written.',
        )
      return { title, path, object: replacing(object, live) }
    },
    path,
  )
}

/** Until the object has what is wanted, or a fault. */
async function applyWhereDifferent(
  api: KubernetesApi,
  { forceConflicts }: Pick<WriteOptions, 'forceConflicts'>,
  wanted: (live: KubernetesObject | undefined) => AppliedObject | 'unchanged',
  path: string,
): Promise<'written' | 'unchanged'> {
  for (let left = TRIES; ; left--) {
    const live = await api.find(path)
    const applied = wanted(live)
    if (applied === 'unchanged') return 'unchanged'
    try {
      if (forceConflicts && (await disown(api, path, live, applied.object))) continue
      const force = forceConflicts ? '&force=true' : ''
      await api.call(
        'PATCH',
        `${path}?fieldManager=${MANAGER}&fieldValidation=Strict${force}`,
        applied.object,
      )
      return 'written'
    } catch (error) {
      if (!(error instanceof ApiConflict)) throw error
      const [manager] = error.managers
      if (manager) throw ownedByAnother(applied.title, error.managers, manager)
      if (left === 1) throw error
    }
  }
}

/**
 * Client-side apply deletes what the tool applied last and its next file does not have, also when another manager owns it by then: fields
 * that are taken over leave the record of what it applied. Returns whether the object was changed. @throws {SyncFault}
 */
async function disown(
  api: KubernetesApi,
  path: string,
  live: KubernetesObject | undefined,
  taken: KubernetesObject,
): Promise<boolean> {
  const record = parsedRecord(live?.metadata?.annotations?.[LAST_APPLIED])
  if (!record?.spec) return false
  const kept = Object.entries(record.spec).filter(([field]) => !(field in taken.spec))
  if (kept.length === Object.keys(record.spec).length) return false
  const annotations = { [LAST_APPLIED]: JSON.stringify({ ...record, spec: Object.fromEntries(kept) }) }
  const { resourceVersion } = live?.metadata ?? {}
  await api.merge(`${path}?fieldManager=${MANAGER}`, { metadata: { resourceVersion, annotations } })
  return true
}

/** Undefined for none, and for one that no tool wrote. */
function parsedRecord(text: unknown): { spec?: Record<string, unknown> } | undefined {
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined
  }
}

/** The API server rejects the change if the object is no longer the one that was compared. */
const replacing = (object: KubernetesObject, live: KubernetesObject | undefined): KubernetesObject =>
  live
    ? { ...object, metadata: { ...object.metadata, resourceVersion: live.metadata.resourceVersion } }
    : object

const pathOf = ({ apiVersion, namespace, name }: Target) =>
  `/apis/${apiVersion}/namespaces/${namespace}/requestauthentications/${name}`

function wantedOf(
  target: Target,
  jwks: PublishedJwks,
  live: KubernetesObject | undefined,
  { issuer, allowOlder }: WriteOptions,
): KubernetesObject {
  const recorded = Date.parse(live?.metadata?.annotations?.[MODIFIED] ?? '')
  const { modifiedAt } = jwks
  if (modifiedAt !== undefined && modifiedAt < recorded && !allowOlder)
    throw new SyncFault(
      'jwks_older',
      `Mintmark's JWKS was last changed at ${instant(modifiedAt)}, that of ${targetName(target)} at ${instant(recorded)}: ` +
        'a replica without the database, or a database that was restored from a backup. Nothing was written. If it is right, ' +
        'run sync with the same options and --once --allow-older.',
    )
  const object = {
    apiVersion: target.apiVersion,
    kind: 'RequestAuthentication',
    metadata: {
      name: target.name,
      namespace: target.namespace,
      ...(modifiedAt !== undefined && { annotations: { [MODIFIED]: instant(modifiedAt) } }),
    },
    spec: withJwks(target, issuer, jwks.text),
  }
  return replacing(object, live)
}

/** A change of the time alone is not written: istiod would push its configuration for nothing. */
function has(live: KubernetesObject, wanted: KubernetesObject, { modifiedAt }: PublishedJwks): boolean {
  const recorded = live.metadata?.annotations?.[MODIFIED]
  if (modifiedAt !== undefined && recorded === undefined) return false
  return specHas(live, wanted)
}

/** Fields that are not applied may be another tool's. A list without entries is one that is absent. */
const specHas = (live: KubernetesObject, { spec }: KubernetesObject) =>
  Object.entries(spec).every(([field, value]) =>
    isDeepStrictEqual(live.spec?.[field] ?? (Array.isArray(value) ? [] : undefined), value),
  )

const instant = (ms: number) => new Date(ms).toISOString()

/** The names under which tools write. */
const TOOLS: readonly [manager: RegExp, tool: string][] = [
  [/^argocd/, 'Argo CD'],
  [/^(kustomize|helm)-controller$/, 'Flux'],
  [/^helm$/i, 'Helm'],
  [/^kubectl/, 'kubectl'],
]

function ownedByAnother(title: string, managers: readonly Manager[], { name }: Manager): SyncFault {
  const tool = TOOLS.find(([manager]) => manager.test(name))?.[1]
  const fields = managers.map(manager => `${manager.field} ("${manager.name}")`).join(', ')
  return new SyncFault(
    'conflict',
    `${title}: fields are owned by another field manager${tool ? `, ${tool}` : ''}: ${fields}. Pause that tool, run sync with the same ` +
      'options and --once --force-conflicts, and remove these fields from what the tool applies: sync applies them from its file.',
  )
}
