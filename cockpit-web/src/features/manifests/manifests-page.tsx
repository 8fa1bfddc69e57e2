// Manifests: read, write, check, compare with what is live, apply.

import { useMutation, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { create, isKind, KINDS, replace } from "@/api/kinds";
import { ApiError, request } from "@/api/request";
import { useForbidden } from "@/api/role";
import type { AnyObject, Kind } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { Action } from "@/ui/action";
import { Confirm } from "@/ui/dialog";
import { DiffView } from "@/ui/diff-view";
import { Empty, Failure, Loading } from "@/ui/empty";
import { SearchBox } from "@/ui/field";
import { Icon } from "@/ui/icon";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { body, type Manifest, type Problem, pathOf, read, textOf } from "./document";
import type { Schemas } from "./schema";
import { TEMPLATES } from "./templates";

const again = () => new Promise((done) => setTimeout(done, 500)).then(() => import("./editor"));

// The network may change while it is fetched: once more then.
const Editor = lazy(() => import("./editor").catch(again));

export default function ManifestsPage() {
  const { kind = "", name = "" } = useParams();
  return (
    <Page title="Manifests" fill>
      <div className="grid min-h-0 flex-1 gap-4 max-lg:grid-rows-[auto_minmax(0,1fr)] lg:grid-cols-[16rem_minmax(0,1fr)]">
        <Catalogue chosen={`${kind}/${name}`} />
        {isKind(kind) ? (
          <Opened key={`${kind}/${name}`} kind={kind} name={name} />
        ) : (
          <Panel title="No manifest open">
            <Empty icon="manifest" title="Choose one, or begin a new one">
              Every resource is a YAML file in the state directory. What you apply here is written there.
            </Empty>
          </Panel>
        )}
      </div>
    </Page>
  );
}

function Catalogue({ chosen }: { chosen: string }) {
  const [text, setText] = useState("");
  const [folded, setFolded] = useState(false);
  return (
    <Panel
      title="Resources"
      className={`${folded ? "" : "max-h-72"} min-h-0 lg:max-h-none`}
      flush
      actions={
        <button
          type="button"
          aria-expanded={!folded}
          onClick={() => setFolded(!folded)}
          className="text-accent text-xs lg:hidden"
        >
          {folded ? "show" : "fold"}
        </button>
      }
    >
      <div className={`${folded ? "hidden" : "flex"} h-full min-h-0 flex-col lg:flex`}>
        <div className="flex border-b p-2 [&>div]:w-full">
          <SearchBox label="Filter resources" value={text} onChange={setText} />
        </div>
        <nav aria-label="Resources" className="scroll-thin min-h-0 flex-1 overflow-auto p-2">
          {KINDS.map((kind) => (
            <OfKind key={kind} kind={kind} text={text.trim().toLowerCase()} chosen={chosen} />
          ))}
        </nav>
      </div>
    </Panel>
  );
}

const SHOWN = 50;

function OfKind({ kind, text, chosen }: { kind: Kind; text: string; chosen: string }) {
  const { data } = useObjects(kind);
  const names = [...(data?.keys() ?? [])]
    .filter((name) => `${kind} ${name}`.toLowerCase().includes(text))
    .sort();
  return (
    <section className="mb-2">
      <h3 className="flex items-center px-2 py-1 font-medium text-faint text-xs">
        {kind}
        <Link
          to={`/manifests/${kind}/new:`}
          className="ml-auto rounded p-0.5 text-accent hover:bg-hover"
          aria-label={`New ${kind}`}
          title={`New ${kind}`}
        >
          <Icon name="plus" className="size-3.5" />
        </Link>
      </h3>
      <ul>
        {names.slice(0, SHOWN).map((name) => (
          <li key={name}>
            <Link
              data-row
              to={`/manifests/${kind}/${encodeURIComponent(name)}`}
              aria-current={chosen === `${kind}/${name}` ? "page" : undefined}
              title={name}
              className="block truncate rounded-md px-2 py-1 text-sm hover:bg-hover aria-[current]:bg-accent-tint aria-[current]:text-accent"
            >
              {name}
            </Link>
          </li>
        ))}
        {names.length > SHOWN && (
          <li className="px-2 text-faint text-xs">{names.length - SHOWN} more: filter by name</li>
        )}
      </ul>
    </section>
  );
}

function useSchemas() {
  return useQuery({
    queryKey: ["schemas"],
    queryFn: async ({ signal }) => {
      const path = "/openapi/v3/apis/aegisops.io/v1alpha1";
      const { components } = await request<{ components: { schemas: Schemas } }>(path, { signal });
      return components.schemas;
    },
    structuralSharing: false,
  });
}

function Opened({ kind, name }: { kind: Kind; name: string }) {
  const { data, error, refetch } = useObjects(kind);
  const { data: schemas, error: noSchemas } = useSchemas();
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!data || (!schemas && !noSchemas)) return <Loading what="the manifest" />;
  const live = name === "new:" ? undefined : data.get(name);
  if (name !== "new:" && !live) {
    return (
      <Panel title={`${kind} ${name}`}>
        <Empty icon="search" title="It is not there any more">
          Somebody deleted it, or it never was.
        </Empty>
      </Panel>
    );
  }
  return <Workbench kind={kind} live={live as AnyObject | undefined} schemas={schemas} />;
}

