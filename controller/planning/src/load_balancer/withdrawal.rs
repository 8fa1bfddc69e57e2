//! What becomes of TCP backends whose load balancer may not or cannot write its file of requests, with which theirs goes live
//! otherwise: in the file that was noted for them no server stays that is none any more. Pure.

use aegis_api::load_balancer::Server;
use aegis_api::{Kind, LoadBalancer, LoadBalancerStatus};

use super::down;
use super::home::is_home;
use super::observed::Observed;
use super::plan::without_strays;
use super::render::Rendered;
use super::status::Applied;
use super::stream::NONE;

/// What nginx may have of TCP backends, and what must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// What their file is to be, the best first: the next one only where nginx refuses that.
    pub texts: Vec<String>,
    /// Servers that are none any more, and that nginx was proved to have by this file.
    pub strays: Vec<Server>,
}

/// `None` where nothing was noted of TCP backends.
pub fn withdrawal(balancer: &LoadBalancer, observed: &Observed) -> Option<Withdrawal> {
    let (status, container) = (balancer.status.as_ref()?, observed.container.as_ref()?);
    status.stream_config_path.as_ref()?;
    let none = NONE.to_owned();
    // One that was written and never proved must not stay.
    let Some(good) = &status.stream_config else {
        return Some(Withdrawal {
            texts: vec![none],
            strays: Vec::new(),
        });
    };
    let is_stray = |server: &&Server| {
        let stays = !balancer.is_deleting() && is_home(server, &observed.endpoints, container);
        !stays && down::names(good, &server.address)
    };
    let strays: Vec<Server> = status.servers.iter().filter(is_stray).cloned().collect();
    let gone = strays.iter().map(|server| server.address.as_str()).collect();
    let texts = match (balancer.is_deleting(), strays.is_empty()) {
        (true, _) => vec![none],
        (false, true) => vec![good.clone()],
        (false, false) => vec![down::without_servers(good, &gone), none],
    };
    Some(Withdrawal { texts, strays })
}

impl Withdrawal {
    /// What the status is to say once nginx has this text; `None` where it says so already.
    pub fn applied(&self, before: &LoadBalancerStatus, text: &str) -> Option<Applied> {
        let rendered = Rendered {
            revision: before.revision.clone()?,
            text: before.config.clone()?,
            stream: Some(text.to_owned()),
        };
        if rendered.listening() == before.stream_config.as_deref() {
            return None;
        }
        // What is in the file of requests, too, is in nginx as long as that is.
        let mut strays = self.strays.clone();
        strays.retain(|server| !down::names(&rendered.text, &server.address));
        Some(Applied {
            plan: without_strays(before, rendered, &strays),
            reload: None,
        })
    }
}
