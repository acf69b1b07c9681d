import { styleText } from 'node:util'
import { streams } from './streams.ts'

/** Which text a terminal may show, and its width there. */

type Style = Parameters<typeof styleText>[0]

/** Control characters and direction overrides, with which untrusted text could change what is on the screen. */
const UNSAFE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

export const printable = (text: string): string => text.replace(UNSAFE, '\ufffd')

/** Equivalent JSON that is safe to show. */
export function printableJson(value: unknown): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value, null, 2).replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, escaped)
}

/** YAML that is safe to show. JSON, which can escape every character, is YAML too (YAML 1.2 §1.3). */
export async function printableYaml(value: unknown): Promise<string> {
  const { stringify } = await import('yaml')
  const text = stringify(value, { lineWidth: 0 }).trimEnd()
  return text.replaceAll('\n', '').match(UNSAFE) ? printableJson(value) : text
}

/** Plain when the stream is not a terminal, or NO_COLOR is set. */
export function styled(style: Style, text: string, stream = streams().stdout): string {
  return styleText(style, text, { stream })
}

const STATES: Record<string, Style> = {
  active: 'green',
  live: 'green',
  standby: 'cyan',
  ending: 'yellow',
  retiring: 'yellow',
  suspended: 'yellow',
  disabled: 'yellow',
  expired: 'red',
  ended: 'red',
  revoked: 'red',
}

/** Text that may begin or end with spaces, in the colour of its state. */
export function styledState(text: string): string {
  const style = STATES[text.trim()]
  return style === undefined ? text : styled(style, text)
}

const graphemes = new Intl.Segmenter()
/** Han, kana, hangul, full-width forms and emoji take two cells. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|^\p{Extended_Pictographic}/u

export function textWidth(text: string): number {
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += WIDE.test(segment) ? 2 : 1
  return width
}

/** At most `width` cells; a cut is shown as `…`. */
export function cutTo(width: number, text: string): string {
  if (textWidth(text) <= width) return text
  let kept = ''
  for (const { segment } of graphemes.segment(text)) {
    if (textWidth(kept + segment) >= width) break
    kept += segment
  }
  return `${kept.trimEnd()}…`
}
