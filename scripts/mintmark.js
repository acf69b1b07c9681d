#!/usr/bin/env node
/** The command `mintmark` of the package: what "npm run build" made. A file of its own, because tsc makes none that is executable. */
await import(new URL('../dist/cli/main.js', import.meta.url).href)
