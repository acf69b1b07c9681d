/** What a replica must read again: one object of the directory, named by its kind and id. */
export interface Change {
  kind: 'tier' | 'model' | 'tenant' | 'key' | 'signing-keys' | 'installation'
  id: string
}
