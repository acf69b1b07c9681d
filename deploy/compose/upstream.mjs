// Replaces vLLM in this example: answers every OpenAI route with the identity headers that Envoy set from the token.
import { createServer } from 'node:http'

const IDENTITY =
  /^(x-tenant-id|x-priority|x-vllm-priority|x-lora-adapters|x-llm-d-.*|x-gateway-inference-.*|user)$/

createServer((req, res) => {
  const names = Object.keys(req.headers)
    .filter(name => IDENTITY.test(name))
    .sort()
  const identity = Object.fromEntries(names.map(name => [name, req.headers[name]]))
  req.resume().on('end', () => {
    res.setHeader('content-type', 'application/json')
    res.end(`${JSON.stringify({ object: 'mintmark.example', path: req.url, headers: identity })}\n`)
  })
}).listen(8000, () => console.log('upstream on 8000'))
