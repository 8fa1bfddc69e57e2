// The load balancers: who gets requests, and the proofs that it is so.

import { Link, useParams } from "react-router";
import type { LoadBalancer, LoadBalancerStatus } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { spoken } from "@/model/words";
import { condition } from "@/model/workload";
import { CodeBlock, Fact, Facts, Mono, Stat } from "@/ui/data";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { between, duration } from "@/ui/time";
import { TimeAgo } from "@/ui/time-ago";
import { ConnectionsPanel, Traffic } from "./traffic";

export default function LoadBalancers() {
  const { name } = useParams();
  const { data, error, refetch } = useObjects("LoadBalancer");
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="load balancers" />;
  const all = [...data.values()].sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
  const chosen = name ? data.get(name) : all[0];
  if (!chosen) {
    return (
      <Page title="Load balancer">
        <Empty icon="balancer" title={name ? "There is no such load balancer" : "No load balancer"}>
          Name an nginx container and the workloads it balances, under{" "}
          <Link to="/manifests" className="text-accent underline underline-offset-2">
            Manifests
          </Link>
          .
        </Empty>
      </Page>
    );
  }
  return <BalancerView balancer={chosen} others={all.filter((one) => one !== chosen)} />;
}

function standing(balancer: LoadBalancer) {
  const conditions = balancer.status?.conditions;
  const degraded = condition(conditions, "Degraded");
  const ready = condition(conditions, "Ready");
  if (degraded?.status === "True")
    return { tone: "bad", word: "Degraded", message: degraded.message } as const;
  if (ready?.status === "True") return { tone: "ok", word: "Ready", message: ready.message } as const;
  return {
    tone: "warn",
    word: "Not ready",
    message: ready?.message ?? "the controller has not reconciled it yet",
  } as const;
}

export function BalancerView({ balancer, others }: { balancer: LoadBalancer; others: LoadBalancer[] }) {
  const { status, spec, metadata } = balancer;
  const { tone, word, message } = standing(balancer);
  const reload = status?.lastReload;
  const last = status?.receipts?.at(-1);
  return (
    <Page
      title={
        <span className="flex flex-wrap items-center gap-3">
          <span className="break-all">{metadata.name}</span>
          <StateChip tone={tone} word={word} />
        </span>
      }
      note={message}
      actions={others.map((other) => (
        <Link
          key={other.metadata.name}
          to={`/load-balancers/${encodeURIComponent(other.metadata.name)}`}
          className="text-accent text-sm hover:underline"
        >
          {other.metadata.name}
        </Link>
      ))}
    >
      <div className="grid grid-cols-2 gap-3 xl:grid-cols-4">
        <Stat
          label="Servers in rotation"
          value={status?.servers?.length ?? 0}
          note={`${status?.draining?.length ?? 0} drains under way`}
        />
        <Stat
          label="Configuration"
          value={<Mono className="text-xl">{status?.revision ?? "–"}</Mono>}
          note="proved to be served"
        />
        <Stat
          label="Last reload"
          value={<TimeAgo at={reload?.at} />}
          note={reload ? `proved after ${duration(between(reload.at, reload.provedAt))}` : "none yet"}
        />
        <Stat
          label="Last drain"
          value={<TimeAgo at={last?.finishedAt} />}
          note={last ? (last.drained ? "every request had ended" : "the deadline passed first") : "none yet"}
        />
      </div>
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1.300fr)_minmax(0,1fr)]">
        <div className="min-w-0 space-y-4">
          <Servers status={status} />
          <Traffic name={metadata.name} />
          <Drains status={status} />
          <Panel title="Desired state">
            <Facts columns={3}>
              <Fact name="Container">
                <Mono>{spec.container ?? "aegis-lb"}</Mono>
              </Fact>
              <Fact name="Algorithm">{spec.algorithm ?? "RoundRobin"}</Fact>
              <Fact name="Drain at most">{spec.drainTimeout ?? "10s"}</Fact>
              <Fact name="Template">
                <Mono>{spec.template ?? "nginx-upstream.conf.tera"}</Mono>
              </Fact>
              {spec.backends.map((backend) => (
                <Fact key={backend.upstream} name={`Upstream ${backend.upstream}`}>
                  <Link
                    to={`/workloads/${encodeURIComponent(backend.workload)}`}
                    className="text-accent hover:underline"
                  >
                    {backend.workload}
                  </Link>
                  :{backend.port}
                  {backend.listenPort ? `, TCP at ${backend.listenPort}` : null}
                </Fact>
              ))}
            </Facts>
          </Panel>
        </div>
        <div className="min-w-0 space-y-4">
          <ConnectionsPanel name={metadata.name} />
          <Panel title="Proof of the last reload">
            {reload ? (
              <Facts>
                <Fact name="Revision">
                  <Mono>{reload.revision}</Mono>
                </Fact>
                <Fact name="Served after">{duration(between(reload.at, reload.provedAt))}</Fact>
                <Fact name="nginx -t" wide>
                  <Mono className="text-xs">{reload.check}</Mono>
                </Fact>
              </Facts>
            ) : (
              <Empty icon="clock" title="None yet">
                nginx is reloaded as soon as a server is healthy, and asked which revision it serves.
              </Empty>
            )}
          </Panel>
          <Panel title="Rendered configuration" note={status?.config ? "the last good one" : undefined}>
            {status?.config ? (
              <>
                <CodeBlock label="nginx configuration" text={status.config} className="max-h-[32rem]" />
                {status.streamConfig ? (
                  <CodeBlock
                    label="nginx configuration of TCP"
                    text={status.streamConfig}
                    className="max-h-[32rem]"
                  />
                ) : null}
              </>
            ) : (
              <Empty icon="manifest" title="None yet" />
            )}
          </Panel>
        </div>
      </div>
    </Page>
  );
}

