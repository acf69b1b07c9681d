/** Names in a JSON body that model-in-body.ts refuses, or looks for in what is nested. */

/**
 * Top-level names by which a client would steer the engine, so a body with one of them is rejected.
 * vLLM: the hosts of its prefill and encoder stages, vllm_xargs, which can carry the same, and ids of stored responses, which it gives to
 * every tenant. With background an engine answers at once, without a count of tokens, and generates on after the client has left.
 * Dynamo: nvext chooses instances and priorities.
 * SGLang: stages, ranks, the path to an adapter, ids of requests and sessions, which all tenants share, and extra_key, which it appends
 * to cache_salt without a mark between them, so that together they could be the salt of another tenant.
 */
export const STEERING_FIELDS = [
  'kv_transfer_params',
  'ec_transfer_params',
  'vllm_xargs',
  'previous_response_id',
  'background',
  'nvext',
  'request_id',
  'lora_path',
  'bootstrap_host',
  'bootstrap_port',
  'bootstrap_room',
  'bootstrap_pair_key',
  'data_parallel_rank',
  'data_parallel_rank_decode',
  'rid',
  'session_params',
  'extra_key',
]
/**
 * Rejected too where the body cannot be changed: only a gateway that puts the tenant before a client's salt keeps the caches of
 * tenants apart.
 */
export const REFUSED_WITHOUT_REWRITE = STEERING_FIELDS.concat('cache_salt')
export const LONGEST_FIELD = 25

/**
 * Nested names whose value is media, or an object with a `url`. The engine would fetch the address for any client, from inside
 * the operator's network, so the media has to be in the body, as a data: URI.
 */
export const FETCHED_FIELDS = ['image_url', 'audio_url', 'video_url', 'source']
/** Nested names of media for which a `uuid` is refused, because by it vLLM takes what an earlier request of any tenant stored under it. */
export const UUID_FIELDS = [
  'image_url',
  'audio_url',
  'video_url',
  'input_audio',
  'image_embeds',
  'audio_embeds',
  'video_embeds',
  'image_pil',
]
/** Media in the objects of the list `input`: SGLang embeds it. Elsewhere they may have any value. */
export const EMBEDDED_INPUTS = ['image', 'video']
/**
 * Each of those above once: FETCHED_FIELDS but `source` are in UUID_FIELDS. `input` in a part of a message has the arguments of a tool, which may have any names; engines make
 * text of it.
 */
export const MEDIA_NAMES = UUID_FIELDS.concat(EMBEDDED_INPUTS, 'source', 'url', 'uuid', 'input')
export const LONGEST_MEDIA_NAME = 12
/** Top-level names whose nested values no engine fetches: schemas of tools and answers, and what clients note for themselves. */
export const UNREAD_FIELDS = ['tools', 'metadata', 'response_format']
