/** What Mintmark's tokens say beside the registered claims, for the servers that are measured beside it. */
export const CLAIMS = {
  tenant: 't1',
  tier: 'standard',
  priority: '0',
  models: Array.from({ length: 20 }, (_, n) => `model-${n + 1}`),
  adapters: [],
  adapter_list: 'none',
}
