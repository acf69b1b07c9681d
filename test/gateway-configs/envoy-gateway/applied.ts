import { createHash } from 'node:crypto'
import { parseAllDocuments } from 'yaml'
import { deployFiles } from '../../../deploy/generate/deploy-files.ts'

/** What is applied, by the file that records its output: the files themselves, or with those of usage/ in place of theirs. */
export const RECORDS = ['record', 'record-usage'] as const
export type EnvoyGatewayRecord = (typeof RECORDS)[number]

const FOLDER = 'deploy/envoy-gateway/'
const USAGE = `${FOLDER}usage/`

/** The files of deploy/envoy-gateway as they are generated now: path → content. */
export function appliedFiles(record: EnvoyGatewayRecord = 'record'): Record<string, string> {
  const files = Object.entries(deployFiles()).filter(([path]) => path.startsWith(FOLDER))
  const plain = files.filter(([path]) => !path.startsWith(USAGE))
  if (record === 'record') return Object.fromEntries(plain)
  const usage = files.filter(([path]) => path.startsWith(USAGE))
  const replaced = new Set(usage.map(([path]) => path.replace(USAGE, FOLDER)))
  return Object.fromEntries([...usage, ...plain.filter(([path]) => !replaced.has(path))])
}

/** Equal for equal objects, so that a record identifies its sources; comments and formatting do not matter. */
export const digestOf = (files: Record<string, string>): string =>
  createHash('sha256')
    .update(
      JSON.stringify(Object.values(files).map(file => parseAllDocuments(file).map(each => each.toJS()))),
    )
    .digest('hex')
