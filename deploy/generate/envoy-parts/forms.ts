import { MODEL_HEADER, type OpenRoutes } from '../../../src/gateway/headers.ts'
import { render, type Values } from '../template.ts'

/** For files that read JSON only. */
export const WITHOUT_FORMS: Values = { formReader: [], formCall: [] }

/** What model-header.lua.template has more where routes are open whose bodies are forms. */
export function formParts({ MODEL_ROUTES }: OpenRoutes): Values {
  const FORM_ROUTES = MODEL_ROUTES.filter(({ model }) => model === 'form')
  if (FORM_ROUTES.length === 0) return WITHOUT_FORMS
  return {
    formReader: [render('lua/model-in-form.lua.template', { FORM_ROUTES, MODEL_HEADER })],
    formCall: ['if FORMS[path] then return on_form(handle) end'],
  }
}
