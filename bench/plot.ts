/**
 * A bar chart as SVG: one bar per line, its name before it and its value after it. Readable on light and dark pages.
 */
export function bars(title: string, entries: readonly { name: string; value: number }[]): string {
  const [left, width, height] = [330, 420, 26]
  const most = Math.max(...entries.map(entry => entry.value), 1)
  const lines = entries.map(({ name, value }, index) => {
    const y = 40 + index * height
    const length = Math.max(1, Math.round((value / most) * width))
    return [
      `<text x="${left - 8}" y="${y + 14}" text-anchor="end">${asText(name)}</text>`,
      `<rect x="${left}" y="${y}" width="${length}" height="18" rx="2" fill="#3b7dd8"/>`,
      `<text x="${left + length + 6}" y="${y + 14}">${Math.round(value).toLocaleString('en')}</text>`,
    ].join('\n')
  })
  const [all, down] = [left + width + 80, 50 + entries.length * height]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${all} ${down}" width="${all}" height="${down}" role="img">
<title>${asText(title)}</title>
<style>text { font: 13px system-ui, sans-serif; fill: #444 } @media (prefers-color-scheme: dark) { text { fill: #ccc } }</style>
<text x="8" y="20">${asText(title)}</text>
${lines.join('\n')}
</svg>
`
}

const asText = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
