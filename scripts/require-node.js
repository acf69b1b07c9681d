import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { onRightNode, pathWith } from './right-node.js'

/** `node scripts/require-node.js <script> [argument …]`: every npm script starts here, on any Node. */
const script = resolve(process.argv[2])
const args = process.argv.slice(3)

onRightNode(script, args, () => {
  process.argv = [process.argv[0], script].concat(args)
  process.env.PATH = pathWith(process.execPath)
  return import(pathToFileURL(script).href)
})
