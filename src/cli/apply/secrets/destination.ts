/** What is found where the secret of a key or usage reporter belongs. */
export type Found =
  | { state: 'absent' }
  /** Something that the set did not write, and that is never overwritten. */
  | {
      state: 'foreign'
      why: string
      /** It is noted as of this object in another set, which may be this set's former name: the secret itself proves it. */
      ofOtherSet?: string
    }
  /** Written for this object of this set. `secret` as it was found, possibly changed or of a former one. */
  | { state: 'ours'; secret: string }

/** The secret in its place; empty: none that can be of this object. */
export const secretIn = (found: Found): string =>
  found.state === 'ours' ? found.secret : found.state === 'foreign' ? (found.ofOtherSet ?? '') : ''

/** Where one secret is written: a file, or a Kubernetes Secret. */
export interface Destination {
  /** For people: `the Secret acme-prod/mintmark-ci`. */
  readonly title: string
  find(): Promise<Found>
  /** All or nothing, after `find`. @throws {CliError} when the place does not have what was found. */
  write(secret: string): Promise<void>
}

/** Which key or usage reporter a secret is of, as it is noted with it. */
export interface Owner {
  set: string
  kind: 'key' | 'usage-reporter'
  /** The name in the set: `acme/ci` */
  name: string
}

/** Whether both are one object, by what is noted, apart from the name of the set. */
export const differsInSet = (one: Owner, other: Owner): boolean =>
  one.kind === other.kind && one.name === other.name && one.set !== other.set

export const ownerText = ({ set, kind, name }: Owner): string => `the ${kind} ${name} of the set ${set}`