type BenchProps = { kind: Kind; live: AnyObject | undefined; schemas: Schemas | undefined };

/** The server's refusal, each cause at the line of its field. */
function serverProblems(error: Error | null, manifest: Manifest): Problem[] {
  if (!error) return [];
  const causes = error instanceof ApiError ? error.causes.filter(({ field }) => field) : [];
  if (causes.length === 0) {
    const line = Number(/line (\d+)/.exec(error.message)?.[1] ?? 1);
    return [{ line, from: 0, to: 0, message: error.message, source: "server" }];
  }
  return causes.map(({ field, message }) => ({
    ...manifest.locate(pathOf(field)),
    message: `${field}: ${message}`,
    source: "server",
  }));
}

function Workbench({ kind, live, schemas }: BenchProps) {
  const navigate = useNavigate();
  const forbidden = useForbidden(kind);
  const [base, setBase] = useState(live);
  const [text, setText] = useState(() => (live ? textOf(live) : TEMPLATES[kind]));
  const [asking, setAsking] = useState(false);
  const manifest = useMemo(() => read(text, schemas), [text, schemas]);
  const liveText = useMemo(() => (live ? textOf(live) : ""), [live]);
  const baseText = useMemo(() => (base ? textOf(base) : ""), [base]);
  const changed = text !== liveText;
  const settled = useSettled(text);
  const check = useQuery({
    queryKey: ["dry-run", kind, settled, live?.metadata.resourceVersion],
    queryFn: () => write(read(settled, schemas), kind, live, true),
    enabled: settled === text && changed && !forbidden && manifest.problems.length === 0,
    retry: false,
    gcTime: 0,
  });
  const apply = useMutation({
    mutationFn: () => write(manifest, kind, live, false),
    onSuccess: (object) => {
      setAsking(false);
      const applied = object as AnyObject;
      setBase(applied);
      if (!live) navigate(`/manifests/${kind}/${encodeURIComponent(object.metadata.name)}`);
      else setText(textOf(applied));
    },
  });
  const refused =
    settled === text && manifest.problems.length === 0 ? serverProblems(check.error, manifest) : [];
  const problems = useMemo(() => [...manifest.problems, ...refused], [manifest, refused]);
  const moved = live !== undefined && base !== undefined && liveText !== baseText;
  const blocked =
    forbidden ??
    (problems.length > 0
      ? "Mend the problems first"
      : !changed
        ? "It is as it is live"
        : check.isFetching
          ? "The server is checking it"
          : undefined);
  return (
    <div className="flex min-h-0 min-w-0 flex-col gap-4">
      <Panel
        title={live ? `${kind} ${live.metadata.name}` : `New ${kind}`}
        note={
          <Standing
            problems={problems}
            changed={changed}
            checking={check.isFetching}
            checked={check.isSuccess && settled === text}
            forbidden={forbidden}
          />
        }
        className="min-h-80 flex-1"
        flush
        actions={
          <>
            <Action
              look="ghost"
              blocked={changed ? undefined : "There is nothing to put back"}
              onClick={() => {
                setText(live ? liveText : TEMPLATES[kind]);
                setBase(live);
              }}
            >
              Put back
            </Action>
            <Action
              look="primary"
              icon="check"
              blocked={blocked}
              busy={apply.isPending}
              onClick={() => setAsking(true)}
            >
              Apply
            </Action>
          </>
        }
      >
        <Suspense fallback={<Loading what="the editor" />}>
          <Editor
            label={`Manifest of ${kind} ${live?.metadata.name ?? "(new)"}`}
            text={text}
            problems={problems}
            schemas={schemas}
            onChange={setText}
          />
        </Suspense>
      </Panel>
      {moved && changed && (
        <p role="status" className="rounded-md bg-warn-tint px-3 py-2 text-sm text-warn">
          Somebody changed it while you were editing. The difference below is against what is live now;
          applying it overwrites their change.
        </p>
      )}
      {problems.length > 0 && <Problems problems={problems} />}
      {changed && problems.length === 0 && (
        <Panel title="Difference from what is live" className="max-h-80 shrink-0">
          <DiffView label="Difference from what is live" before={liveText} after={text} />
        </Panel>
      )}
      {asking && (
        <Confirm
          title={live ? `Apply to ${live.metadata.name}?` : `Create ${manifest.name}?`}
          consequence={
            <>
              <p>
                {live
                  ? "The desired state changes at once; the controller then reconciles it:"
                  : "It is written to the state directory, and the controller acts on it at once."}
              </p>
              <DiffView label="What changes" before={liveText} after={text} />
            </>
          }
          verb={live ? "Apply" : "Create"}
          icon="check"
          busy={apply.isPending}
          error={apply.error}
          onConfirm={() => apply.mutate()}
          onClose={() => {
            setAsking(false);
            apply.reset();
          }}
        />
      )}
    </div>
  );
}

