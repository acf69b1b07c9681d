-- Envoy Gateway sends all headers of a denial to the client. These are for gateways.
function envoy_on_response(handle)
  local headers = handle:headers()
  local reason = headers:get("x-mintmark-reason")
  if reason == nil then return end
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("mintmark.check", "reason", reason)
  metadata:set("mintmark.check", "request_id", headers:get("x-request-id") or "")
  headers:remove("x-mintmark-reason")
  headers:remove("x-mintmark-denial")
end
