// The plan, what it changes, and the decision on it where a person has to make one.

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { patch } from "@/api/kinds";
import { useIncidentPlan } from "@/api/plans";
import { useForbidden } from "@/api/role";
import type { Incident, Plan } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { phaseOf } from "@/model/incident";
import { spoken } from "@/model/words";
import { condition } from "@/model/workload";
import { Action } from "@/ui/action";
import { Fact, Facts, Mono } from "@/ui/data";
import { Confirm } from "@/ui/dialog";
import { DiffView } from "@/ui/diff-view";
import { Foreseen } from "@/ui/foreseen";
import { Icon } from "@/ui/icon";
import { Panel } from "@/ui/panel";
import { TimeAgo } from "@/ui/time-ago";
import { planTexts } from "./plan";

export function PlanPanel({ incident }: { incident: Incident }) {
  const { data: workloads } = useObjects("Workload");
  const plan = incident.status?.plan;
  if (!plan) return null;
  const execution = incident.status?.execution;
  const workload = workloads?.get(plan.target);
  const { before, after } = planTexts(plan, incident, workload);
  const policy = condition(incident.status?.conditions, "PolicyAllows");
  const said = phaseOf(incident) === "DRY_RUN" && condition(incident.status?.conditions, "Executed");
  return (
    <Panel
      title="Plan"
      note={
        <span>
          {spoken(plan.action)}{" "}
          <Link to={`/workloads/${encodeURIComponent(plan.target)}`} className="text-accent hover:underline">
            {plan.target}
          </Link>
        </span>
      }
    >
      {phaseOf(incident) === "AWAITING_APPROVAL" && <Decision incident={incident} plan={plan} />}
      <Facts columns={3}>
        <Fact name="Hash">
          <Mono>{plan.hash}</Mono>
        </Fact>
        <Fact name="Made for generation">{plan.parentGeneration}</Fact>
        <Fact name="Made">
          <TimeAgo at={plan.createdAt} />
        </Fact>
        {policy && (
          <Fact name="Policy" wide>
            {policy.message}
          </Fact>
        )}
        {incident.spec.approval && (
          <Fact name="Decided" wide>
            {incident.spec.approval.decision === "Approve" ? "Approved" : "Rejected"} by{" "}
            {incident.spec.approval.by || "somebody"} for plan <Mono>{incident.spec.approval.planHash}</Mono>
          </Fact>
        )}
      </Facts>
      <div className="mt-4">
        {after ? (
          <DiffView label="What the plan changes" before={before} after={after} />
        ) : (
          <p className="text-faint text-sm">It changes nothing: the proof is the probe.</p>
        )}
      </div>
      {said && <p className="mt-3 text-soft text-sm">{said.message}</p>}
      {execution?.appliedAt && (
        <p className="mt-3 text-soft text-sm">
          Applied <TimeAgo at={execution.appliedAt} />
          {execution.convergedAt ? (
            <>
              , in force <TimeAgo at={execution.convergedAt} />
            </>
          ) : (
            ", converging"
          )}
          {execution.containers?.length ? `: ${execution.containers.join(", ")}` : ""}
          {execution.lbConfigured === true && "; the load balancer serves the result"}
        </p>
      )}
      {(incident.status?.tried?.length ?? 0) > 0 && (
        <ul className="mt-3 space-y-1 text-sm text-warn">
          {incident.status?.tried?.map((tried) => (
            <li key={tried.planHash}>
              Tried before: {spoken(tried.action)} – {tried.error}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Decision({ incident, plan }: { incident: Incident; plan: Plan }) {
  const [asking, setAsking] = useState<"Approve" | "Reject">();
  const forbidden = useForbidden("Incident");
  const { data: foreseen, error: unforeseen } = useIncidentPlan(incident.metadata.name, plan.hash, true);
  const decided = incident.spec.approval?.planHash === plan.hash ? incident.spec.approval : undefined;
  const decide = useMutation({
    mutationFn: (decision: "Approve" | "Reject") =>
      patch("Incident", incident.metadata.name, {
        spec: { approval: { decision, planHash: plan.hash } },
      }),
    onSuccess: () => setAsking(undefined),
  });
  const blocked =
    forbidden ?? (decided ? "It is decided already; the controller takes it up now." : undefined);
  return (
    <div className="mb-4 flex flex-wrap items-center gap-3 rounded-md border border-warn/40 bg-warn-tint p-3">
      <Icon name="person" className="size-5 text-warn" />
      <p className="min-w-48 flex-1 text-sm">
        <strong className="font-semibold">This plan requires approval.</strong>{" "}
        {foreseen && `${spoken(plan.action)} ${plan.target}: ${foreseen.clients.message}.`}
      </p>
      <div className="flex gap-2">
        <Action icon="cross" blocked={blocked} onClick={() => setAsking("Reject")}>
          Reject
        </Action>
        <Action look="primary" icon="check" blocked={blocked} onClick={() => setAsking("Approve")}>
          Approve
        </Action>
      </div>
      {asking && (
        <Confirm
          title={asking === "Approve" ? `Approve ${spoken(plan.action).toLowerCase()}?` : "Reject this plan?"}
          consequence={
            <>
              {asking === "Approve" ? (
                <Foreseen plan={foreseen} error={unforeseen} />
              ) : (
                <p>
                  Nothing is changed. The incident ends as failed, and the trouble stays until somebody deals
                  with it.
                </p>
              )}
              <p className="text-faint">
                You decide on plan <Mono>{plan.hash}</Mono>. Should it change before your decision arrives,
                the decision does not count.
              </p>
            </>
          }
          verb={asking}
          danger={asking === "Reject"}
          icon={asking === "Approve" ? "check" : "cross"}
          busy={decide.isPending}
          error={decide.error}
          onConfirm={() => decide.mutate(asking)}
          onClose={() => {
            setAsking(undefined);
            decide.reset();
          }}
        />
      )}
    </div>
  );
}
