import { ROUTES } from '../../src/gateway/headers.ts'
import type { Checks } from './checks.ts'
import type { Engine } from './engine.ts'

/** Routes of vLLM 0.32 that no group opens, by the reason. */
const CLOSED: Readonly<Record<string, readonly string[]>> = {
  'health, metrics and descriptions, for operators': [
    '/health',
    '/load',
    '/metrics',
    '/ping',
    '/version',
    '/server_info',
    '/tokenizer_info',
    '/is_paused',
    '/is_sleeping',
    '/weight_info',
    '/get_world_size',
    '/kv_event_sources',
    '/fault_tolerance/status',
    '/ready',
    '/readyz',
  ],
  'control of the engine': [
    '/v1/load_lora_adapter',
    '/v1/unload_lora_adapter',
    '/start_profile',
    '/stop_profile',
    '/reset_prefix_cache',
    '/reset_mm_cache',
    '/reset_encoder_cache',
    '/collective_rpc',
    '/sleep',
    '/wake_up',
    '/release_kv_cache_memory',
    '/pause',
    '/resume',
    '/abort_requests',
    '/inference/v1/abort_requests',
    '/scale_elastic_ep',
    '/is_scaling_elastic_ep',
    '/fault_tolerance/apply',
    '/init_weight_transfer_engine',
    '/shutdown_weight_transfer_engine',
    '/start_weight_update',
    '/start_draft_weight_update',
    '/update_weights',
    '/finish_weight_update',
    '/update_weight_version',
    '/weight_checker',
  ],
  'the same engine without the checks of its other routes': [
    '/invocations',
    '/inference/v1/generate',
    '/v1/chat/completions/batch',
    '/cohere/v2/chat',
    '/v1/systemone',
    '/generative_scoring',
  ],
  'stages of separate prompt rendering': [
    '/v1/chat/completions/render',
    '/v1/completions/render',
    '/v1/messages/render',
    '/v1/responses/render',
    '/v1/chat/completions/derender',
    '/v1/completions/derender',
  ],
  'stored responses are not kept apart by tenant': [
    '/v1/responses/{response_id}',
    '/v1/responses/{response_id}/cancel',
  ],
}

/** Every route that the engine serves is in the list of groups, or closed with a reason: a new one is named here. */
export async function checkRoutes(checks: Checks, engine: Engine): Promise<void> {
  const { paths } = (await (await fetch(`${engine.url}/openapi.json`)).json()) as {
    paths: Record<string, object>
  }
  const served = Object.keys(paths)
  const open: readonly string[] = ROUTES.map(({ path }) => path)
  const closed = Object.values(CLOSED).flat()
  await checks.equal('every route of the engine is in a group or closed', [], () =>
    served.filter(path => !open.includes(path) && !closed.includes(path)),
  )
  await checks.equal('no closed route is in a group', [], () => open.filter(path => closed.includes(path)))
}
