// What was learned: search by similarity as the analyst does, correct what is wrong, delete what misleads.

import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useDeferredValue, useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { patch, remove } from "@/api/kinds";
import { request } from "@/api/request";
import { useForbidden } from "@/api/role";
import type { Answer, RunbookEntry } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { spoken } from "@/model/words";
import { Action } from "@/ui/action";
import { CodeBlock, Fact, Facts, Mono } from "@/ui/data";
import { Confirm, Dialog } from "@/ui/dialog";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Field, SearchBox, Select } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { SeverityWord } from "@/ui/phase-chip";
import { TimeAgo } from "@/ui/time-ago";
import { VirtualList } from "@/ui/virtual-list";
import { type Ranked, rank } from "./rank";

export default function RunbookPage() {
  const [search, setSearch] = useSearchParams();
  const [text, setText] = useState("");
  const asked = useDeferredValue(text.trim());
  const { data, error, refetch } = useObjects("RunbookEntry");
  const similar = useQuery({
    queryKey: ["rag", asked],
    queryFn: ({ signal }) =>
      request<Answer<"/rag/test">>(`/rag/test?logs=${encodeURIComponent(asked)}`, { signal }),
    enabled: asked !== "",
    placeholderData: (before) => before,
    staleTime: 0,
  });
  const shown = useMemo(() => rank(data?.values() ?? [], asked, similar.data), [data, asked, similar.data]);
  const chosen = data?.get(search.get("entry") ?? "") ?? shown[0]?.entry;
  const choose = (name: string) => setSearch(name ? { entry: name } : {}, { replace: true });
  return (
    <Page
      title="Runbook"
      note="only what was verified is learned"
      fill
      actions={
        <SearchBox
          label="Search the runbook as the analyst does"
          placeholder="Paste a log line"
          value={text}
          onChange={setText}
        />
      }
    >
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="the runbook" />}
      {data?.size === 0 && (
        <Empty icon="runbook" title="Nothing learned yet">
          The first incident that is verified as resolved is remembered here. A runbook.json of an earlier
          system is taken in with <code className="font-mono">aegisctl runbook import</code>.
        </Empty>
      )}
      {data && data.size > 0 && (
        <div className="grid min-h-0 flex-1 gap-4 xl:grid-cols-[minmax(0,1fr)_minmax(0,1.300fr)]">
          <Panel
            title={`${shown.length} of ${data.size}`}
            note={asked ? "most similar first" : "most trusted first"}
            className="min-h-64"
            flush
          >
            <VirtualList
              label="Entries"
              items={shown}
              keyOf={(one) => one.entry.metadata.name}
              rowHeight={64}
              className="h-full"
            >
              {(one) => <Row ranked={one} chosen={one.entry === chosen} choose={choose} />}
            </VirtualList>
          </Panel>
          {chosen && <Entry key={chosen.metadata.name} entry={chosen} />}
        </div>
      )}
    </Page>
  );
}

const times = (count: number) => (count === 1 ? "once" : `${count} times`);

function percent(value: number | undefined): string {
  return value === undefined ? "–" : `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`;
}

function Row({
  ranked,
  chosen,
  choose,
}: {
  ranked: Ranked;
  chosen: boolean;
  choose: (name: string) => void;
}) {
  const { entry, score } = ranked;
  return (
    <button
      type="button"
      data-row
      aria-pressed={chosen}
      onClick={() => choose(entry.metadata.name)}
      className="flex w-full items-center gap-3 border-b px-4 py-2 text-left hover:bg-hover focus-visible:-outline-offset-2 aria-pressed:bg-accent-tint"
    >
      <span className="min-w-0 flex-1">
        <span className="block truncate font-medium text-sm">
          {spoken(entry.spec.alertType)} <span className="font-normal text-faint">→</span>{" "}
          {spoken(entry.spec.action)}
        </span>
        <span className="block truncate text-faint text-xs">{entry.spec.rootCause}</span>
      </span>
      {score !== undefined && (
        <span className="text-right text-xs">
          <span className="block font-semibold text-accent">{percent(score)}</span>
          <span className="text-faint">similar</span>
        </span>
      )}
      <span className="text-right text-xs">
        <span className="block font-semibold">{percent(entry.status?.trust)}</span>
        <span className="text-faint">trust</span>
      </span>
    </button>
  );
}

