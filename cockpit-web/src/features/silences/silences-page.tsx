// Silences: of what people are not notified, by whom, why and until when; a new one, and the end of one.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { create, patch } from "@/api/kinds";
import { useForbidden, useWho } from "@/api/role";
import type { Silence } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { keys } from "@/live/live";
import { Action } from "@/ui/action";
import { useNow } from "@/ui/clock";
import { Confirm } from "@/ui/dialog";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Field, Select, TextInput } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";
import { about, inOrder, LONGEST_REASON, SPANS, STATES, silenceOf, stateOf, windowsOf } from "./silence";

export default function SilencesPage() {
  const { data, error, refetch } = useObjects("Silence");
  const [open, setOpen] = useState(false);
  const forbidden = useForbidden("Silence");
  const now = useNow();
  const all = inOrder(data?.values() ?? [], now);
  return (
    <Page
      title="Silences"
      note="people are not notified of what is silenced; incidents open and are healed all the same, unless automation is held"
      actions={
        <Action icon="plus" look="primary" blocked={forbidden} onClick={() => setOpen(true)}>
          New silence
        </Action>
      }
    >
      {open && <NewSilence onClose={() => setOpen(false)} />}
      <Panel title={`${all.length} ${all.length === 1 ? "silence" : "silences"}`} flush>
        {error && <Failure error={error} retry={() => void refetch()} />}
        {!data && !error && <Loading what="silences" />}
        {data && all.length === 0 && (
          <Empty icon="bell" title="Nothing is silenced">
            People are notified of every incident, as the policies say.
          </Empty>
        )}
        {all.length > 0 && (
          <ul aria-label="Silences">
            {all.map((silence) => (
              <Row key={silence.metadata.name} silence={silence} now={now} />
            ))}
          </ul>
        )}
      </Panel>
    </Page>
  );
}

function Row({ silence, now }: { silence: Silence; now: number }) {
  const { metadata, spec } = silence;
  const state = stateOf(silence, now);
  const [ends, setEnds] = useState(false);
  const forbidden = useForbidden("Silence");
  return (
    <li
      data-state={state}
      className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b px-4 py-2 text-sm last:border-b-0"
    >
      <span className="min-w-24">
        <StateChip tone={STATES[state].tone} word={STATES[state].word} />
      </span>
      <span className="min-w-0 flex-1">
        <span className="block break-words font-medium">{about(silence)}</span>
        <span className="block break-words text-faint text-xs">
          {spec.reason}, by {spec.owner} ({metadata.name})
        </span>
      </span>
      <span className="text-soft text-xs">
        {windowsOf(silence).map((window) => (
          <span key={window} className="block">
            {window}
          </span>
        ))}
        {spec.until && (
          <span className="block">
            {state === "expired" ? "expired " : "until "}
            <TimeAgo at={spec.until} />
          </span>
        )}
      </span>
      {spec.automation === "Hold" && <StateChip tone="warn" icon="pause" word="Automation is held" />}
      {state !== "expired" && (
        <Action blocked={forbidden} onClick={() => setEnds(true)}>
          End
        </Action>
      )}
      {ends && <EndSilence silence={silence} onClose={() => setEnds(false)} />}
    </li>
  );
}

function useChange<T>(change: (wanted: T) => Promise<unknown>, onClose: () => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: keys.objects("Silence") });
      onClose();
    },
  });
}

function EndSilence({ silence, onClose }: { silence: Silence; onClose: () => void }) {
  const { name } = silence.metadata;
  const end = useChange(
    () => patch("Silence", name, { spec: { from: null, until: new Date().toISOString() } }),
    onClose,
  );
  return (
    <Confirm
      title={`End silence ${name}`}
      consequence={<p>People are notified again, also of what is still open. It stays listed as expired.</p>}
      verb="End silence"
      busy={end.isPending}
      error={end.error}
      onConfirm={() => end.mutate(undefined)}
      onClose={onClose}
    />
  );
}

function NewSilence({ onClose }: { onClose: () => void }) {
  const { user } = useWho();
  const { data } = useObjects("Workload");
  const [workload, setWorkload] = useState("");
  const [reason, setReason] = useState("");
  const [seconds, setSeconds] = useState(3_600);
  const [hold, setHold] = useState(false);
  const add = useChange(
    () =>
      create(
        "Silence",
        silenceOf({ workload, reason: reason.trim(), seconds, hold }, user || "somebody", Date.now()),
      ),
    onClose,
  );
  return (
    <Confirm
      title="New silence"
      consequence={
        <>
          <p>People are not notified of what is about it. Weekly windows are written under Manifests.</p>
          <Field label="Workload">
            {(id) => (
              <Select id={id} value={workload} onChange={({ target }) => setWorkload(target.value)}>
                <option value="">Every workload</option>
                {[...(data?.keys() ?? [])].sort().map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </Select>
            )}
          </Field>
          <Field label="Reason" hint="for those who wonder at the quiet">
            {(id) => (
              <TextInput
                id={id}
                value={reason}
                maxLength={LONGEST_REASON}
                onChange={({ target }) => setReason(target.value)}
              />
            )}
          </Field>
          <Field label="For">
            {(id) => (
              <Select id={id} value={seconds} onChange={({ target }) => setSeconds(Number(target.value))}>
                {SPANS.map((span) => (
                  <option key={span.seconds} value={span.seconds}>
                    {span.words}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          <label className="flex items-center gap-2">
            <input type="checkbox" checked={hold} onChange={({ target }) => setHold(target.checked)} />
            Automation holds still meanwhile
          </label>
        </>
      }
      verb="Silence"
      busy={add.isPending}
      blocked={reason.trim() ? undefined : "Say why: others will wonder at the quiet."}
      error={add.error}
      onConfirm={() => add.mutate(undefined)}
      onClose={onClose}
    />
  );
}
