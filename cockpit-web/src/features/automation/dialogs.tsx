// Pausing automation and letting it go on, for the host or one workload: each says what it will do, and asks.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { pauseAutomation, resumeAutomation } from "@/api/automation";
import { useForbidden } from "@/api/role";
import type { AutomationView, PauseWanted } from "@/api/types";
import { useAutomation } from "@/live/hooks";
import { keys } from "@/live/live";
import { Action } from "@/ui/action";
import { useNow } from "@/ui/clock";
import { Confirm } from "@/ui/dialog";
import { Field, Select, TextInput } from "@/ui/field";
import { inForce, LONGEST_REASON, SPANS } from "./pause";

type Target = { workload?: string };

/** The button that pauses; while it is paused, the one that ends that. Nothing before it is known which. */
export function PauseControl({ workload }: Target) {
  const { data } = useAutomation();
  const now = useNow();
  if (!data) return null;
  const pause = workload ? data.workloads?.[workload] : data.paused;
  return inForce(pause, now) ? <ResumeAction workload={workload} /> : <PauseAction workload={workload} />;
}

function PauseAction({ workload }: Target) {
  const [open, setOpen] = useState(false);
  const forbidden = useForbidden("Workload");
  return (
    <>
      <Action icon="pause" blocked={forbidden} onClick={() => setOpen(true)}>
        Pause automation
      </Action>
      {open && <PauseDialog workload={workload} onClose={() => setOpen(false)} />}
    </>
  );
}

export function ResumeAction({ workload }: Target) {
  const [open, setOpen] = useState(false);
  const forbidden = useForbidden("Workload");
  return (
    <>
      <Action icon="play" blocked={forbidden} onClick={() => setOpen(true)}>
        Resume automation
      </Action>
      {open && <ResumeDialog workload={workload} onClose={() => setOpen(false)} />}
    </>
  );
}

type DialogProps = Target & { onClose: () => void };

function useChange(change: (wanted: PauseWanted) => Promise<AutomationView>, onClose: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: (view) => {
      queries.setQueryData(keys.automation, view);
      onClose();
    },
  });
}

function Reason({
  value,
  hint,
  onChange,
}: {
  value: string;
  hint: string;
  onChange: (text: string) => void;
}) {
  return (
    <Field label="Reason" hint={hint}>
      {(id) => (
        <TextInput
          id={id}
          value={value}
          maxLength={LONGEST_REASON}
          autoFocus
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}

function PauseDialog({ workload, onClose }: DialogProps) {
  const [reason, setReason] = useState("");
  const [seconds, setSeconds] = useState<number>();
  const pause = useChange(pauseAutomation, onClose);
  return (
    <Confirm
      title={workload ? `Pause automation for ${workload}` : "Pause all automation"}
      consequence={
        <>
          <p>
            {workload
              ? `Nothing of ${workload} is restarted or healed by itself, and its incidents require approval.`
              : "Nothing on this host is restarted or healed by itself, and incidents require approval."}{" "}
            Scaling, rollouts, approvals and load balancers go on.
          </p>
          <Reason value={reason} hint="for those who find it paused" onChange={setReason} />
          <Field label="For">
            {(id) => (
              <Select
                id={id}
                value={seconds ?? ""}
                onChange={({ target }) => setSeconds(target.value ? Number(target.value) : undefined)}
              >
                {SPANS.map((span) => (
                  <option key={span.words} value={span.seconds ?? ""}>
                    {span.words}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </>
      }
      verb="Pause automation"
      icon="pause"
      busy={pause.isPending}
      error={pause.error}
      onConfirm={() => pause.mutate({ workload, reason: reason.trim(), seconds })}
      onClose={onClose}
    />
  );
}

function ResumeDialog({ workload, onClose }: DialogProps) {
  const [reason, setReason] = useState("");
  const resume = useChange(resumeAutomation, onClose);
  return (
    <Confirm
      title={workload ? `Resume automation for ${workload}` : "Resume all automation"}
      consequence={
        <>
          <p>
            Incidents that wait for it are reconciled again at once, and what is still sick is remedied by
            itself.
          </p>
          <Reason value={reason} hint="for the audit log" onChange={setReason} />
        </>
      }
      verb="Resume automation"
      icon="play"
      busy={resume.isPending}
      error={resume.error}
      onConfirm={() => resume.mutate({ workload, reason: reason.trim() })}
      onClose={onClose}
    />
  );
}
