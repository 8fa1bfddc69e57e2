// The requests of a load balancer, by upstream and server, and nginx's connections.

import { useBalancerMetrics } from "@/live/traffic";
import { Fact, Facts } from "@/ui/data";
import { Empty, Failure } from "@/ui/empty";
import { Panel } from "@/ui/panel";
import { TimeAgo } from "@/ui/time-ago";
import { milliseconds, percent, perSecond } from "@/ui/units";
import { type Row, rowsOf } from "./rows";

export function Traffic({ name }: { name: string }) {
  const { data, error } = useBalancerMetrics(name);
  const counted = data?.countedSince;
  return (
    <Panel title="Requests" note={counted ? `of the last ${data.overSeconds} s` : undefined} flush>
      {error && <Failure error={error} />}
      {data && !counted && (
        <Empty icon="metrics" title="Not counted">
          nginx's log is read while a detector needs requests, as http-errors and http-slow do, and while
          nginx runs and logs them.
        </Empty>
      )}
      {data === null && <Empty icon="metrics" title="This controller does not count requests by server" />}
      {data && counted && (
        <>
          <RateTable rows={rowsOf(data)} />
          <p className="border-t px-4 py-2 text-faint text-xs">
            Counted since <TimeAgo at={counted} />. A request that nginx tried on two servers counts for both.
            499: the client went away before an answer; that is neither an error nor a success. In flight is
            estimated: rate times mean time.
          </p>
        </>
      )}
    </Panel>
  );
}

const HEAD = ["Server", "Requests", "5xx", "499", "95 % within", "In flight"];

function RateTable({ rows }: { rows: readonly Row[] }) {
  return (
    <div className="overflow-x-auto">
      <table className="w-full text-sm" aria-label="Requests by server">
        <thead>
          <tr className="border-b text-left text-faint text-xs">
            {HEAD.map((word, index) => (
              <th key={word} scope="col" className={`px-4 py-2 font-normal ${index > 0 ? "text-right" : ""}`}>
                {word}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, name, note, whole, rates }) => (
            <tr key={key} className="border-b last:border-b-0">
              <th
                scope="row"
                className={`px-4 py-1.5 text-left ${whole ? "font-medium" : "pl-8 font-normal"}`}
              >
                <span className="break-all">{name}</span>
                {note && <span className="text-faint text-xs"> {note}</span>}
              </th>
              <Cell>{perSecond.show(rates.requestsPerSecond ?? 0)}</Cell>
              <Cell tone={rates.errorsPerSecond ? "text-bad" : ""}>
                {perSecond.show(rates.errorsPerSecond ?? 0)}
                {rates.errorPercent ? ` (${percent.show(rates.errorPercent)})` : ""}
              </Cell>
              <Cell>{perSecond.show(rates.cancelledPerSecond ?? 0)}</Cell>
              <Cell>{typeof rates.p95Ms === "number" ? milliseconds.show(rates.p95Ms) : "–"}</Cell>
              <Cell>{(rates.inFlight ?? 0).toFixed(1)}</Cell>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ children, tone = "" }: { children: React.ReactNode; tone?: string }) {
  return <td className={`whitespace-nowrap px-4 py-1.5 text-right tabular-nums ${tone}`}>{children}</td>;
}

export function ConnectionsPanel({ name }: { name: string }) {
  const { data } = useBalancerMetrics(name);
  const read = data?.connections;
  if (!data) return null;
  return (
    <Panel title="Connections" note={read ? "as nginx counts them" : undefined}>
      {read ? (
        <Facts columns={3}>
          <Fact name="Active">{read.active}</Fact>
          <Fact name="Reading a request">{read.reading}</Fact>
          <Fact name="Working or answering">{read.writing}</Fact>
          <Fact name="Waiting, idle">{read.waiting}</Fact>
          <Fact name="Accepted">
            {read.accepted}
            {read.handled < read.accepted && `, ${read.accepted - read.handled} closed at once`}
          </Fact>
          <Fact name="Requests">{read.requests}</Fact>
        </Facts>
      ) : (
        <Empty icon="balancer" title="Not known">
          nginx offers them where it was built with stub_status, and where the port for it is published
          nowhere.
        </Empty>
      )}
    </Panel>
  );
}
