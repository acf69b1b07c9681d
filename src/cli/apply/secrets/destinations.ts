import { CliError, EXIT } from '../../exit-codes.ts'
import { kubeconfigAccess, podAccess } from '../../sync/kubernetes-access.ts'
import { KubernetesApi } from '../../sync/kubernetes-api.ts'
import type { DeclaredObject, DeclaredSet } from '../declared-set.ts'
import type { Destination, Owner } from './destination.ts'
import { SecretFile } from './secret-file.ts'
import { SecretObject } from './secret-object.ts'

/** How secrets may be written: options of the command. */
export interface SecretOptions {
  writeSecret?: true
  secretFolder?: string
  kubeconfig?: string
  context?: string
}

/** Files of usage reporters are below it. No tenant has this id. */
const REPORTER_FOLDER = 'usage_reporters'

/** What --rotate calls the owner of a secret: `acme/ci`, or `usage_reporters/envoy`. */
export const rotationName = ({ kind, name }: Pick<DeclaredObject, 'kind' | 'name'>): string =>
  kind === 'usage-reporter' ? `${REPORTER_FOLDER}/${name}` : name

/**
 * Where the secrets of keys and usage reporters of the set belong, by kind and name.
 * @throws {CliError} for a place that is not allowed, or is of two objects
 */
export async function destinations(
  environment: NodeJS.ProcessEnv,
  set: DeclaredSet,
  options: SecretOptions,
): Promise<Map<string, Destination>> {
  const owners = set.objects.filter(({ document }) => document.fields.write_secret !== undefined)
  const faults = owners.flatMap(object => faultOf(set, object, options) ?? [])
  if (faults.length > 0)
    throw new CliError(EXIT.usage, 'secrets cannot be written there; nothing was changed:', faults)
  const isOfKubernetes = owners.some(({ document }) => document.fields.write_secret.kubernetes)
  const api = isOfKubernetes ? await kubernetes(environment, options) : undefined
  const found = new Map<string, Destination>()
  const titles = new Set<string>()
  for (const { kind, name, document } of owners) {
    const { kubernetes: place, file } = document.fields.write_secret
    const owner = { set: set.name, kind: kind as Owner['kind'], name }
    const destination =
      place && api
        ? new SecretObject(api, place, owner)
        : new SecretFile(options.secretFolder ?? '', file, owner)
    if (titles.size === titles.add(destination.title).size)
      throw new CliError(
        EXIT.usage,
        `${document.at('/write_secret')}: two secrets have ${destination.title}.`,
      )
    found.set(`${kind} ${name}`, destination)
  }
  return found
}

function faultOf(
  set: DeclaredSet,
  { kind, document }: DeclaredObject,
  options: SecretOptions,
): string | undefined {
  const { tenant, write_secret } = document.fields
  const ofKey = kind === 'key'
  if (write_secret.file !== undefined) {
    const at = document.at('/write_secret/file')
    if (options.secretFolder === undefined)
      return `${at}: a file needs --secret-folder, the folder that it is in.`
    const folder = ofKey ? tenant : REPORTER_FOLDER
    if (write_secret.file.startsWith(`${folder}/`)) return undefined
    const who = ofKey ? `a key of the tenant ${tenant}` : 'a usage reporter'
    return `${at}: ${who} may have its file only below ${folder}/: write ${folder}/${write_secret.file}.`
  }
  const { namespace } = write_secret.kubernetes
  const allowed = ofKey ? set.allowedNamespaces[tenant] : set.reporterNamespaces
  if (allowed?.includes(namespace)) return undefined
  const at = document.at('/write_secret/kubernetes/namespace')
  return ofKey
    ? `${at}: the set does not allow the tenant ${tenant} the namespace ${namespace}: see allowed_namespaces of the set.`
    : `${at}: the set does not allow usage reporters the namespace ${namespace}: see usage_reporter_namespaces of the set.`
}

async function kubernetes(environment: NodeJS.ProcessEnv, options: SecretOptions): Promise<KubernetesApi> {
  const access = options.kubeconfig
    ? await kubeconfigAccess(options.kubeconfig, options.context)
    : await podAccess(environment)
  return new KubernetesApi(access, undefined, 'docs/guides/apply.md')
}
