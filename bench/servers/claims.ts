/** The private claims of Mintmark's tokens, for the servers it is compared with. */
export const CLAIMS = {
  tenant: 't1',
  tier: 'standard',
  priority: '0',
  models: Array.from({ length: 20 }, (_, n) => `model-${n + 1}`),
  adapters: [],
  adapter_list: 'none',
}