function Servers({ status }: { status: LoadBalancerStatus | null | undefined }) {
  const servers = status?.servers ?? [];
  return (
    <Panel title="Servers in rotation" flush>
      {servers.length === 0 && (
        <Empty icon="balancer" title="No server">
          A container gets requests when its probe passes. The last good configuration stays until then.
        </Empty>
      )}
      <ul aria-label="Servers in rotation">
        {servers.map((server) => (
          <li
            key={server.upstream + server.id}
            data-server={server.container}
            className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b px-4 py-2 text-sm last:border-b-0"
          >
            <StateChip plain tone="ok" word="In rotation" />
            <Link
              to={`/workloads/${encodeURIComponent(server.workload)}`}
              className="min-w-0 flex-1 truncate font-medium hover:underline"
            >
              {server.container}
            </Link>
            <Mono className="text-soft text-xs">{server.address}</Mono>
            <span className="text-faint text-xs">{server.upstream}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

type Receipt = NonNullable<LoadBalancerStatus["receipts"]>[number];

/** What became of the requests that the leaving servers had, in nginx's own numbers. */
function counts({ requests, uncounted }: Receipt): string {
  if (requests) {
    return `${requests.inFlight} in flight, ${requests.drained} drained, ${requests.forced} forced, ${requests.failed} failed`;
  }
  return uncounted ? `not counted: ${uncounted}` : "being counted";
}

function Drains({ status }: { status: LoadBalancerStatus | null | undefined }) {
  const under = status?.draining ?? [];
  const receipts = [...(status?.receipts ?? [])].reverse();
  return (
    <Panel title="Drain receipts" flush>
      {under.length === 0 && receipts.length === 0 && (
        <Empty icon="check" title="None yet">
          Before a container stops, nginx sends it nothing new and its open requests end. The receipt appears
          here.
        </Empty>
      )}
      <ul>
        {under.map((drain) => (
          <li
            key={drain.since + drain.ids.join()}
            className="flex flex-wrap items-center gap-3 border-b px-4 py-2 text-sm"
          >
            <StateChip tone="info" word="Draining" busy />
            <span className="min-w-56 flex-1 break-words">{drain.containers.join(", ")}</span>
            <span className="text-faint text-xs">
              since <TimeAgo at={drain.since} />, let go <TimeAgo at={drain.deadline} /> at the latest
            </span>
          </li>
        ))}
        {receipts.map((receipt) => (
          <li
            key={receipt.startedAt + receipt.containers.join()}
            className="flex flex-wrap items-center gap-3 border-b px-4 py-2 text-sm last:border-b-0"
          >
            <StateChip
              tone={receipt.drained ? "ok" : "warn"}
              word={receipt.drained ? "Drained" : "Deadline passed"}
            />
            <span className="min-w-56 flex-1 break-words">
              {receipt.containers.join(", ")}
              {receipt.causes && receipt.causes.length > 0 && (
                <span className="text-faint"> ({receipt.causes.map(spoken).join(", ")})</span>
              )}
            </span>
            <span className="text-soft text-xs">{counts(receipt)}</span>
            <span className="text-faint text-xs">
              took {duration(between(receipt.startedAt, receipt.finishedAt))},{" "}
              <TimeAgo at={receipt.finishedAt} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