function write(manifest: Manifest, kind: Kind, live: AnyObject | undefined, dryRun: boolean) {
  if (live) return replace(kind, live.metadata.name, body(manifest.value, live), { dryRun });
  return create(kind, manifest.value, { dryRun });
}

/** The text once it has not changed for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), 400);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

type StandingProps = {
  problems: readonly Problem[];
  changed: boolean;
  checking: boolean;
  checked: boolean;
  forbidden: string | undefined;
};

function Standing({ problems, changed, checking, checked, forbidden }: StandingProps) {
  if (problems.length > 0)
    return (
      <StateChip plain tone="bad" word={`${problems.length} problem${problems.length === 1 ? "" : "s"}`} />
    );
  if (!changed) return <StateChip plain tone="ok" word="as it is live" />;
  if (checking) return <StateChip plain tone="info" word="the server checks it" busy />;
  if (checked) return <StateChip plain tone="ok" word="the server would take it" />;
  if (forbidden) return <StateChip plain tone="idle" word="checked against the schema only" />;
  return <StateChip plain tone="idle" word="changed" />;
}

function Problems({ problems }: { problems: readonly Problem[] }) {
  return (
    <Panel title="Problems" className="max-h-60 shrink-0" flush>
      <ul aria-label="Problems" className="scroll-thin max-h-44 overflow-auto">
        {problems.map((problem) => (
          <li
            key={problem.line + problem.message}
            data-line={problem.line}
            className="grid grid-cols-[4rem_minmax(0,1fr)_auto] items-baseline gap-3 border-b px-4 py-1.5 text-sm last:border-b-0"
          >
            <span className="font-medium text-bad">line {problem.line}</span>
            <span className="min-w-0 break-words">{problem.message}</span>
            <span className="text-faint text-xs">{problem.source}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
