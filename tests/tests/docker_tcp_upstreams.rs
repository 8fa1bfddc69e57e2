//! Promise: a TCP backend is a field of a LoadBalancer. Connections last through a change of scale, new ones go to ready
//! servers alone, and are closed at once where there is none. An nginx that does not read the file is left as it is, byte
//! for byte, and the condition names the line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{Api, Nginx, World, eventually, manifests};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const HTTP: &str = "user nginx;\nworker_processes 2;\nerror_log /dev/stderr notice;\npid /run/nginx.pid;\nevents { worker_connections 512; }\n\
                    http {\n    include /etc/nginx/mime.types;\n    access_log off;\n    include /etc/nginx/conf.d/*.conf;\n}\n";
const STREAM: &str = "stream { include /etc/nginx/stream.d/*.conf; }\n";
const PORT: u16 = 5432;
const SOON: Duration = Duration::from_secs(10);

/// nginx on its source's image with this main configuration, which lies in a file of this machine.
async fn nginx(world: &World, base: &str, main: &str) -> Nginx {
    let file = world.file(&format!("{base}/nginx.conf"), main);
    let body = json!({
        "Image": manifests::NGINX_ON_SOURCE, "Entrypoint": ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"], "Labels": {},
        "Volumes": {"/etc/nginx/stream.d": {}},
        "HostConfig": {"NetworkMode": world.network(), "Binds": [format!("{}:/etc/nginx/nginx.conf:ro", file.display())]},
    });
    world.nginx_of(base, body).await
}

fn backends(workload: &str) -> Value {
    json!([
        {"workload": workload, "port": 8000, "upstream": "web"},
        {"workload": workload, "port": 8002, "upstream": "echo", "protocol": "Tcp", "listenPort": PORT},
    ])
}

/// A connection through nginx, and the host that answers it.
struct Session {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Session {
    /// The error says what a client meets: `closed` where nginx takes and closes it.
    async fn open(ip: IpAddr) -> Result<Self, String> {
        let open = async {
            let stream = TcpStream::connect(SocketAddr::from((ip, PORT))).await;
            let mut stream = BufReader::new(stream.map_err(|error| error.kind().to_string())?);
            let mut host = String::new();
            let read = stream.read_line(&mut host).await;
            match read.map_err(|error| error.kind().to_string())? {
                0 => Err("closed".to_owned()),
                _ => Ok(Self {
                    stream,
                    host: host.trim().to_owned(),
                }),
            }
        };
        let opened = tokio::time::timeout(SOON, open).await;
        opened.map_err(|_| "no answer".to_owned())?
    }

    /// Whether what it sends comes back.
    async fn echoes(&mut self) -> bool {
        let echo = async {
            self.stream.write_all(b"ping\n").await.ok()?;
            let mut back = String::new();
            self.stream.read_line(&mut back).await.ok()?;
            (back == "ping\n").then_some(())
        };
        tokio::time::timeout(SOON, echo).await.ok().flatten().is_some()
    }

    async fn ends(&mut self) {
        let mut rest = String::new();
        let end = tokio::time::timeout(Duration::from_secs(60), self.stream.read_line(&mut rest)).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}: {rest}");
    }
}

async fn hosts(ip: IpAddr, connections: usize) -> Result<BTreeSet<String>, String> {
    let mut hosts = BTreeSet::new();
    for _ in 0..connections {
        hosts.insert(Session::open(ip).await?.host);
    }
    Ok(hosts)
}

async fn scale(api: &Api, workload: &str, replicas: u64) {
    let patch = json!({"spec": {"replicas": replicas}});
    api.merge_ok("workloads", workload, &patch).await;
    api.workload_ready(workload, replicas).await;
}

async fn says(api: &Api, balancer: &str, parts: &[&str]) {
    eventually(&format!("{balancer} says {parts:?}"), async || {
        let balancer = api.object("loadbalancers", balancer).await.ok_or("gone")?;
        let ready = condition(&balancer, ConditionType::Ready).to_string();
        match parts.iter().all(|part| ready.contains(part)) {
            true => Ok(()),
            false => Err(ready),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_lasts_through_a_change_of_scale_and_is_closed_where_no_server_is_left() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let app = world.name("app");
    api.apply(&manifests::echoing(&app, world.network(), 1, &Value::Null))
        .await;
    let front = nginx(&world, "tcp", &format!("{HTTP}{STREAM}")).await;
    let ip = front.container.ip().await.expect("an address");
    let mut balancer = manifests::balancing(&front.name, &app);
    balancer["spec"]["backends"] = backends(&app);
    api.apply(&balancer).await;
    api.workload_ready(&app, 1).await;
    // Of each container one line by HTTP and one by TCP.
    api.balancer_serves(&front.name, 2).await;
    let mut first = Session::open(ip).await.expect("a connection");
    assert!(first.echoes().await);

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let client = tokio::spawn(async move {
        let (mut answered, mut failed) = (0_u32, Vec::new());
        while !stopped.load(Ordering::Relaxed) {
            match Session::open(ip).await {
                Ok(mut session) => match session.echoes().await {
                    true => answered += 1,
                    false => failed.push("no echo".to_owned()),
                },
                Err(why) => failed.push(why),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (answered, failed)
    });
    scale(&api, &app, 3).await;
    api.balancer_serves(&front.name, 6).await;
    assert!(first.echoes().await, "it survives the reload");
    eventually("new connections reach all three", async || {
        match hosts(ip, 12).await? {
            all if all.len() == 3 => Ok(()),
            some => Err(format!("{some:?}")),
        }
    })
    .await;
    let mut sessions = vec![first];
    for _ in 0..8 {
        sessions.push(Session::open(ip).await.expect("a connection"));
    }

    scale(&api, &app, 1).await;
    api.balancer_serves(&front.name, 2).await;
    stop.store(true, Ordering::Relaxed);
    let (answered, failed) = client.await.expect("a client ends");
    println!("{answered} connections answered, {} failed", failed.len());
    assert!(answered > 20 && failed.is_empty(), "{answered} {failed:?}");
    let left = hosts(ip, 6).await.expect("the one that is left answers");
    assert_eq!(left.len(), 1);
    for session in &mut sessions {
        match left.contains(&session.host) {
            true => assert!(session.echoes().await, "one of a server that stays"),
            // Its time was up with the drain's.
            false => session.ends().await,
        }
    }
    eventually("the connections that were under way are counted", async || {
        let balancer = api.object("loadbalancers", &front.name).await.ok_or("gone")?;
        let receipts = balancer["status"]["receipts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let forced = receipts
            .iter()
            .filter_map(|receipt| receipt["requests"]["forced"].as_u64());
        match forced.sum::<u64>() {
            0 => Err(format!("{receipts:?}")),
            _ => Ok(()),
        }
    })
    .await;

    let patch = json!({"spec": {"replicas": 0}});
    api.merge_ok("workloads", &app, &patch).await;
    let closed = async || match Session::open(ip).await {
        Err(why) if why == "closed" => Ok(()),
        other => Err(format!("{:?}", other.map(|session| session.host))),
    };
    eventually("new connections are closed at once", closed).await;
    says(
        &api,
        &front.name,
        &["False", "upstream echo closes connections since"],
    )
    .await;
    scale(&api, &app, 1).await;
    eventually("and answered again", async || Session::open(ip).await.map(drop)).await;

    let without = json!({"spec": {"backends": [{"workload": app, "port": 8000, "upstream": "web"}]}});
    api.merge_ok("loadbalancers", &front.name, &without).await;
    eventually("nothing listens any more", async || {
        match Session::open(ip).await {
            Err(why) if why.contains("refused") => Ok(()),
            other => Err(format!("{:?}", other.map(|session| session.host))),
        }
    })
    .await;
    let files = front.files("/etc/nginx/stream.d").await;
    let text = files
        .get("stream.d/upstream.conf")
        .map(|file| String::from_utf8_lossy(file).into_owned());
    assert!(
        text.is_some_and(|text| text.lines().all(|line| line.starts_with('#'))),
        "{files:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_that_does_not_read_the_file_is_left_alone_until_the_line_that_is_named_is_there() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let app = world.name("app");
    api.apply(&manifests::echoing(&app, world.network(), 1, &Value::Null))
        .await;
    let front = nginx(&world, "bare", HTTP).await;
    let ip = front.container.ip().await.expect("an address");
    let name = front.name.clone();
    api.apply(&manifests::balancing(&name, &app)).await;
    api.workload_ready(&app, 1).await;
    api.balancer_serves(&name, 1).await;
    let live = async || -> Vec<BTreeMap<String, Vec<u8>>> {
        vec![
            front.files("/etc/nginx/conf.d").await,
            front.files("/etc/nginx/stream.d").await,
        ]
    };
    let before = live().await;

    let tcp = json!({"spec": {"backends": backends(&app)}});
    api.merge_ok("loadbalancers", &name, &tcp).await;
    let line = "add `stream { include /etc/nginx/stream.d/*.conf; }` to /etc/nginx/nginx.conf";
    says(&api, &name, &["NotConfigurable", line]).await;
    let in_http = HTTP.replace("access_log off;", "include /etc/nginx/stream.d/*.conf;");
    world.file("bare/nginx.conf", &in_http);
    says(
        &api,
        &name,
        &[
            "NotConfigurable",
            "line 8 of /etc/nginx/nginx.conf includes",
            line,
        ],
    )
    .await;
    let http = HTTP.replace(
        "    access_log off;",
        &format!("    access_log off;\n    server {{ listen {PORT}; }}"),
    );
    world.file("bare/nginx.conf", &format!("{http}{STREAM}"));
    says(
        &api,
        &name,
        &[
            "NotConfigurable",
            "/etc/nginx/nginx.conf:9 listens on port 5432 already",
        ],
    )
    .await;
    assert_eq!(live().await, before, "its live files were touched");
    assert_eq!(front.get("/lb-health").await.expect("an answer").0, 200);

    world.file("bare/nginx.conf", &format!("{HTTP}{STREAM}"));
    eventually("nginx takes TCP", async || Session::open(ip).await.map(drop)).await;
    says(&api, &name, &["True"]).await;
    api.delete("loadbalancers", &name).await;
    api.gone("loadbalancers", &name).await;
    eventually("nothing listens any more", async || {
        match Session::open(ip).await {
            Err(why) if why.contains("refused") => Ok(()),
            other => Err(format!("{:?}", other.map(|session| session.host))),
        }
    })
    .await;
}
