// Generates the files in deploy/ from the templates in this folder: npm run generate
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { deployFiles } from './deploy-files.ts'

for (const [path, content] of Object.entries(deployFiles())) {
  const file = new URL(`../../${path}`, import.meta.url)
  mkdirSync(dirname(file.pathname), { recursive: true })
  writeFileSync(file, content)
  console.log(path)
}
