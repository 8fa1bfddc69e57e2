//! The other way to change the servers of an nginx (1.27.3 and newer): it asks DNS for them, and is never reloaded. Only what
//! `docs/adr/0007-reloads-or-dns.md` compares; the controller does not do this.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aegis_tests::{Container, Nginx, eventually};
use serde_json::Value;

use crate::name_server::NameServer;
use crate::serving::{address, with_config};
use crate::stack::Stack;

const NAME: &str = "servers.bench";

/// An nginx with the configuration that the controller has made for another one, but for its servers.
pub(crate) struct ByDns {
    pub(crate) nginx: Nginx,
    pub(crate) address: SocketAddr,
    names: NameServer,
    servers: Vec<Ipv4Addr>,
}

impl ByDns {
    /// With the server of this load balancer, and others that [`Self::set`] adds.
    pub(crate) async fn new(stack: &Stack, balancer: &str, first: &Container, others: &[Container]) -> Self {
        let names = NameServer::at(stack.world.gateway()).await;
        let mut servers = vec![v4(first.ip().await)];
        names.set(servers.clone());
        for other in others {
            servers.push(v4(other.ip().await));
        }
        let object = stack
            .api
            .object("loadbalancers", balancer)
            .await
            .unwrap_or_default();
        let config = object.pointer("/status/config").and_then(Value::as_str);
        let config = config.unwrap_or_else(|| panic!("{balancer} has no configuration"));
        let name = format!("dns-{balancer}");
        let nginx = with_config(stack, &name, &asking(config, names.address)).await;
        let address = address(nginx.container.ip().await);
        let by_dns = Self {
            nginx,
            address,
            names,
            servers,
        };
        eventually("nginx has learned its server from DNS", async || {
            match by_dns.nginx.get("/").await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        by_dns
    }

    /// The first server, and so many others.
    pub(crate) fn set(&self, others: usize) {
        self.names
            .set(self.servers.iter().take(others + 1).copied().collect());
    }

    /// How often nginx has asked so far, and how many changes it heard of.
    pub(crate) fn heard(&self) -> (u32, u32) {
        self.names.answered()
    }
}

fn v4(ip: Option<IpAddr>) -> Ipv4Addr {
    match ip {
        Some(IpAddr::V4(ip)) => ip,
        other => panic!("a server has the address {other:?}"),
    }
}

/// The configuration, with one name in the place of each upstream's servers.
fn asking(config: &str, names: SocketAddr) -> String {
    let mut text = format!("resolver {names} valid=1s ipv6=off;\n");
    for line in config.lines() {
        let parameters = line
            .trim()
            .strip_prefix("server ")
            .and_then(|rest| rest.split_once(' '));
        let line = match parameters {
            Some((address, parameters)) if address.contains(':') => {
                let port = address.rsplit(':').next().unwrap_or_default();
                format!("    zone servers 256k;\n    server {NAME}:{port} resolve {parameters}")
            }
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}
