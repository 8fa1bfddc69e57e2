import { expect, test, vi } from "vitest";
import { Connection, type ConnectionState, type Gap, type Received, type Socket } from "./connection";

vi.useFakeTimers();

class FakeSocket {
  sent: string[] = [];
  closed = false;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  readonly query: string;
  constructor(query: string) {
    this.query = query;
  }
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.closed = true;
  }
}

function world() {
  const sockets: FakeSocket[] = [];
  const received: number[] = [];
  const gaps: (Gap | undefined)[] = [];
  const states: ConnectionState["phase"][] = [];
  let refused = 0;
  const connection = new Connection({
    open: (query) => {
      const socket = new FakeSocket(query);
      sockets.push(socket);
      return socket as unknown as Socket;
    },
    receive: (frames: readonly Received[], gap) => {
      for (const { frame } of frames) if (frame.type === "failed") received.push(frame.seq);
      if (gap) gaps.push(gap);
    },
    changed: ({ phase }) => states.push(phase),
    refused: () => refused++,
    schedule: (work) => work(),
    random: () => 1,
  });
  const latest = () => {
    const socket = sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  };
  const say = (type: string, seq: number, data: object = {}) => {
    const message = { seq, type, incident_id: null, data, timestamp: "2026-01-31T12:00:00Z" };
    latest().onmessage?.call(
      latest() as unknown as WebSocket,
      { data: JSON.stringify(message) } as MessageEvent,
    );
  };
  const drop = () => latest().onclose?.call(latest() as unknown as WebSocket, {} as CloseEvent);
  return { connection, sockets, received, gaps, states, say, drop, latest, refused: () => refused };
}

test("after a drop it resumes by number, and what comes twice is taken once", () => {
  const { connection, sockets, received, gaps, states, say, drop } = world();
  connection.start();
  expect(sockets[0]?.query).toBe("full_text=0&stream=");
  say("heartbeat", 40, { status: "connected" });
  say("failed", 41);
  say("failed", 42);
  drop();
  expect(states.at(-1)).toBe("waiting");
  vi.advanceTimersByTime(60_000);
  expect(sockets[1]?.query).toBe("full_text=0&since=42&stream=");
  say("heartbeat", 42, { status: "connected" });
  say("failed", 42);
  say("failed", 43);
  expect(received).toEqual([41, 42, 43]);
  expect(gaps).toEqual([]);
  expect(states.at(-1)).toBe("live");
  connection.stop();
});

test("frames that were overwritten are reported as a gap", () => {
  const { connection, gaps, say } = world();
  connection.start();
  say("heartbeat", 10, { status: "connected" });
  say("failed", 11);
  say("lagged", 15, { missed: 4 });
  say("failed", 16);
  expect(gaps.map((gap) => gap?.missed)).toEqual([4]);
  connection.stop();
});

test("numbers that a replay leaves out are no gap: newer metrics took the place of older ones", () => {
  const { connection, received, gaps, say, drop } = world();
  connection.start();
  say("heartbeat", 10, { status: "connected" });
  say("failed", 11);
  drop();
  vi.advanceTimersByTime(60_000);
  say("heartbeat", 11, { status: "connected" });
  for (const seq of [12, 400, 401]) say("failed", seq);
  expect(received).toEqual([11, 12, 400, 401]);
  expect(gaps).toEqual([]);
  connection.stop();
});

test("a restarted controller counts from the beginning: everything since its start is requested", () => {
  const { connection, sockets, received, gaps, say, drop } = world();
  connection.start();
  say("heartbeat", 900, { status: "connected" });
  say("failed", 901);
  drop();
  vi.advanceTimersByTime(60_000);
  say("heartbeat", 3, { status: "connected" });
  expect(sockets.at(-1)?.query).toBe("full_text=0&since=0&stream=");
  say("heartbeat", 0, { status: "connected" });
  for (const seq of [1, 2, 3]) say("failed", seq);
  expect(received).toEqual([901, 1, 2, 3]);
  expect(gaps.map((gap) => gap?.why)).toEqual(["the controller was restarted"]);
  connection.stop();
});

test("a number of another process neither hides frames nor shows them twice", () => {
  const { connection, sockets, received, gaps, say, drop } = world();
  connection.start();
  say("heartbeat", 9, { status: "connected", stream: "one" });
  say("failed", 10);
  drop();
  vi.advanceTimersByTime(60_000);
  expect(sockets.at(-1)?.query).toBe("full_text=0&since=10&stream=one");
  // The new process has counted beyond 10 already, and begins at its beginning.
  say("heartbeat", 0, { status: "connected", stream: "two" });
  for (let seq = 1; seq <= 12; seq++) say("failed", seq);
  expect(received).toEqual([10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  expect(gaps.map((gap) => gap?.why)).toEqual(["the controller was restarted"]);
  drop();
  vi.advanceTimersByTime(60_000);
  expect(sockets.at(-1)?.query).toBe("full_text=0&since=12&stream=two");
  say("heartbeat", 12, { status: "connected", stream: "two" });
  say("failed", 13);
  expect(received.at(-1)).toBe(13);
  expect(gaps.length).toBe(1);
  connection.stop();
});

test("a server that falls silent is asked, and then left for a new connection", () => {
  const { connection, sockets, states, say, latest } = world();
  connection.start();
  say("heartbeat", 1, { status: "connected" });
  vi.advanceTimersByTime(13_000);
  expect(latest().sent).toContain("ping");
  vi.advanceTimersByTime(9_000);
  expect(sockets[0]?.closed).toBe(true);
  expect(states).toContain("waiting");
  connection.stop();
});

test("who is refused before the connection stood is asked whether the session still holds", () => {
  const { connection, drop, refused } = world();
  connection.start();
  drop();
  expect(refused()).toBe(1);
  connection.stop();
});

test("what is no frame is passed over", () => {
  const { connection, received, latest, say } = world();
  connection.start();
  for (const data of ["pong", "{", "null", '{"type":"x"}']) {
    latest().onmessage?.call(latest() as unknown as WebSocket, { data } as MessageEvent);
  }
  say("heartbeat", 0, { status: "connected" });
  say("failed", 1);
  expect(received).toEqual([1]);
  connection.stop();
});
