/** The holder of an introspection token: it may ask about tokens of these audiences. */
export interface Introspector {
  /** Of the admin token with this role. */
  id: string
  /** Of its secret, in base64. */
  digest: string
  audiences: readonly string[]
  /** Epoch milliseconds; null: never. */
  expiresAt: number | null
}
