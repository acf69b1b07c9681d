import { type AdminClient, ApiError } from '../admin-client.ts'
import { OutcomeUnknown } from '../connection/patience.ts'
import { CliError } from '../exit-codes.ts'
import type { Plan } from './plan.ts'
import { titleOf } from './plan-text.ts'
import type { Run, Step } from './step.ts'

/** Lost responses that a run continues after: more of them are a fault of the network. */
const MOST_PLANS = 10

/**
 * Carries out a plan. Where the response to a change was lost, and its result is unknown, the rest is planned `again`.
 * @throws {CliError}
 */
export async function performWhole(
  admin: AdminClient,
  plan: Plan,
  { done, again }: { done: (step: Step) => void; again: (why: OutcomeUnknown) => Promise<Plan> },
): Promise<void> {
  let rest = plan
  for (let plans = 1; ; plans++) {
    try {
      return await performPlan(admin, rest, done)
    } catch (error) {
      if (!(error instanceof CliError && error.cause instanceof OutcomeUnknown) || plans === MOST_PLANS)
        throw error
      rest = await again(error.cause)
    }
  }
}

/**
 * Carries out the steps, one after another. What was done stays when one fails: the next run continues from there.
 * @throws {CliError} that names the step, its place in the files, and how many were done
 */
export async function performPlan(admin: AdminClient, plan: Plan, done: (step: Step) => void): Promise<void> {
  const run: Run = { admin, set: plan.set, ids: new Map(plan.ids) }
  for (const [index, step] of plan.steps.entries()) {
    try {
      await step.perform(run)
    } catch (error) {
      throw failed(step, index, plan.steps.length, error)
    }
    done(step)
  }
}

function failed(step: Step, done: number, all: number, error: unknown): unknown {
  if (!(error instanceof CliError)) return error
  const at = (pointer?: string) => (step.document ? `${step.document.at(pointer)}: ` : '')
  const faults =
    error instanceof ApiError
      ? error.faults.map(({ pointer, message }) => {
          const field = pointer.slice(1).replaceAll('/', '.')
          return `${at(pointer)}${field === '' ? '' : `${field} `}${message}`
        })
      : []
  const isStale = error instanceof ApiError && error.code === 'precondition_failed'
  const why = isStale
    ? 'it was changed by someone else since the plan was made, and was not overwritten. Look at "mintmark diff".'
    : faults.length > 0
      ? 'the service rejected it as invalid:'
      : error.message
  const rest = [...(faults.length > 0 ? faults : step.document ? [step.document.at()] : []), ...error.details]
  const progress = `${done} of ${all} steps were done. Run the command again to continue.`
  const failure = new CliError(error.exitCode, `${titleOf(step)}: ${why}`, [...rest, progress])
  failure.cause = error
  return failure
}
