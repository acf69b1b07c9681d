/** LLM tokens as an engine counts them. `cached` is the part of `input` that its prefix cache had. */
export interface CountedTokens {
  input: number
  cached: number
  output: number
}

/** The last count in an answer of vLLM, streamed or not, as far as it goes; undefined: it has none. */
export function usageOf(text: string): CountedTokens | undefined {
  const usages = eventsOf(text).map(
    // biome-ignore lint/suspicious/noExplicitAny: answers of four shapes are read
    (event: any) => event.usage ?? event.response?.usage ?? event.message?.usage,
  )
  const usage = usages.findLast(Boolean)
  if (!usage) return undefined
  const details = usage.prompt_tokens_details ?? usage.input_tokens_details
  const cached = details?.cached_tokens ?? usage.cache_read_input_tokens ?? 0
  // Anthropic's input does not include what the cache had.
  const anthropic = (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0)
  return {
    input: usage.prompt_tokens ?? usage.input_tokens + anthropic,
    cached,
    output: usage.completion_tokens ?? usage.output_tokens ?? 0,
  }
}

/** The objects in a stream, or the one of an answer that is not streamed. A part of an event at the end is ignored. */
export function eventsOf(text: string): object[] {
  if (text.startsWith('{')) return [JSON.parse(text)]
  const whole = text.slice(0, text.lastIndexOf('\n\n') + 2)
  return [...whole.matchAll(/^data: (\{.*)$/gm)].map(([, event = '']) => JSON.parse(event))
}
