import type { Engine } from './engine.ts'
import { inPython } from './python-clients.ts'

// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
export type Json = any

/** What vLLM serves. */
export interface DescribedApi {
  /** All its routes, also those that its OpenAPI document leaves out. */
  paths: string[]
  /** Modules with routes that could not be read. */
  failed: string[]
  /** Kinds of parts of a message that are not text; where they are not known, none. */
  parts: string[]
  /** OpenAPI, with a schema for every body. */
  document: Json
}

/** Of the installed vLLM, with every task and switch, without starting it. */
export const describedApi = (): Promise<DescribedApi> =>
  inPython('described_api.py', {}) as Promise<DescribedApi>

/** Of an engine that runs, as it describes itself. */
export async function apiOf(engine: Engine): Promise<DescribedApi> {
  const document: Json = await (await fetch(`${engine.url}/openapi.json`)).json()
  return { paths: Object.keys(document.paths), failed: [], parts: [], document }
}
