import { ROUTES } from '../../src/gateway/headers.ts'
import { MEDIA_NAMES, STEERING_FIELDS } from '../../src/gateway/refused-fields.ts'
import type { Checks } from './checks.ts'
import type { DescribedApi, Json } from './described-api.ts'

/** Compared with the rights of the caller. */
const CHECKED = ['model']
/**
 * A header of the gateway overrides `priority`; where the engine does not read it, the gateway rejects it. A gateway that
 * cannot change bodies rejects `cache_salt`.
 */
const SET_BY_GATEWAY = ['priority', 'cache_salt']

/**
 * Fields that concern only the request that has them: passed on. store: what is stored cannot be read through the gateway.
 * messages, input, images: the gateway rejects addresses in them (FETCHED_FIELDS and EMBEDDED_INPUTS in refused-fields.ts,
 * images in model-in-body.ts).
 */
const HARMLESS = `
  add_generation_prompt add_special_tokens allowed_token_ids bad_words chat_template
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

const CLASSES = [CHECKED, SET_BY_GATEWAY, STEERING_FIELDS, HARMLESS]
const isInOneClass = (name: string) => CLASSES.filter(each => each.includes(name)).length === 1

/** Every field of the engine's requests on open routes is in exactly one class: a new one is named here. */
export async function checkFields(checks: Checks, of: string, { document }: DescribedApi): Promise<void> {
  const paths = pathsOf(document)
  const found = new Set(paths.flatMap(path => fieldsOf(document, path)))
  await checks.equal(
    `${of}: each of ${found.size} fields on ${paths.length} routes is in one class`,
    [],
    () => [...found].filter(name => !isInOneClass(name)),
  )
}

/** The classes themselves, at a vLLM with every route. */
export async function checkClasses(checks: Checks, { document }: DescribedApi): Promise<void> {
  const paths = pathsOf(document)
  const named = (path: string) =>
    fieldsOf(withField(document, path, 'a_new_field'), path)
      .filter(name => !isInOneClass(name))
      .join()
  await checks.equal('a new field of vLLM is named, on every route', [], () =>
    paths.filter(path => named(path) !== 'a_new_field'),
  )
  const found = new Set(paths.flatMap(path => fieldsOf(document, path)))
  await checks.equal('every field that is passed on is one of vLLM', [], () =>
    HARMLESS.filter(name => !found.has(name)),
  )
}

/**
 * input_image: its media is in `image_url`. prompt_embeds: neither an address nor a uuid; vLLM takes it with --enable-prompt-embeds
 * only. tool_reference: a name.
 */
const OTHER_PARTS = ['input_image', 'prompt_embeds', 'tool_reference']

/** Every part of a message that may have media is known to the gateway: a new one is named here. */
export async function checkParts(checks: Checks, { parts }: DescribedApi): Promise<void> {
  await checks.equal(`each of ${parts.length} kinds of parts of a message is media, or has none`, [], () =>
    parts.filter(name => MEDIA_NAMES.includes(name) === OTHER_PARTS.includes(name)),
  )
}

const pathsOf = (document: Json): string[] =>
  ROUTES.filter(({ model, path }) => model !== 'none' && document.paths[path]).map(({ path }) => path)

function fieldsOf(document: Json, path: string): string[] {
  return namesIn(document, schemaOf(document, path))
}

/** JSON, or a form. */
function schemaOf(document: Json, path: string): Json {
  const [content] = Object.values<Json>(document.paths[path].post.requestBody.content)
  return content.schema
}

function namesIn(document: Json, schema: Json): string[] {
  if (schema.$ref) return namesIn(document, document.components.schemas[schema.$ref.split('/').at(-1)])
  const alternatives = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]
  return [...Object.keys(schema.properties ?? {}), ...alternatives.flatMap(each => namesIn(document, each))]
}

/** A copy in which a request of this route has one more field, as in a newer version. */
function withField(document: Json, path: string, name: string): Json {
  const copy = structuredClone(document)
  let schema = schemaOf(copy, path)
  for (;;) {
    if (schema.$ref) schema = copy.components.schemas[schema.$ref.split('/').at(-1)]
    else if (schema.anyOf ?? schema.oneOf ?? schema.allOf)
      schema = (schema.anyOf ?? schema.oneOf ?? schema.allOf)[0]
    else break
  }
  schema.properties = { ...schema.properties, [name]: { type: 'string' } }
  return copy
}
