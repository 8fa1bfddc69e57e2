// Scale, restart, roll back: each shows what it will do, and asks.

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { jsonPatch, type Operation, patch } from "@/api/kinds";
import { useWorkloadPlan } from "@/api/plans";
import { ApiError } from "@/api/request";
import { useForbidden } from "@/api/role";
import type { Workload } from "@/api/types";
import { desired } from "@/model/workload";
import { Action } from "@/ui/action";
import { Confirm } from "@/ui/dialog";
import { Field, Select, TextInput } from "@/ui/field";
import { Foreseen } from "@/ui/foreseen";
import { earlier, restartInstant, rollbackBlocked } from "./changes";

const MOST = 200;

export function Controls({ workload }: { workload: Workload }) {
  const [open, setOpen] = useState<"scale" | "restart" | "rollback">();
  const forbidden = useForbidden("Workload");
  const close = () => setOpen(undefined);
  return (
    <>
      <Action icon="workload" blocked={forbidden} onClick={() => setOpen("scale")}>
        Scale
      </Action>
      <Action icon="restart" blocked={forbidden} onClick={() => setOpen("restart")}>
        Restart
      </Action>
      <Action
        icon="back"
        blocked={forbidden ?? rollbackBlocked(workload)}
        onClick={() => setOpen("rollback")}
      >
        Roll back
      </Action>
      {open === "scale" && <ScaleDialog workload={workload} onClose={close} />}
      {open === "restart" && <RestartDialog workload={workload} onClose={close} />}
      {open === "rollback" && <RollbackDialog workload={workload} onClose={close} />}
    </>
  );
}

type DialogProps = { workload: Workload; onClose: () => void };

function ScaleDialog({ workload, onClose }: DialogProps) {
  const [text, setText] = useState(String(desired(workload)));
  const { name, generation } = workload.metadata;
  const fewest = workload.spec.container ? 1 : 0;
  const wanted = /^\d{1,3}$/.test(text) ? Number(text) : undefined;
  const change = { spec: { replicas: wanted } };
  const scale = useMutation({ mutationFn: () => patch("Workload", name, change), onSuccess: onClose });
  const invalid =
    wanted === undefined || wanted < fewest || wanted > MOST
      ? `Enter a number from ${fewest} to ${MOST}.`
      : wanted === desired(workload)
        ? `It has ${wanted} replica${wanted === 1 ? "" : "s"} already.`
        : undefined;
  const check = useWorkloadPlan(name, generation, change, !invalid);
  // An engine that does not answer prevents no scaling.
  const refused = !invalid && check.error instanceof ApiError && check.error.code < 500;
  return (
    <Confirm
      title={`Scale ${name}`}
      consequence={
        <>
          <Field
            label="Replicas"
            hint={`now ${desired(workload)}${workload.spec.container ? ", the adopted container counted" : ""}`}
          >
            {(id) => (
              <div className="flex gap-2">
                <Action icon="down" bare onClick={() => setText(String(Math.max(fewest, (wanted ?? 1) - 1)))}>
                  One fewer
                </Action>
                <TextInput
                  id={id}
                  inputMode="numeric"
                  className="max-w-24 text-center"
                  value={text}
                  autoFocus
                  onChange={(event) => setText(event.target.value.trim())}
                />
                <Action icon="up" bare onClick={() => setText(String(Math.min(MOST, (wanted ?? 0) + 1)))}>
                  One more
                </Action>
              </div>
            )}
          </Field>
          {wanted !== undefined && !invalid && (
            <Foreseen plan={check.data} error={refused ? null : check.error} />
          )}
          {workload.spec.autoscale && (
            <p className="text-warn">
              It scales by load: the number you set is held for{" "}
              {workload.spec.autoscale.holdAfterManual ?? "10m"}, then the load decides again.
            </p>
          )}
        </>
      }
      verb={wanted !== undefined && wanted < desired(workload) ? "Scale in" : "Scale out"}
      danger={wanted !== undefined && wanted < desired(workload)}
      icon="workload"
      blocked={invalid ?? (refused ? "The server refuses this number" : undefined)}
      busy={scale.isPending}
      error={scale.error ?? (refused ? check.error : null)}
      onConfirm={() => scale.mutate()}
      onClose={onClose}
    />
  );
}

function RestartDialog({ workload, onClose }: DialogProps) {
  const { name, generation } = workload.metadata;
  const [change] = useState(() => ({ spec: { restartedAt: restartInstant(workload, new Date()) } }));
  const foreseen = useWorkloadPlan(name, generation, change, true);
  const restart = useMutation({
    mutationFn: () =>
      patch("Workload", name, { spec: { restartedAt: restartInstant(workload, new Date()) } }),
    onSuccess: onClose,
  });
  return (
    <Confirm
      title={`Restart ${name}`}
      consequence={<Foreseen plan={foreseen.data} error={foreseen.error} />}
      verb="Restart"
      icon="restart"
      danger
      busy={restart.isPending}
      error={restart.error}
      onConfirm={() => restart.mutate()}
      onClose={onClose}
    />
  );
}

function RollbackDialog({ workload, onClose }: DialogProps) {
  const choices = earlier(workload);
  const [chosen, setChosen] = useState((choices.find((one) => one.wasReady) ?? choices[0])?.revision ?? "");
  const to = choices.find((revision) => revision.revision === chosen);
  const { name, generation } = workload.metadata;
  const change: Operation[] = [
    // Only if there was no other write meanwhile.
    { op: "test", path: "/metadata/generation", value: generation },
    { op: "replace", path: "/spec/template", value: to?.template },
  ];
  const foreseen = useWorkloadPlan(name, generation, change, to !== undefined);
  const rollback = useMutation({
    mutationFn: () => jsonPatch("Workload", name, change),
    onSuccess: onClose,
  });
  return (
    <Confirm
      title={`Roll back ${name}`}
      consequence={
        <>
          <Field label="To revision">
            {(id) => (
              <Select id={id} value={chosen} onChange={(event) => setChosen(event.target.value)}>
                {choices.map((revision) => (
                  <option key={revision.revision} value={revision.revision}>
                    {revision.revision} – {revision.image}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          {to && (
            <>
              <p className="text-soft">
                {to.wasReady
                  ? "All replicas were once ready on it."
                  : "Not all replicas were ever ready on it."}
              </p>
              <Foreseen plan={foreseen.data} error={foreseen.error} />
            </>
          )}
        </>
      }
      verb="Roll back"
      icon="back"
      danger
      busy={rollback.isPending}
      error={rollback.error}
      onConfirm={() => rollback.mutate()}
      onClose={onClose}
    />
  );
}
