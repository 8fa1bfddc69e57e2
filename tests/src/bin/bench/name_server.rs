//! A name server of this bench's own, for an nginx that learns its servers from DNS: it answers every question of A with the
//! addresses of the moment, and counts what it answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// How long an answer may be kept, seconds: the shortest that nginx knows.
const TTL: u32 = 1;
/// Longest question over UDP without an extension.
const LONGEST: usize = 512;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    addresses: Vec<Ipv4Addr>,
    /// Those of the last answer.
    answered: Vec<Ipv4Addr>,
    /// How often it was asked.
    asked: u32,
    /// How often an answer was another one than that before it.
    changes: u32,
}

impl NameServer {
    /// At an address that containers reach.
    pub(crate) async fn at(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await;
        let socket = socket.unwrap_or_else(|error| panic!("no name server at {ip}: {error}"));
        let address = socket.local_addr();
        let address = address.unwrap_or_else(|error| panic!("a socket without an address: {error}"));
        let zone = Arc::<Mutex<Zone>>::default();
        let serving = tokio::spawn(serve(socket, zone.clone()));
        Self {
            address,
            zone,
            serving,
        }
    }

    pub(crate) fn set(&self, addresses: Vec<Ipv4Addr>) {
        lock(&self.zone).addresses = addresses;
    }

    /// How often it was asked so far, and how many changes it answered: as many as nginx can have heard of.
    pub(crate) fn answered(&self) -> (u32, u32) {
        let zone = lock(&self.zone);
        (zone.asked, zone.changes)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut question = [0; LONGEST];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut question).await else {
            continue;
        };
        let asked = Message::from_vec(question.get(..length).unwrap_or_default());
        let answer = asked.map(|asked| answer(&asked, &mut lock(&zone)));
        if let Ok(Ok(bytes)) = answer.map(|answer| answer.to_vec()) {
            // Where one is lost, nginx asks once more.
            let _sent = socket.send_to(&bytes, from).await;
        }
    }
}

fn answer(asked: &Message, zone: &mut Zone) -> Message {
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = asked.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    for query in &asked.queries {
        answer.add_query(query.clone());
        if query.query_type() != RecordType::A {
            continue;
        }
        zone.asked += 1;
        if zone.answered != zone.addresses {
            zone.answered = zone.addresses.clone();
            zone.changes += 1;
        }
        for address in &zone.addresses {
            let record = Record::from_rdata(query.name().clone(), TTL, RData::A(A(*address)));
            answer.add_answer(record);
        }
    }
    answer
}
