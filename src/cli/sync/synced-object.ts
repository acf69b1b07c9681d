import { isDeepStrictEqual } from 'node:util'
import { type Target, targetName, withJwks } from './authentication-files.ts'
import { ApiConflict, type KubernetesApi, type KubernetesObject, type Manager } from './kubernetes-api.ts'
import type { PublishedJwks } from './published-jwks.ts'
import { SyncFault } from './sync-fault.ts'

/** The field manager of server-side apply. */
const MANAGER = 'mintmark-sync'
/** When Mintmark last changed the JWKS that the object has: an older one is not written over it. */
const MODIFIED = 'mintmark/jwks-modified'
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
 * Applies the object of a file, with the JWKS, where it differs. Only the fields in the file and one annotation are
 * owned. `jwtRules` is one field: Istio's definition has it as a list that is replaced as a whole.
 * @throws {SyncFault}
 */
export async function applyJwks(
  api: KubernetesApi,
  target: Target,
  jwks: PublishedJwks,
  options: WriteOptions,
): Promise<'written' | 'unchanged'> {
  const path = pathOf(target)
  for (let left = TRIES; ; left--) {
    const live = await api.find(path)
    const wanted = wantedOf(target, jwks, live, options)
    if (live && has(live, wanted, jwks)) return 'unchanged'
    try {
      const force = options.forceConflicts ? '&force=true' : ''
      await api.call('PATCH', `${path}?fieldManager=${MANAGER}&fieldValidation=Strict${force}`, wanted)
      return 'written'
    } catch (error) {
      if (!(error instanceof ApiConflict)) throw error
      const [manager] = error.managers
      if (manager) throw ownedByAnother(target, error.managers, manager)
      if (left === 1) throw error
    }
  }
}

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
        'run "mintmark sync --once --allow-older".',
    )
  return {
    apiVersion: target.apiVersion,
    kind: 'RequestAuthentication',
    metadata: {
      name: target.name,
      namespace: target.namespace,
      // The API server rejects the change if the object is no longer the one that was compared.
      ...(live && { resourceVersion: live.metadata.resourceVersion }),
      ...(modifiedAt !== undefined && { annotations: { [MODIFIED]: instant(modifiedAt) } }),
    },
    spec: withJwks(target, issuer, jwks.text),
  }
}

/** A change of the time alone is not written: istiod would push its configuration for nothing. */
function has(live: KubernetesObject, { spec }: KubernetesObject, { modifiedAt }: PublishedJwks): boolean {
  const recorded = live.metadata?.annotations?.[MODIFIED]
  if (modifiedAt !== undefined && recorded === undefined) return false
  return Object.entries(spec).every(([field, value]) => isDeepStrictEqual(live.spec?.[field], value))
}

const instant = (ms: number) => new Date(ms).toISOString()

/** The names under which tools write. */
const TOOLS: readonly [manager: RegExp, tool: string][] = [
  [/^argocd/, 'Argo CD'],
  [/^(kustomize|helm)-controller$/, 'Flux'],
  [/^helm$/i, 'Helm'],
  [/^kubectl/, 'kubectl'],
]

function ownedByAnother(target: Target, managers: readonly Manager[], { name }: Manager): SyncFault {
  const tool = TOOLS.find(([manager]) => manager.test(name))?.[1]
  const fields = managers.map(manager => `${manager.field} ("${manager.name}")`).join(', ')
  return new SyncFault(
    'conflict',
    `${targetName(target)}: fields are owned by another field manager${tool ? `, ${tool}` : ''}: ${fields}. Remove these fields ` +
      'from what it applies: sync applies them from the file of --istio. Then run "mintmark sync --once --force-conflicts".',
  )
}
