//! Requests to containers of the fake engine by their addresses, also through an nginx that it runs.

use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::probe::{Failing, HttpRequest};
use tokio::time::Instant;

use super::FakeEngine;
use super::chaos::When;
use super::container::Serving;
use super::effects::Op;
use super::nginx::Route;
use super::world::World;
use aegis_docker::engine::{HttpAnswer, ProbeError};

/// How long a kernel looks for an address that no host has.
const NO_SUCH_HOST_AFTER: Duration = Duration::from_secs(3);

/// What meets a request.
enum Outcome {
    Answer {
        status: u16,
        body: String,
        after: Duration,
    },
    Refused,
    Silence,
    NoSuchHost,
}

impl World {
    fn outcome(&mut self, address: SocketAddr, path: &str) -> Outcome {
        let (instant, port) = (self.instant, address.port());
        let Some(container) = self.reachable(address.ip(), port) else {
            return match address.ip().is_loopback() {
                true => Outcome::Refused,
                false => Outcome::NoSuchHost,
            };
        };
        let after = container.behaviour.answers_in;
        let serving = container.serving(instant);
        let Some(nginx) = &container.nginx else {
            let behaviour = &container.behaviour;
            let listens = behaviour.ports.is_empty() || behaviour.ports.contains(&port);
            return match serving {
                Serving::Answers(status) if listens => Outcome::Answer {
                    status,
                    body: behaviour.body.clone(),
                    after,
                },
                Serving::Hangs if listens => Outcome::Silence,
                _ => Outcome::Refused,
            };
        };
        if serving == Serving::Hangs {
            return Outcome::Silence;
        }
        let place = nginx
            .config(instant)
            .map_or(Route::Closed, |config| config.place(port, path));
        let (id, turn) = (container.id.clone(), nginx.turn);
        if let Some(nginx) = self.get_mut(&id).and_then(|container| container.nginx.as_mut()) {
            nginx.turn = nginx.turn.wrapping_add(1);
        }
        match place {
            Route::Closed => Outcome::Refused,
            Route::Answer(status, body) => Outcome::Answer { status, body, after },
            Route::Servers(servers) => self.hand_on(&servers, turn, path),
        }
    }

    /// As [`World::outcome`], by an application that may read more than the path.
    fn outcome_of(&mut self, request: &HttpRequest) -> Outcome {
        let outcome = self.outcome(request.address, &request.path);
        let behaviour = self
            .reachable(request.address.ip(), request.address.port())
            .map(|found| &found.behaviour);
        match (outcome, behaviour) {
            (Outcome::Answer { after, .. }, Some(behaviour)) if behaviour.tls && !request.tls => {
                Outcome::Answer {
                    status: 400,
                    body: "Client sent an HTTP request to an HTTPS server.\n".to_owned(),
                    after,
                }
            }
            (Outcome::Answer { after, .. }, Some(behaviour))
                if behaviour.host.is_some() && behaviour.host != request.host =>
            {
                Outcome::Answer {
                    status: 400,
                    body: "<h1>Bad Request (400)</h1>\nDisallowedHost\n".to_owned(),
                    after,
                }
            }
            (outcome, _) => outcome,
        }
    }

    /// In turn; a server that refuses is passed over, as with `proxy_next_upstream`.
    fn hand_on(&mut self, servers: &[String], turn: usize, path: &str) -> Outcome {
        let first = turn.checked_rem(servers.len()).unwrap_or(0);
        for server in servers.iter().cycle().skip(first).take(servers.len()) {
            match self.resolve(server).map(|address| self.outcome(address, path)) {
                None | Some(Outcome::Refused | Outcome::NoSuchHost) => {}
                Some(outcome) => return outcome,
            }
        }
        Outcome::Answer {
            status: 502,
            body: "Bad Gateway".to_owned(),
            after: Duration::from_millis(1),
        }
    }

    fn resolve(&self, server: &str) -> Option<SocketAddr> {
        if let Ok(address) = server.parse() {
            return Some(address);
        }
        let (host, port) = server.rsplit_once(':').unwrap_or((server, "80"));
        let address = self
            .get(host)?
            .endpoints
            .values()
            .find_map(|endpoint| endpoint.address)?;
        Some(SocketAddr::new(address, port.parse().ok()?))
    }
}

impl FakeEngine {
    pub(super) async fn get(
        &self,
        request: &HttpRequest,
        timeout: Duration,
    ) -> Result<HttpAnswer, ProbeError> {
        self.crash_point(Op::HttpGet, When::Before).await;
        let began = Instant::now();
        let unlucky = self.shared.with(|world| world.chaos.probe_fails(Op::HttpGet));
        let outcome = if unlucky {
            Outcome::Refused
        } else {
            self.shared.with(|world| world.outcome_of(request))
        };
        let failure = match outcome {
            Outcome::Answer { status, body, after } if after <= timeout => {
                tokio::time::sleep(after).await;
                self.crash_point(Op::HttpGet, When::After).await;
                return Ok(HttpAnswer {
                    status,
                    body,
                    latency: began.elapsed(),
                });
            }
            outcome => self.no_answer(&outcome, timeout).await,
        };
        self.crash_point(Op::HttpGet, When::After).await;
        let (failing, failure) = failure;
        Err(ProbeError {
            failing,
            text: format!("{}: {failure}", request.words()),
        })
    }

    /// gRPC's health service, of an application that says there what it answers a GET with.
    pub(super) async fn check(
        &self,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<&'static str, ProbeError> {
        let answer = self.get(&HttpRequest::new(address, "/"), timeout).await?;
        Ok(if answer.status == 200 {
            "SERVING"
        } else {
            "NOT_SERVING"
        })
    }

    pub(super) async fn connect(&self, address: SocketAddr, timeout: Duration) -> Result<(), ProbeError> {
        self.crash_point(Op::TcpConnect, When::Before).await;
        let unlucky = self.shared.with(|world| world.chaos.probe_fails(Op::TcpConnect));
        let outcome = if unlucky {
            Outcome::Refused
        } else {
            self.shared.with(|world| world.outcome(address, "/"))
        };
        let result = match outcome {
            // A hung process still has its backlog: the kernel accepts.
            Outcome::Answer { .. } | Outcome::Silence => Ok(()),
            outcome => Err(self.no_answer(&outcome, timeout).await),
        };
        self.crash_point(Op::TcpConnect, When::After).await;
        result.map_err(|(failing, failure)| ProbeError {
            failing,
            text: format!("connect to {address}: {failure}"),
        })
    }

    async fn no_answer(&self, outcome: &Outcome, timeout: Duration) -> (Failing, String) {
        let (after, failing, failure) = match outcome {
            Outcome::Refused => (
                self.shared.options.call_takes,
                Failing::Refused,
                "connection refused",
            ),
            Outcome::NoSuchHost if timeout > NO_SUCH_HOST_AFTER => {
                (NO_SUCH_HOST_AFTER, Failing::Unreachable, "no route to host")
            }
            Outcome::NoSuchHost => (timeout, Failing::Unreachable, ""),
            _ => (timeout, Failing::Silent, ""),
        };
        tokio::time::sleep(after.min(timeout)).await;
        if failure.is_empty() {
            (failing, format!("no answer within {} ms", timeout.as_millis()))
        } else {
            (failing, failure.to_owned())
        }
    }
}