function Entry({ entry }: { entry: RunbookEntry }) {
  const [open, setOpen] = useState<"edit" | "delete">();
  const forbidden = useForbidden("RunbookEntry");
  const { spec, status, metadata } = entry;
  const { data: incidents } = useObjects("Incident");
  const origin = incidents && [...incidents.values()].find((one) => one.status?.learned === metadata.name);
  const close = () => setOpen(undefined);
  return (
    <Panel
      title={`${spoken(spec.alertType)} → ${spoken(spec.action)}`}
      className="scroll-thin overflow-auto"
      actions={
        <>
          <Action icon="edit" blocked={forbidden} onClick={() => setOpen("edit")}>
            Edit
          </Action>
          <Action icon="trash" blocked={forbidden} onClick={() => setOpen("delete")}>
            Delete
          </Action>
        </>
      }
    >
      <Facts>
        <Fact name="Root cause" wide>
          {spec.rootCause}
        </Fact>
        <Fact name="Why that helped" wide>
          {spec.justification || "–"}
        </Fact>
        <Fact name="Trust">
          {percent(status?.trust)} ({outcomeWords(spec.outcomes)})
        </Fact>
        <Fact name="Recalled">
          {times(status?.timesRecalled ?? 0)}
          {status?.lastUsed ? (
            <>
              , last <TimeAgo at={status.lastUsed} />
            </>
          ) : (
            ""
          )}
        </Fact>
        <Fact name="Severity">
          <SeverityWord severity={spec.severity} />
        </Fact>
        <Fact name="Confidence then">{percent(spec.confidence)}</Fact>
        <Fact name="Council">{spec.councilApproved ? "approved it" : "did not decide on it"}</Fact>
        <Fact name="Container">{spec.containerName ?? "unknown"}</Fact>
        <Fact name="Verified">
          <TimeAgo at={spec.resolvedAt} />
        </Fact>
        <Fact name="Learned from">
          {origin ? (
            <Link
              to={`/incidents/${encodeURIComponent(origin.metadata.name)}`}
              className="break-all text-accent hover:underline"
            >
              {spec.incidentId}
            </Link>
          ) : (
            <Mono>{spec.incidentId}</Mono>
          )}
        </Fact>
        {spec.verifiedBy && (
          <Fact name="Proof" wide>
            <Mono className="text-xs">{spec.verifiedBy}</Mono>
          </Fact>
        )}
      </Facts>
      {spec.logs && (
        <div className="mt-4">
          <p className="mb-1 text-faint text-xs">What was seen</p>
          <CodeBlock label="Logs of the entry" text={spec.logs} />
        </div>
      )}
      {open === "edit" && <Edit entry={entry} onClose={close} />}
      {open === "delete" && <Delete entry={entry} onClose={close} />}
    </Panel>
  );
}

const ACTIONS = ["RESTART", "SCALE_UP", "SCALE_DOWN", "ROLLBACK", "NOOP"] as const;
const AREA = "w-full rounded-md border border-line-strong bg-raised p-2 text-sm";

function Edit({ entry, onClose }: { entry: RunbookEntry; onClose: () => void }) {
  const { rootCause, justification = "", action } = entry.spec;
  const [fields, setFields] = useState({ rootCause, justification, action });
  const save = useMutation({
    mutationFn: () => patch("RunbookEntry", entry.metadata.name, { spec: fields }),
    onSuccess: onClose,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (fields.rootCause.trim()) save.mutate();
  };
  return (
    <Dialog title="Edit the entry" onClose={onClose} wide>
      <form onSubmit={submit} className="space-y-3">
        <Field label="Root cause">
          {(id) => (
            <textarea
              id={id}
              rows={3}
              maxLength={2000}
              className={AREA}
              value={fields.rootCause}
              onChange={(event) => setFields({ ...fields, rootCause: event.target.value })}
            />
          )}
        </Field>
        <Field label="What helps">
          {(id) => (
            <Select
              id={id}
              value={fields.action}
              onChange={(event) =>
                setFields({ ...fields, action: ACTIONS.find((one) => one === event.target.value) ?? action })
              }
            >
              {ACTIONS.map((one) => (
                <option key={one} value={one}>
                  {spoken(one)}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Why" hint="The next analysis of a similar incident reads this.">
          {(id) => (
            <textarea
              id={id}
              rows={4}
              maxLength={4000}
              className={AREA}
              value={fields.justification}
              onChange={(event) => setFields({ ...fields, justification: event.target.value })}
            />
          )}
        </Field>
        {save.error && (
          <p role="alert" className="rounded-md bg-bad-tint p-2.5 text-bad text-sm">
            {save.error.message}
          </p>
        )}
        <div className="flex justify-end gap-2">
          <Action onClick={onClose}>Cancel</Action>
          <Action
            type="submit"
            look="primary"
            icon="check"
            busy={save.isPending}
            blocked={fields.rootCause.trim() ? undefined : "Say what was wrong"}
          >
            Save
          </Action>
        </div>
      </form>
    </Dialog>
  );
}

/** Settled outcomes, and those that count for nothing yet. */
function outcomeWords(outcomes: RunbookEntry["spec"]["outcomes"]): string {
  const words = [`${outcomes?.successes ?? 0} helped`, `${outcomes?.failures ?? 0} did not`];
  if (outcomes?.relapses) words.push(`${outcomes.relapses} came back`);
  if (outcomes?.inconclusive) words.push(`${outcomes.inconclusive} inconclusive`);
  if (outcomes?.provisional?.length) words.push(`${outcomes.provisional.length} provisional`);
  return words.join(", ");
}

function Delete({ entry, onClose }: { entry: RunbookEntry; onClose: () => void }) {
  const erase = useMutation({
    mutationFn: () => remove("RunbookEntry", entry.metadata.name),
    onSuccess: onClose,
  });
  return (
    <Confirm
      title="Delete this entry?"
      consequence={
        <p>
          The next analysis no longer knows that{" "}
          <strong className="font-semibold">{spoken(entry.spec.action).toLowerCase()}</strong> helped{" "}
          {times(entry.spec.outcomes?.successes ?? 0)} against “{entry.spec.alertType}”. This cannot be
          undone; a similar incident that is verified teaches it again.
        </p>
      }
      verb="Delete"
      icon="trash"
      danger
      busy={erase.isPending}
      error={erase.error}
      onConfirm={() => erase.mutate()}
      onClose={onClose}
    />
  );
}
