import { CliError, EXIT } from '../../exit-codes.ts'
import { ApiConflict, type KubernetesApi, type KubernetesObject } from '../../sync/kubernetes-api.ts'
import { SyncFault } from '../../sync/sync-fault.ts'
import { type Destination, differsInSet, type Found, type Owner, ownerText } from './destination.ts'

/** The field manager of server-side apply. */
const MANAGER = 'mintmark-apply'
const SET = 'mintmark/set'
/** `mintmark/key` or `mintmark/usage-reporter`. */
const ofKind = (kind: Owner['kind']) => `mintmark/${kind}`

/** A secret in a Kubernetes Secret, whose annotations say whose it is. Without them a Secret is not overwritten. */
export class SecretObject implements Destination {
  readonly title: string
  readonly #api: KubernetesApi
  readonly #place: { namespace: string; name: string; key: string }
  readonly #owner: Owner
  /** Of the Secret that `find` read; undefined: there was none. */
  #version: string | undefined

  constructor(api: KubernetesApi, place: { namespace: string; name: string; key: string }, owner: Owner) {
    this.#api = api
    this.#place = place
    this.#owner = owner
    this.title = `the Secret ${place.namespace}/${place.name}`
  }

  async find(): Promise<Found> {
    const live = await this.#asked(() => this.#api.find(this.#path))
    this.#version = live?.metadata.resourceVersion
    return live ? this.#found(live) : { state: 'absent' }
  }

  async write(secret: string): Promise<void> {
    if (this.#version === undefined && (await this.#asked(() => this.#api.find(this.#path))))
      throw new CliError(
        EXIT.conflict,
        `${this.title} was created by someone else since the plan was made. Run it again.`,
      )
    const { namespace, name, key } = this.#place
    const wanted = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name,
        namespace,
        // The API server rejects the change if the Secret is no longer the one that was read.
        ...(this.#version !== undefined && { resourceVersion: this.#version }),
        annotations: { [SET]: this.#owner.set, [ofKind(this.#owner.kind)]: this.#owner.name },
      },
      type: 'Opaque',
      data: { [key]: Buffer.from(secret).toString('base64') },
    }
    // Forced, because someone else may have changed a field of this Secret. The version must still be the one that was read.
    const force = this.#version === undefined ? '' : '&force=true'
    const query = `fieldManager=${MANAGER}&fieldValidation=Strict${force}`
    await this.#asked(() => this.#api.call('PATCH', `${this.#path}?${query}`, wanted))
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#place.namespace}/secrets/${this.#place.name}`
  }

  #found({ metadata, data }: KubernetesObject): Found {
    const annotations = metadata?.annotations ?? {}
    const kind = (['key', 'usage-reporter'] as const).find(known => annotations[ofKind(known)] !== undefined)
    if (annotations[SET] === undefined || kind === undefined)
      return { state: 'foreign', why: `${this.title} was not written by "mintmark apply"` }
    const owner = { set: annotations[SET], kind, name: annotations[ofKind(kind)] }
    const stored = data?.[this.#place.key]
    const secret = typeof stored === 'string' ? Buffer.from(stored, 'base64').toString() : ''
    if (ownerText(owner) !== ownerText(this.#owner))
      return {
        state: 'foreign',
        why: `${this.title} has the secret of ${ownerText(owner)}`,
        ...(differsInSet(owner, this.#owner) && { ofOtherSet: secret }),
      }
    return { state: 'ours', secret }
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof SyncFault)) throw error
      const exit =
        error instanceof ApiConflict || error.reason === 'rejected'
          ? EXIT.conflict
          : error.reason === 'api_forbidden'
            ? EXIT.refused
            : error.reason === 'not_found'
              ? EXIT.notFound
              : EXIT.unavailable
      throw new CliError(exit, `${this.title}: ${error.message}`)
    }
  }
}
