/** What is found where the secret of a key or usage reporter belongs. */
export type Found =
  | { state: 'absent' }
  /** Something that the set did not write, and that is never overwritten. */
  | { state: 'foreign'; why: string }
  /** Written for this object of this set. `secret` as it was found, possibly changed or of a former one. */
  | { state: 'ours'; secret: string }

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

export const ownerText = ({ set, kind, name }: Owner): string => `the ${kind} ${name} of the set ${set}`
