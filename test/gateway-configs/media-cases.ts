const MODEL = '"model":"acme-sql"'
const PICTURE = 'data:image/png;base64,iVBORw0KGgo='

/** A chat message with these parts, as they are written. */
const parts = (...written: string[]) =>
  `{${MODEL},"messages":[{"role":"user","content":[{"type":"text","text":"What is it?"},${written.join(',')}]}]}`
const image = (url: string) => parts(`{"type":"image_url","image_url":{"url":${url}}}`)

/** Bodies by which an engine would fetch an address, or take another request's media, and the name that the message has. */
export const FETCHING_BODIES: [what: string, body: string, named: string][] = [
  ['an address', image('"http://169.254.169.254/latest/meta-data"'), 'url'],
  ['https', image('"https://example.com/cat.png"'), 'url'],
  ['a file', image('"file:///etc/passwd"'), 'url'],
  ['an address with escapes', image('"\\u0068ttp://10.0.0.9/"'), 'url'],
  ['an address after white space', image('" http://10.0.0.9/"'), 'url'],
  [
    'a list that begins with data',
    parts(`{"image_url":{"url":"${PICTURE}","url":"http://10.0.0.9/"}}`),
    'url',
  ],
  ['the short form', parts('{"type":"image_url","image_url":"http://10.0.0.9/"}'), 'image_url'],
  ['a sound', parts('{"type":"audio_url","audio_url":{"url":"http://10.0.0.9/"}}'), 'url'],
  ['a film', parts('{"type":"video_url","video_url":{"url":"http://10.0.0.9/"}}'), 'url'],
  ['a name with escapes', parts('{"image\\u005furl":{"\\u0075rl":"http://10.0.0.9/"}}'), 'url'],
  ['white space', parts('{"image_url" \n: \t{ "detail":"low", "url"\r\n :\n"http://10.0.0.9/"}}'), 'url'],
  [
    'after brackets in a text',
    parts('{"a":"}]{\\"","image_url":{"b":{"url":1},"url":"http://10.0.0.9/"}}'),
    'url',
  ],
  [
    'after another one',
    parts(`{"image_url":{"url":"${PICTURE}"}}`, '{"image_url":"http://10.0.0.9/"}'),
    'image_url',
  ],
  [
    'of the Responses API',
    `{${MODEL},"input":[{"role":"user","content":[{"type":"input_image","image_url":"http://10.0.0.9/"}]}]}`,
    'image_url',
  ],
  ["in Anthropic's form", parts('{"type":"image","source":{"type":"url","url":"http://10.0.0.9/"}}'), 'url'],
  [
    'in a document',
    parts('{"type":"document","source":{"content":[{"source":{"url":"http://10.0.0.9/"}}]}}'),
    'url',
  ],
  ['a list of images', `{${MODEL},"images":["${PICTURE}","http://10.0.0.9/"]}`, 'images'],
  [
    'of an input to be ranked',
    `{${MODEL},"documents":{"content":[{"image_url":{"url":"http://10.0.0.9/"}}]}}`,
    'url',
  ],
  ['an input to be embedded', `{${MODEL},"input":[{"text":"x","image":"http://10.0.0.9/"}]}`, 'image'],
  [
    'a film among inputs',
    `{${MODEL},"input":[{"text":"x"},{"image":"${PICTURE}","v\\u0069deo" : "/etc/passwd"}]}`,
    'video',
  ],
  [
    'after the arguments of a tool',
    parts('{"type":"tool_use","input":{"url":"x"}}', '{"image_url":"http://10.0.0.9/"}'),
    'image_url',
  ],
  [
    'beside the arguments of a tool',
    parts('{"type":"image_url","input":{"a":[{}]},"image_url":{"url":"http://10.0.0.9/"}}'),
    'url',
  ],
  [
    'below an input that is no argument',
    `{${MODEL},"messages":[{"role":"user","input":{"image_url":"http://10.0.0.9/"}}]}`,
    'image_url',
  ],
  ['media of another request', parts('{"type":"image_url","image_url":null,"uuid":"logo"}'), 'uuid'],
  [
    'an image object of another request',
    parts('{"type":"image_pil","image_pil":null,"uuid":"logo"}'),
    'uuid',
  ],
  ['a film of another request', parts('{"uuid":"logo","video_embeds":null}'), 'uuid'],
  ['a uuid first', parts(`{"uuid":"logo","input_audio":{"data":"UklGRg=="}}`), 'uuid'],
]

/** Bodies by which no engine fetches anything. */
export const EMBEDDING_BODIES: [what: string, body: string][] = [
  ['a picture', image(`"${PICTURE}"`)],
  ['a picture in capitals', image(`"DATA:image/png;base64,iVBORw0KGgo="`)],
  ['the short form', parts(`{"type":"image_url","image_url":"${PICTURE}"}`)],
  ["Anthropic's form", parts('{"type":"image","source":{"type":"base64","data":"iVBORw0KGgo="}}')],
  [
    'the arguments of a tool',
    parts(
      '{"input":{"image_url":"https://example.com/","source":{"url":"file:///a"},"uuid":"7"},"type":"tool_use"}',
    ),
  ],
  ['inputs to be embedded', `{${MODEL},"input":[{"text":"http://10.0.0.9/","image":"${PICTURE}"}]}`],
  [
    'the name of an image elsewhere',
    `{${MODEL},"messages":[{"content":"x","image":"a.png"}],"input":[[{"image":"a.png"}]]}`,
  ],
  ['an address in a text', parts('{"type":"text","text":"http://example.com/ and image_url"}')],
  ['an address as a whole text', `{${MODEL},"messages":[{"role":"user","content":"http://example.com/"}]}`],
  ['a document with an address', `{${MODEL},"documents":[{"url":"http://example.com/","source":"the web"}]}`],
  [
    'a tool that takes an address',
    `{${MODEL},"tools":[{"parameters":{"properties":{"image_url":{"type":"string","url":"http://example.com/"}}}}]}`,
  ],
  ['a note', `{${MODEL},"metadata":{"image_url":"http://example.com/","uuid":"7"}}`],
  [
    'a uuid of something else',
    `{${MODEL},"messages":[{"uuid":"7","content":[{"image_url":{"url":"${PICTURE}"}}]}]}`,
  ],
  ['a list of images', `{${MODEL},"images":["${PICTURE}"]}`],
]
