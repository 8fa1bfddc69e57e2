// The session's secret: what shows the controller that a request comes from a page of this origin. The cookie alone does
// not, for browsers send it to every port of the host. It is kept for this tab, so that a reload goes on; another tab of
// the same origin is requested to give it.

const NAME = "aegis-session";
/** How long other tabs may take to answer. They are on this machine. */
const WAIT_MS = 250;

type Message = { type: "wanted" } | { type: "given"; secret: string };

export function kept(): string | undefined {
  return sessionStorage.getItem(NAME) ?? undefined;
}

export function keep(secret: string): void {
  sessionStorage.setItem(NAME, secret);
}

export function forget(): void {
  sessionStorage.removeItem(NAME);
}

/** The secret that another tab has; none where there is no such tab. */
export function fromAnotherTab(): Promise<string | undefined> {
  if (typeof BroadcastChannel === "undefined") return Promise.resolve(undefined);
  const channel = new BroadcastChannel(NAME);
  return new Promise<string | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), WAIT_MS);
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data.type !== "given") return;
      clearTimeout(timer);
      resolve(data.secret);
    };
    channel.postMessage({ type: "wanted" } satisfies Message);
  }).finally(() => channel.close());
}

/** Answers other tabs, until the returned function is called. */
export function share(): () => void {
  if (typeof BroadcastChannel === "undefined") return () => undefined;
  const channel = new BroadcastChannel(NAME);
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    const secret = kept();
    if (data.type === "wanted" && secret) channel.postMessage({ type: "given", secret } satisfies Message);
  };
  return () => channel.close();
}
