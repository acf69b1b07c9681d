import { streams } from '../streams.ts'

/** Shows how far an import is, in one line of a terminal that is removed at the end. Nothing where standard error is none. */
export function progressLine(): (done: number, all: number) => void {
  const { stderr } = streams()
  if (!stderr.isTTY) return () => {}
  return (done, all) => void stderr.write(done < all ? `\r\x1b[K${done} of ${all} keys` : '\r\x1b[K')
}
