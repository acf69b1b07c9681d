#!/usr/bin/env node
/**
 * The `mintmark` command of the package, which runs the output of "npm run build". A separate file, because tsc writes
 * none that is executable.
 */
await import(new URL('../dist/cli/main.js', import.meta.url).href)
