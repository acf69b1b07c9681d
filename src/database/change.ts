/** One object that replicas must read again, by its kind and id. */
export interface Change {
  kind:
    | 'tier'
    | 'model'
    | 'tenant'
    | 'key'
    | 'signing-keys'
    | 'installation'
    | 'identity-provider'
    | 'admin-token'
    | 'restore'
    | 'usage-reporter'
    | 'token-revocation'
    | 'introspector'
  id: string
}
