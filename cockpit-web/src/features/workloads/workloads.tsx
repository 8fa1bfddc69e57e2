// Every workload: how it stands, how many replicas, which revision.

import { useState } from "react";
import { Link } from "react-router";
import type { Workload } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { desired, standing, toneOfHealth } from "@/model/workload";
import { Mono } from "@/ui/data";
import { Empty, Failure, Loading } from "@/ui/empty";
import { SearchBox } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { TONE_TEXT } from "@/ui/tone";
import { VirtualList } from "@/ui/virtual-list";

export default function Workloads() {
  const [text, setText] = useState("");
  const { data, error, refetch } = useObjects("Workload");
  const all = [...(data?.values() ?? [])].sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
  const found = all.filter((workload) => workload.metadata.name.includes(text.trim().toLowerCase()));
  return (
    <Page
      title="Workloads"
      fill
      actions={<SearchBox label="Filter workloads" value={text} onChange={setText} />}
    >
      <Panel title={`${found.length} of ${all.length}`} className="min-h-0 flex-1" flush>
        {error && <Failure error={error} retry={() => void refetch()} />}
        {!data && !error && <Loading what="workloads" />}
        {data && found.length === 0 && (
          <Empty icon="workload" title={all.length > 0 ? "No workload matches" : "No workloads"}>
            {all.length > 0 ? (
              "Look for another part of the name."
            ) : (
              <>
                Write one under{" "}
                <Link to="/manifests" className="text-accent underline underline-offset-2">
                  Manifests
                </Link>{" "}
                or run <code className="font-mono">aegisctl apply -f examples/quickstart</code>.
              </>
            )}
          </Empty>
        )}
        {found.length > 0 && (
          <VirtualList
            label="Workloads"
            items={found}
            keyOf={(workload) => workload.metadata.name}
            rowHeight={56}
            className="h-full"
          >
            {(workload) => <Row workload={workload} />}
          </VirtualList>
        )}
      </Panel>
    </Page>
  );
}

function Row({ workload }: { workload: Workload }) {
  const { tone, word, busy, message } = standing(workload);
  const instances = workload.status?.instances ?? [];
  return (
    <Link
      data-row
      to={`/workloads/${encodeURIComponent(workload.metadata.name)}`}
      className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 border-b px-4 py-2 hover:bg-hover focus-visible:-outline-offset-2 md:grid-cols-[minmax(0,1fr)_6rem_10rem_8rem_7rem]"
    >
      <span className="min-w-0">
        <span className="block truncate font-medium text-sm">{workload.metadata.name}</span>
        <span className="block truncate text-faint text-xs">{message}</span>
      </span>
      <span className="text-right text-sm md:text-left">
        {workload.status?.readyReplicas ?? 0} / {desired(workload)}{" "}
        <span className="text-faint text-xs">ready</span>
      </span>
      <span aria-hidden="true" className="hidden flex-wrap gap-1 md:flex">
        {instances.slice(0, 24).map((instance) => (
          <span
            key={instance.id}
            className={`size-2.5 rounded-sm bg-current ${TONE_TEXT[toneOfHealth(instance).tone]}`}
          />
        ))}
      </span>
      <span className="hidden truncate text-faint text-xs md:block">
        {workload.spec.container ? "adopted" : <Mono>{workload.status?.revision ?? "–"}</Mono>}
      </span>
      <span className="justify-self-end">
        <StateChip tone={tone} word={word} busy={busy} />
      </span>
    </Link>
  );
}
