// The notification log: where notifications go, whether they arrive, and what was given up.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";
import { listNotifications, testNotifications } from "@/api/notifications";
import { useForbidden } from "@/api/role";
import type { NotificationList } from "@/api/types";
import { Action } from "@/ui/action";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Page, Panel } from "@/ui/panel";
import { TimeAgo } from "@/ui/time-ago";

type Destination = NotificationList["destinations"][number];
type Delivery = NotificationList["deliveries"][number];

const KEY = ["notifications"];
/** No frame reports a delivery. */
const EVERY_MS = 10_000;

export default function NotificationsPage() {
  const { data, error, refetch } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => listNotifications(signal),
    refetchInterval: EVERY_MS,
    staleTime: 0,
  });
  return (
    <Page title="Notifications" note="since the controller's last start; a restart forgets the log">
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="notifications" />}
      {data?.destinations.length === 0 && (
        <Empty icon="bell" title="No destination is configured">
          Incidents are reported to Slack, a webhook, by mail or as traces where the controller's settings
          name one: see docs/notifications.md.
        </Empty>
      )}
      {data && data.destinations.length > 0 && (
        <>
          <Panel title="Destinations" flush>
            <ul aria-label="Destinations">
              {data.destinations.map((destination) => (
                <DestinationRow key={destination.name} destination={destination} />
              ))}
            </ul>
          </Panel>
          <Panel title="Latest" note="newest first" flush>
            {data.deliveries.length === 0 && <p className="p-4 text-faint text-sm">Nothing was sent yet.</p>}
            <ul aria-label="Latest deliveries">
              {data.deliveries.map((delivery) => (
                <DeliveryRow
                  key={`${delivery.destination} ${delivery.at} ${delivery.incident} ${delivery.about}`}
                  delivery={delivery}
                />
              ))}
            </ul>
          </Panel>
        </>
      )}
    </Page>
  );
}

function DestinationRow({ destination }: { destination: Destination }) {
  const queries = useQueryClient();
  const forbidden = useForbidden("Workload");
  const test = useMutation({
    mutationFn: () => testNotifications(destination.name),
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  const refused = test.data?.results.find((result) => result.error)?.error ?? test.error?.message;
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b px-4 py-2 text-sm last:border-b-0">
      <span className="min-w-24 font-medium">{destination.name}</span>
      {destination.stopped ? (
        <span className="text-bad">Stopped: {destination.stopped}</span>
      ) : (
        <span className="text-soft">Active</span>
      )}
      <span className="text-faint">
        {destination.sent} sent, {destination.waiting} waiting, {destination.failures} failed attempts,{" "}
        {destination.dropped} dropped, {destination.folded} folded
      </span>
      <span className="ml-auto flex items-center gap-2">
        <span role="status" className={refused ? "text-bad" : "text-soft"}>
          {refused ? `Not taken: ${refused}` : test.isSuccess && "The test was taken"}
        </span>
        <Action blocked={forbidden} busy={test.isPending} onClick={() => test.mutate()}>
          Send a test
        </Action>
      </span>
    </li>
  );
}

function DeliveryRow({ delivery }: { delivery: Delivery }) {
  const dropped = delivery.outcome === "Dropped";
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b px-4 py-1.5 text-sm last:border-b-0">
      <TimeAgo at={delivery.at} className="min-w-20 text-faint" />
      <span className="min-w-24">{delivery.destination}</span>
      <span className="min-w-32 text-soft">{delivery.about}</span>
      {delivery.incident && (
        <Link to={`/incidents/${delivery.incident}`} className="text-accent underline underline-offset-2">
          {delivery.incident}
        </Link>
      )}
      <span className={`ml-auto ${dropped ? "text-bad" : "text-faint"}`}>
        {dropped ? `Dropped: ${delivery.message}` : "Sent"}
      </span>
    </li>
  );
}
