import { type Client, credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { AUTHORIZATION_PROTO, type CheckResponseMessage } from '../gateway/grpc-proto.ts'

/** One Check call, as Envoy sends it. The status: 200, that of the denial, or 0 without an answer. */
type GrpcCheck = (
  credential: string,
  body: string | Buffer,
  headers?: Record<string, string>,
) => Promise<number>

/** A client of the gRPC listener at `url`. It answers within `timeoutMs`. */
export function grpcCheck(url: string, timeoutMs: number): GrpcCheck {
  const found = 'envoy.service.auth.v3.Authorization'
    .split('.')
    // biome-ignore lint/suspicious/noExplicitAny: the loader's tree of names
    .reduce((at: any, part) => at[part], loadPackageDefinition(fromJSON(AUTHORIZATION_PROTO)))
  const client: Client = new (found as ServiceClientConstructor)(
    new URL(url).host,
    credentials.createInsecure(),
  )
  return (credential, body, more = { 'content-type': 'application/json' }) => {
    const headers = { authorization: `Bearer ${credential}`, ...more }
    const http = { method: 'POST', path: '/v1/chat/completions', headers, rawBody: Buffer.from(body) }
    return new Promise(resolve => {
      // biome-ignore lint/suspicious/noExplicitAny: methods are made from the descriptor
      ;(client as any).Check(
        { attributes: { request: { http } } },
        { deadline: Date.now() + timeoutMs },
        (error: Error | null, answer: CheckResponseMessage) =>
          resolve(error ? 0 : answer.okResponse ? 200 : (answer.deniedResponse?.status.code ?? 403)),
      )
    })
  }
}
