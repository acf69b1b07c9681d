/** One object that replicas must read again, by its kind and id. */
export interface Change {
  kind:
    | 'tier'
    | 'model'
    | 'tenant'
    | 'key'
    | 'signing-keys'
    | 'installation'
    | 'token-revocation'
    | 'introspector'
  id: string
}
