// The analyst's reasoning: as it streams, and afterwards as it was saved.

import type { Incident } from "@/api/types";
import { useReasoning } from "@/live/hooks";
import { frameId } from "@/model/incident";
import { spoken } from "@/model/words";
import { Fact, Facts, Mono } from "@/ui/data";
import { Empty } from "@/ui/empty";
import { Icon } from "@/ui/icon";
import { Panel } from "@/ui/panel";
import { duration } from "@/ui/time";
import { Typewriter } from "./typewriter";

export function ReasoningPanel({ incident }: { incident: Incident }) {
  const live = useReasoning(frameId(incident));
  const analysis = incident.status?.analysis;
  const saved = analysis?.reasoning;
  // What was streamed whole is shown; otherwise what was saved, as soon as it is.
  const text = live && !(live.partial && saved) ? live.text : saved;
  const writing = live !== undefined && !live.done && !analysis;
  return (
    <Panel
      title="Reasoning"
      note={analysis ? <Who incident={incident} /> : undefined}
      actions={
        writing ? (
          <span className="flex items-center gap-1.5 text-info text-xs">
            <Icon name="spin" className="size-3 animate-spin" />
            thinking
          </span>
        ) : undefined
      }
    >
      {live?.restarted && (
        <p className="mb-3 rounded-md bg-warn-tint px-3 py-2 text-sm text-warn">
          Begun again with another provider, as the one before failed: {live.restarted}
        </p>
      )}
      {text ? (
        <div aria-live="off" data-testid="reasoning" className="font-mono text-soft text-xs leading-5">
          {live?.partial && !saved && <span className="text-faint">… </span>}
          <Typewriter key={frameId(incident)} text={text} live={live !== undefined} />
        </div>
      ) : (
        <Empty icon="clock" title="Nothing yet">
          The analyst writes here as soon as the evidence is collected.
        </Empty>
      )}
      {analysis && (
        <div className="mt-4 border-t pt-4">
          <Facts columns={3}>
            <Fact name="Root cause" wide>
              {analysis.proposal.rootCause}
            </Fact>
            <Fact name="Proposed action">
              <strong className="font-semibold">{spoken(analysis.proposal.action)}</strong>
              {analysis.proposal.replicaCount ? ` by ${analysis.proposal.replicaCount}` : ""}
            </Fact>
            <Fact name="Confidence">
              <Confidence value={analysis.proposal.confidence} />
            </Fact>
            <Fact name="Why" wide>
              {analysis.proposal.justification}
            </Fact>
          </Facts>
          {(analysis.attempts?.length ?? 0) > 0 && (
            <ul className="mt-3 space-y-1 text-warn text-xs">
              {analysis.attempts?.map((attempt) => (
                <li key={`${attempt.provider}${attempt.reason}`}>
                  {attempt.provider} ({attempt.model}) gave no usable answer: {attempt.reason}
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </Panel>
  );
}

function Who({ incident }: { incident: Incident }) {
  const analysis = incident.status?.analysis;
  if (!analysis) return null;
  const builtin = analysis.provider === "builtin";
  return (
    <span className="inline-flex flex-wrap items-center gap-x-1">
      {builtin ? "built-in analyst, rule" : `${analysis.provider},`} <Mono>{analysis.model}</Mono>
      <span>· {duration(analysis.latencyMs)}</span>
      {analysis.tokens ? <span>· {analysis.tokens} tokens</span> : null}
    </span>
  );
}

export function Confidence({ value }: { value: number }) {
  const percent = Math.round(value * 100);
  return (
    <span className="inline-flex items-center gap-2">
      <span aria-hidden="true" className="h-1.5 w-20 overflow-hidden rounded-full bg-line">
        <span className="block h-full rounded-full bg-accent" style={{ width: `${percent}%` }} />
      </span>
      {percent} %
    </span>
  );
}
