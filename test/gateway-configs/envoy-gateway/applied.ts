import { createHash } from 'node:crypto'
import { parseAllDocuments } from 'yaml'
import { deployFiles } from '../../../deploy/generate/deploy-files.ts'

/** What is applied, by the file that records its output: the files themselves, or with those of a folder in place of theirs. */
export const RECORDS = ['record', 'record-usage', 'record-limits'] as const
export type EnvoyGatewayRecord = (typeof RECORDS)[number]

const FOLDER = 'deploy/envoy-gateway/'

/** The files of deploy/envoy-gateway as they are generated now: path → content. */
export function appliedFiles(record: EnvoyGatewayRecord = 'record'): Record<string, string> {
  const files = Object.entries(deployFiles())
  const below = (folder: string) => files.filter(([path]) => isIn(folder, path))
  if (record === 'record') return Object.fromEntries(below(FOLDER))
  const folder = record.replace('record-', FOLDER)
  const replacing = below(`${folder}/`)
  const replaced = new Set(replacing.map(([path]) => path.replace(`${folder}/`, FOLDER)))
  return Object.fromEntries([...replacing, ...below(FOLDER).filter(([path]) => !replaced.has(path))])
}

/** Directly, not in a folder of it. */
const isIn = (folder: string, path: string) =>
  path.startsWith(folder) && !path.slice(folder.length).includes('/')

/** Equal for equal objects, so that a record identifies its sources; comments and formatting do not matter. */
export const digestOf = (files: Record<string, string>): string =>
  createHash('sha256')
    .update(
      JSON.stringify(Object.values(files).map(file => parseAllDocuments(file).map(each => each.toJS()))),
    )
    .digest('hex')
