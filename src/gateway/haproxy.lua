-- Made by scripts/generate-deploy.ts from src/gateway/: do not edit here. docs/guides/haproxy.md explains it.
-- Finds `model` in the body and holds it against the token, whose payload haproxy.cfg has verified.

-- path = the engine takes the priority from the header here. Elsewhere a body's `priority` is refused.
local ROUTES = {
@ROUTES@
}

@SCANNER@
-- The names are of letters, digits and -._:/@, so a name in quotes is found only as a whole member of the list.
local function holds(payload, claim, model)
  local list = string.match(payload, '"' .. claim .. '":(%b[])') or ""
  return find(list, '"' .. model .. '"', 1, true) ~= nil
end

core.register_action("mintmark_model", { "http-req" }, function(txn)
  local model, fault = read_model(txn.sf:req_body() or "", ROUTES[txn.sf:path()])
  if fault then
    txn:set_var("txn.fault", fault)
  elseif #model <= 96 and find(model, "^%w[-%w._:/@]*$") then
    local payload = txn:get_var("txn.payload") or ""
    if holds(payload, "models", model) or holds(payload, "adapters", model) then txn:set_var("txn.model", model) end
  end
end, 0)
