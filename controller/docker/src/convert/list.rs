//! The answer of `GET /containers/json`. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aegis_api::observed::{ContainerState, ContainerSummary, PublishedPort, host_address};
use serde::de::{MapAccess, SeqAccess};

use super::lenient::{Lenient, Read, fill, key, skip};

/// The containers; `None` where the answer is no list. What has no id is left out.
pub(crate) fn list(answer: &[u8]) -> serde_json::Result<Option<Vec<ContainerSummary>>> {
    let Read(Rows(rows)) = serde_json::from_slice::<Read<Rows>>(answer)?;
    Ok(rows)
}

#[derive(Default)]
struct Rows(Option<Vec<ContainerSummary>>);

impl<'de> Lenient<'de> for Rows {
    fn of_items<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut rows = Vec::new();
        while let Some(Read(Row(row))) = items.next_element()? {
            rows.extend((!row.id.is_empty()).then_some(row));
        }
        Ok(Self(Some(rows)))
    }
}

#[derive(Default)]
struct Row(ContainerSummary);

impl<'de> Lenient<'de> for Row {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let mut row = ContainerSummary::default();
        while let Some(key) = key(&mut entries)? {
            let text = |entries: &mut A| Ok(entries.next_value::<Read<String>>()?.0);
            match &*key {
                "Id" => row.id = text(&mut entries)?.into(),
                "Names" => row.name = entries.next_value::<Read<OwnName>>()?.0.0,
                "Image" => row.image = text(&mut entries)?,
                "State" => row.state = ContainerState::from_word(&text(&mut entries)?),
                "Status" => row.status = text(&mut entries)?,
                "Labels" => fill(&mut row.labels, &mut entries)?,
                "NetworkSettings" => row.networks = entries.next_value::<Read<Networks>>()?.0.0,
                "Created" => fill(&mut row.created, &mut entries)?,
                "Ports" => row.published = entries.next_value::<Read<Ports>>()?.0.0,
                _ => skip(&mut entries)?,
            }
        }
        Ok(Self(row))
    }
}

/// A linked container has further names such as `/web/database`; its own has one slash.
#[derive(Default)]
struct OwnName(String);

impl<'de> Lenient<'de> for OwnName {
    fn of_items<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut own = None;
        while let Some(Read(name)) = items.next_element::<Read<String>>()? {
            let name = name.trim_start_matches('/');
            if own.is_none() && !name.is_empty() && !name.contains('/') {
                own = Some(name.to_owned());
            }
        }
        Ok(Self(own.unwrap_or_default()))
    }
}

impl<'de> Lenient<'de> for BTreeMap<String, String> {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let mut labels = Self::new();
        while let Some(key) = key(&mut entries)? {
            labels.insert(key.into_owned(), entries.next_value::<Read<String>>()?.0);
        }
        Ok(labels)
    }
}

/// Of `NetworkSettings`: each network with the container's address on it.
#[derive(Default)]
struct Networks(BTreeMap<String, Option<IpAddr>>);

impl<'de> Lenient<'de> for Networks {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let mut networks = Joined::default();
        while let Some(key) = key(&mut entries)? {
            match &*key {
                "Networks" => fill(&mut networks, &mut entries)?,
                _ => skip(&mut entries)?,
            }
        }
        Ok(Self(networks.0))
    }
}

#[derive(Default)]
struct Joined(BTreeMap<String, Option<IpAddr>>);

impl<'de> Lenient<'de> for Joined {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let mut joined = BTreeMap::new();
        while let Some(key) = key(&mut entries)? {
            let Read(Addresses { four, six }) = entries.next_value()?;
            joined.insert(key.into_owned(), four.0.or(six.0));
        }
        Ok(Self(joined))
    }
}

/// IPv4 first; an endpoint without an address (its container does not run) has `""`.
#[derive(Default)]
struct Addresses {
    four: Address,
    six: Address,
}

impl<'de> Lenient<'de> for Addresses {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let mut addresses = Self::default();
        while let Some(key) = key(&mut entries)? {
            match &*key {
                "IPAddress" => fill(&mut addresses.four, &mut entries)?,
                "GlobalIPv6Address" => fill(&mut addresses.six, &mut entries)?,
                _ => skip(&mut entries)?,
            }
        }
        Ok(addresses)
    }
}

#[derive(Default)]
struct Address(Option<IpAddr>);

impl Lenient<'_> for Address {
    fn of_text(text: &str) -> Self {
        Self(text.parse().ok())
    }
}

/// Ports that lead nowhere on the host have no `PublicPort`.
#[derive(Default)]
struct Ports(Vec<PublishedPort>);

impl<'de> Lenient<'de> for Ports {
    fn of_items<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut ports = Vec::new();
        while let Some(Read(Port(port))) = items.next_element()? {
            ports.extend(port);
        }
        Ok(Self(ports))
    }
}

#[derive(Default)]
struct Port(Option<PublishedPort>);

impl<'de> Lenient<'de> for Port {
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        let (mut address, mut port, mut protocol) = (String::new(), 0_i64, String::new());
        while let Some(key) = key(&mut entries)? {
            match &*key {
                "IP" => fill(&mut address, &mut entries)?,
                "PublicPort" => fill(&mut port, &mut entries)?,
                "Type" => fill(&mut protocol, &mut entries)?,
                _ => skip(&mut entries)?,
            }
        }
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        Ok(Self(port.map(|port| PublishedPort {
            address: host_address(&address),
            port,
            protocol,
        })))
    }
}
