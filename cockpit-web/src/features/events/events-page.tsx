// Every frame as it comes: filter, hold still, take along.

import { useMemo, useState } from "react";
import { useLive, useLog } from "@/live/hooks";
import type { LogEntry } from "@/live/log";
import { words } from "@/model/words";
import { Action } from "@/ui/action";
import { CodeBlock } from "@/ui/data";
import { Dialog } from "@/ui/dialog";
import { Empty } from "@/ui/empty";
import { SearchBox } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { clock, exact } from "@/ui/time";
import { TONE_TEXT } from "@/ui/tone";
import { VirtualList } from "@/ui/virtual-list";
import { exported, GROUPS, type Group, passes } from "./filter";

export default function EventsPage() {
  const live = useLive();
  const log = useLog();
  const [text, setText] = useState("");
  const [groups, setGroups] = useState<ReadonlySet<Group>>(new Set(GROUPS.map(([group]) => group)));
  const [held, setHeld] = useState<readonly LogEntry[]>();
  const [open, setOpen] = useState<LogEntry>();
  const entries = held ?? log;
  const found = useMemo(
    () => entries.filter((entry) => passes(entry, groups, text)),
    [entries, groups, text],
  );
  const since = held ? log.length - held.length : 0;
  const toggle = (group: Group) => {
    const after = new Set(groups);
    if (!after.delete(group)) after.add(group);
    setGroups(after);
  };
  return (
    <Page
      title="Events"
      note={`every frame since this page connected, ${clock(live.startedAt).slice(0, 8)}; the newest 5,000 are kept`}
      fill
    >
      <div className="flex flex-wrap items-center gap-2">
        <SearchBox label="Filter events" value={text} onChange={setText} />
        <div
          role="group"
          aria-label="Kinds of event"
          className="flex flex-wrap rounded-md border bg-panel p-0.5"
        >
          {GROUPS.map(([group, name]) => (
            <button
              key={group}
              type="button"
              aria-pressed={groups.has(group)}
              onClick={() => toggle(group)}
              className="h-7 rounded px-2.5 text-faint text-sm hover:text-ink aria-pressed:bg-accent-tint aria-pressed:font-medium aria-pressed:text-accent"
            >
              {name}
            </button>
          ))}
        </div>
        <div className="flex gap-2 sm:ml-auto">
          <Action icon={held ? "play" : "pause"} onClick={() => setHeld(held ? undefined : log)}>
            {held ? `Go on${since > 0 ? ` (${since} new)` : ""}` : "Pause"}
          </Action>
          <Action
            icon="download"
            blocked={found.length === 0 ? "There is nothing to export" : undefined}
            onClick={() => download(exported(found))}
          >
            Export
          </Action>
        </div>
      </div>
      <Panel
        title={`${found.length} of ${entries.length}`}
        note={held ? "held still" : "newest last"}
        className="min-h-0 flex-1"
        flush
      >
        {found.length === 0 ? (
          <Empty icon="events" title={entries.length > 0 ? "Nothing matches" : "Nothing has happened yet"}>
            {entries.length > 0
              ? "Choose more kinds, or clear the filter."
              : "Every reconcile and every change of a resource appears here as it happens."}
          </Empty>
        ) : (
          <VirtualList
            label="Events"
            items={found}
            keyOf={(entry) => entry.id}
            rowHeight={30}
            className="h-full"
            follow={!held}
          >
            {(entry) => <Row entry={entry} open={setOpen} />}
          </VirtualList>
        )}
      </Panel>
      {open?.frame && (
        <Dialog title={`Frame ${open.frame.seq}: ${open.frame.type}`} onClose={() => setOpen(undefined)} wide>
          <CodeBlock label="The frame" text={JSON.stringify(open.frame, null, 2)} className="max-h-[60dvh]" />
        </Dialog>
      )}
    </Page>
  );
}

function Row({ entry, open }: { entry: LogEntry; open: (entry: LogEntry) => void }) {
  const { frame, gap } = entry;
  if (!frame) {
    return (
      <div className="bg-warn-tint px-4 py-1.5 text-warn text-xs">
        {gap?.missed === undefined ? "Frames may be missing here" : `${gap.missed} frames are missing here`}:{" "}
        {gap?.why}. What the pages show was read again.
      </div>
    );
  }
  const { tone, what, about, text } = words(frame);
  return (
    <button
      type="button"
      data-row
      onClick={() => open(entry)}
      className="grid w-full grid-cols-[5.200rem_minmax(0,1fr)] items-baseline gap-x-3 border-b px-4 py-1 text-left text-xs hover:bg-hover focus-visible:-outline-offset-2 md:grid-cols-[5.200rem_7rem_minmax(0,14rem)_minmax(0,1fr)_4rem]"
    >
      <time dateTime={frame.timestamp} title={exact(frame.timestamp)} className="font-mono text-faint">
        {clock(frame.timestamp)}
      </time>
      <span className={`truncate font-medium ${tone === "idle" ? "text-soft" : TONE_TEXT[tone]}`}>
        {what}
      </span>
      <span className="col-start-2 truncate text-faint md:col-start-auto">{about}</span>
      <span className="col-start-2 truncate text-soft md:col-start-auto">{text}</span>
      <span className="hidden text-right font-mono text-faint md:block">{frame.seq}</span>
    </button>
  );
}

function download(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `aegis-events-${new Date().toISOString().replaceAll(":", "")}.ndjson`;
  link.click();
  URL.revokeObjectURL(url);
}
