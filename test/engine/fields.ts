import { ROUTES } from '../../src/gateway/headers.ts'
import { STEERING_FIELDS } from '../../src/gateway/refused-fields.ts'
import type { Checks } from './checks.ts'
import type { Engine } from './engine.ts'
import { inPython } from './python-clients.ts'

/** Compared with the rights of the caller. */
const CHECKED = ['model']
/**
 * A header of the gateway overrides `priority`; where the engine does not read it, the gateway rejects it. A gateway that
 * cannot change bodies rejects `cache_salt`.
 */
const SET_BY_GATEWAY = ['priority', 'cache_salt']

/**
 * Fields that concern only the request that has them: passed on. store, background: what is stored cannot be read through the
 * gateway. messages, input, images: the gateway rejects addresses in them (FETCHED_FIELDS in refused-fields.ts).
 */
const HARMLESS = `
  add_generation_prompt add_special_tokens allowed_token_ids background bad_words chat_template
  chat_template_kwargs continue_final_message data data_1 data_2 dimensions documents echo embed_dtype
  embedding_types enable_response_messages encoding_format endianness frequency_penalty ignore_eos images
  include include_reasoning include_stop_str_in_output input input_type inputs instruction instructions items
  length_penalty logit_bias logprob_token_ids logprobs max_completion_tokens max_output_tokens max_tokens
  max_tokens_per_doc max_tokens_per_query max_tool_calls media_io_kwargs messages metadata min_p min_tokens
  mm_payload mm_processor_kwargs n output_config output_dimension padding parallel_tool_calls presence_penalty
  previous_input_messages prompt prompt_cache_key prompt_embeds prompt_logprobs queries query reasoning
  reasoning_effort repetition_detection repetition_penalty response_format return_mm_kwargs return_prompt_text
  return_token_ids return_token_offsets return_token_strs return_tokens_as_token_ids
  routed_experts_prompt_start seed service_tier session_id skip_special_tokens spaces_between_special_tokens
  stop stop_sequences stop_token_ids store stream stream_interval stream_options structured_outputs suffix
  system task temperature text text_1 text_2 texts thinking thinking_token_budget tokens tool_choice tools
  top_k top_logprobs top_n top_p truncate truncate_prompt_tokens truncation truncation_side use_activation
  use_beam_search user watermarking
  file hotwords language stream_continuous_usage_stats stream_include_usage timestamp_granularities[] to_language
`
  .trim()
  .split(/\s+/)

/** Every field of the engine's requests on open routes is in exactly one class: a new one is named here. */
export async function checkFields(checks: Checks, engine: Engine): Promise<void> {
  const document = (await (await fetch(`${engine.url}/openapi.json`)).json()) as Json
  const served = ROUTES.filter(({ path, model }) => model === 'json' && document.paths[path])
  const found = new Set(served.flatMap(({ path }) => fieldsOf(document, path)))
  await checks.equal('every field of a request is in one class', [], () =>
    [...found].filter(name => !isInOneClass(name)),
  )
}

/** The same of the requests that are forms, which only an engine with a model for audio describes: from vLLM's source. */
export async function checkFormFields(checks: Checks): Promise<void> {
  await checks.equal('every field of a form is in one class', [], async () => {
    const found = (await inPython('form_fields.py', {})) as string[]
    return found.includes('model') ? found.filter(name => !isInOneClass(name)) : 'no model'
  })
}

const CLASSES = [CHECKED, SET_BY_GATEWAY, STEERING_FIELDS, HARMLESS]
const isInOneClass = (name: string) => CLASSES.filter(each => each.includes(name)).length === 1

// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
type Json = any

function fieldsOf(document: Json, path: string): string[] {
  return namesIn(document, document.paths[path].post.requestBody.content['application/json'].schema)
}

function namesIn(document: Json, schema: Json): string[] {
  if (schema.$ref) return namesIn(document, document.components.schemas[schema.$ref.split('/').at(-1)])
  const alternatives = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]
  return [...Object.keys(schema.properties ?? {}), ...alternatives.flatMap(each => namesIn(document, each))]
}
