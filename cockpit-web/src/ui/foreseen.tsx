// What a change would do: the steps of the controller's plan, and what clients would notice.

import type { WorkloadPlan } from "@/api/types";

const WORDS = {
  create: "is made",
  start: "is started",
  restart: "is restarted",
  remove: "stops and is removed",
} as const;

type Props = {
  plan: WorkloadPlan | undefined;
  error: Error | null;
};

export function Foreseen({ plan, error }: Props) {
  if (error) return <p className="text-warn">What it would do is not known: {error.message}</p>;
  if (!plan) return <p className="text-faint">Asking what it would do…</p>;
  const { clients } = plan;
  return (
    <div role="status" className="space-y-2">
      <p className="font-medium">{sentence(clients.message)}</p>
      <p className="text-soft">
        {clients.servingBefore} serve now, at least {clients.servingLeast} meanwhile, {clients.servingAfter}{" "}
        in the end.
      </p>
      {plan.steps.length > 0 ? (
        <ol className="scroll-thin max-h-48 list-decimal space-y-0.5 overflow-auto pl-6 text-soft">
          {plan.steps.map((step) => (
            <li key={`${step.pass} ${step.action} ${step.container}`} className="break-words">
              {step.container} {WORDS[step.action]}
            </li>
          ))}
        </ol>
      ) : (
        <p className="text-soft">Nothing is done to any container.</p>
      )}
      {!plan.complete && <p className="text-warn">Something is left to be done in the end.</p>}
      {[...plan.waiting, ...plan.refused].map((why) => (
        <p key={why} className="text-warn">
          {sentence(why)}
        </p>
      ))}
    </div>
  );
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return first.endsWith(".") ? first : `${first}.`;
}
