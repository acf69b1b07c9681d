import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  MODEL_ROUTES,
} from '../../../src/gateway/headers.ts'
import { AUDIENCE, ISSUER } from '../example.ts'
import { render } from '../template.ts'

const claims = [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))]

export function nginxFiles(): Record<string, string> {
  return {
    'deploy/nginx/nginx.conf': render('nginx/nginx.conf.template', {
      CLAIM_HEADERS,
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      claims,
      modelPaths: MODEL_ROUTES.map(({ path }) => path).join('|'),
      // Mintmark's response has each claim in several headers: any of them will do.
      answers: claims.map(claim => ({
        claim,
        header: CLAIM_HEADERS.find(each => each.claim === claim)?.header.replaceAll('-', '_'),
      })),
    }),
    'deploy/nginx/mintmark.js': render('nginx/mintmark.js.template', {
      ISSUER,
      AUDIENCE,
      MODEL_ROUTES,
      claims,
      readModel: readModelScript(),
    }),
  }
}

/** src/gateway/model-in-body.ts as a plain script: njs has no types, and mintmark.js has one export. */
function readModelScript(): string {
  const source = readFileSync(new URL('../../../src/gateway/model-in-body.ts', import.meta.url), 'utf8')
  return stripTypeScriptTypes(source)
    .replaceAll(/(?<=\S) {2,}(?=\S)/g, ' ')
    .replaceAll(/ +(?=[,)\n])/g, '')
    .replaceAll(/^export /gm, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim()
}
