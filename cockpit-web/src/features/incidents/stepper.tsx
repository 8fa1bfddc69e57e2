import type { Incident } from "@/api/types";
import { Icon, type IconName } from "@/ui/icon";
import { between, duration, exact } from "@/ui/time";
import { lifecycle, type Step } from "./lifecycle";

const LOOKS: Record<Step["state"], { icon: IconName; look: string; word: string }> = {
  done: { icon: "check", look: "border-ok bg-ok-tint text-ok", word: "done" },
  now: { icon: "spin", look: "border-info bg-info-tint text-info", word: "under way" },
  waiting: { icon: "person", look: "border-warn bg-warn-tint text-warn", word: "requires approval" },
  failed: { icon: "cross", look: "border-bad bg-bad-tint text-bad", word: "failed" },
  ahead: { icon: "idle", look: "border-line bg-sunken text-faint", word: "not reached" },
};

/** The life of an incident from left to right, with how long each step took. */
export function Stepper({ incident }: { incident: Incident }) {
  const steps = lifecycle(incident);
  return (
    <ol
      aria-label="Lifecycle"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable from the keyboard
      tabIndex={0}
      className="scroll-thin flex flex-wrap gap-1 overflow-x-auto sm:flex-nowrap rounded-lg border bg-panel p-3"
    >
      {steps.map((step, index) => {
        const { icon, look, word } = LOOKS[step.state];
        const next = steps.slice(index + 1).find((later) => later.at)?.at;
        return (
          <li
            key={step.name}
            className="flex min-w-24 flex-1 flex-col gap-1"
            aria-current={step.state === "now" ? "step" : undefined}
          >
            <span className="flex items-center gap-1">
              <span
                className={`flex size-6 shrink-0 items-center justify-center rounded-full border ${look}`}
              >
                <Icon name={icon} className={`size-3.5 ${step.state === "now" ? "animate-spin" : ""}`} />
              </span>
              {index < steps.length - 1 && (
                <span className={`h-px flex-1 ${step.state === "done" ? "bg-ok" : "bg-line-strong"}`} />
              )}
            </span>
            <span className={`text-xs ${step.state === "ahead" ? "text-faint" : "font-medium"}`}>
              {step.name}
              <span className="sr-only">, {word}</span>
            </span>
            <span className="text-2xs text-faint" title={step.at ? exact(step.at) : undefined}>
              {step.at && next
                ? duration(between(step.at, next))
                : step.state === "now"
                  ? "now"
                  : step.state === "waiting"
                    ? "your turn"
                    : "\u00a0"}
            </span>
          </li>
        );
      })}
    </ol>
  );
}
