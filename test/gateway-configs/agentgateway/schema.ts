import { readFileSync } from 'node:fs'

/** The part of agentgateway's published schema that the files use: schema.json, which says where it is from. */
export const schema = (): object =>
  JSON.parse(readFileSync(new URL('schema.json', import.meta.url), 'utf8')) as object
