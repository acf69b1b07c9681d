import { createHash } from 'node:crypto'
import { parseAllDocuments } from 'yaml'
import { deployFiles } from '../../../deploy/generate/deploy-files.ts'

/** The files of deploy/envoy-gateway as they are generated now: path → content. */
export const appliedFiles = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(deployFiles()).filter(([path]) => path.startsWith('deploy/envoy-gateway/')),
  )

/** Equal for equal objects, so that a record identifies its sources; comments and formatting do not matter. */
export const digestOf = (files: Record<string, string>): string =>
  createHash('sha256')
    .update(
      JSON.stringify(Object.values(files).map(file => parseAllDocuments(file).map(each => each.toJS()))),
    )
    .digest('hex')
