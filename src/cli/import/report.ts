import type { Output } from '../output.ts'
import { printable } from '../terminal-text.ts'
import type { ImportReport } from './carry-out.ts'
import type { Note } from './notes.ts'

/** Prints what an import could not map, and what it did. */
export async function printReport(report: ImportReport, output: Output): Promise<void> {
  const { dry_run, tenants, keys, notes } = report
  await output.either({
    text: notesText(notes),
    json: report,
    id: tenants.ids.join('\n'),
  })
  const done = dry_run ? 'Nothing was changed: this was a dry run' : 'Imported'
  output.note(
    `${done}. Tenants: ${tenants.created} new. Keys: ${keys.created} new, ${keys.exists} imported before, ${keys.refused} rejected.`,
  )
}

/** A paragraph for each: how many and what, the first names, and the cure. */
function notesText(notes: readonly Note[]): string {
  if (notes.length === 0) return 'Nothing differs.'
  const paragraphs = notes
    .toSorted((one, other) => other.count - one.count)
    .map(({ count, message, examples, cure }) => {
      const more = count > examples.length ? ', …' : ''
      return [
        `${String(count).padStart(6)}  ${message}`,
        `        ${examples.join(', ')}${more}`,
        `        ${cure}`,
      ]
        .map(printable)
        .join('\n')
    })
  return paragraphs.join('\n')
}
