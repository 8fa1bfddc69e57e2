//! Promise: whichever way people run nginx, it serves requests before, during and after a change of scale; or the LoadBalancer
//! says which line, mount or field to change, before the live file is touched. Files of others stay as they are, byte for
//! byte, and nothing is left behind.
//!
//! Each set-up runs with the nginx that is made from source (1.28) and, where its packages can be had, with Debian's (1.22).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use aegis_api::{ConditionType, Time};
use aegis_tests::api::condition;
use aegis_tests::launch::free_port;
use aegis_tests::{Api, Nginx, World, eventually, manifests};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const MAIN: &str = "user nginx;\nworker_processes 1;\nerror_log /dev/stderr notice;\npid /run/nginx.pid;\nevents { worker_connections 512; }\n\
                    http {\n    include /etc/nginx/mime.types;\n    access_log off;\n    include /etc/nginx/conf.d/*.conf;\n}\n";
/// As nginx's own image brings it, shortened.
const STOCK: &str = "server {\n    listen       80;\n    server_name  localhost;\n\n    location = / {\n        return 200 'stock';\n    }\n}\n";
const CONF_D: &str = "/etc/nginx/conf.d";
const LIVE: &str = "conf.d/upstream.conf";
/// Until a new server has its whole share.
const SLOW_START: Duration = Duration::from_secs(8);

/// Headers that only what stands in front may set.
const BELIEVED: [&str; 24] = [
    "forwarded",
    "forwarded-for",
    "x-forwarded",
    "x-forwarded-server",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "x-url-scheme",
    "front-end-https",
    "proxy",
];

/// What is to become of a set-up.
enum End {
    /// It serves this URL's path.
    Serves,
    /// It says all of these, and goes on as before.
    Says(Vec<&'static str>),
    /// It says these; then the spec is changed by this patch, and it serves.
    SaysThenServes(Vec<&'static str>, Value),
}

struct Setup {
    what: String,
    front: Nginx,
    balancers: Vec<Value>,
    urls: Vec<String>,
    end: End,
    before: BTreeMap<String, Vec<u8>>,
}

/// How a set-up differs from the usual one.
struct Plan {
    what: &'static str,
    main: String,
    /// Where the main configuration lies.
    main_path: &'static str,
    /// Other files in `conf.d`, which is then a folder of this machine, mounted.
    beside: Vec<(&'static str, String)>,
    read_only: bool,
    /// `upstream.conf` is a mount of its own.
    single_file: bool,
    host_network: bool,
    /// What nginx is given on its command line.
    globals: &'static str,
    spec: Value,
    backend: Value,
    /// Scheme, port and path at which it is asked.
    asked: Vec<(&'static str, u16, &'static str)>,
    end: End,
}

impl Plan {
    fn usual(what: &'static str) -> Self {
        Self {
            what,
            main: MAIN.to_owned(),
            main_path: "/etc/nginx/nginx.conf",
            beside: Vec::new(),
            read_only: false,
            single_file: false,
            host_network: false,
            globals: "daemon off;",
            spec: json!({}),
            backend: json!({}),
            asked: vec![("http", 80, "/")],
            end: End::Serves,
        }
    }
}

fn plans() -> Vec<Plan> {
    let relative = MAIN.replace("/etc/nginx/", "");
    let port = || free_port(IpAddr::from(Ipv4Addr::LOCALHOST)).port();
    let (host_port, v6_port) = (port(), port());
    vec![
        Plan {
            beside: vec![("default.conf", STOCK.to_owned())],
            ..Plan::usual("stock default.conf")
        },
        Plan {
            main: relative.clone(),
            // What another file names relatively is relative to the main configuration, too.
            beside: vec![("more.conf", "include mime.types;\n".to_owned())],
            ..Plan::usual("relative includes")
        },
        Plan {
            beside: vec![("default.conf", STOCK.to_owned())],
            read_only: true,
            end: End::Says(vec![
                "NotConfigurable",
                "/etc/nginx/conf.d is mounted read-only",
                "`:ro`",
            ]),
            ..Plan::usual("read-only conf.d")
        },
        Plan {
            single_file: true,
            ..Plan::usual("single-file mount")
        },
        Plan {
            host_network: true,
            spec: json!({"port": host_port}),
            asked: vec![("http", host_port, "/")],
            ..Plan::usual("host network")
        },
        Plan {
            spec: json!({"tls": {"certificate": "/etc/nginx/conf.d/cert.pem", "key": "/etc/nginx/conf.d/key.pem"}}),
            beside: vec![("cert.pem", String::new())],
            asked: vec![("https", 443, "/"), ("http", 80, "/")],
            ..Plan::usual("TLS in front")
        },
        Plan {
            spec: json!({"trustedProxies": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]}),
            backend: json!({"path": "/app/", "buffering": false}),
            asked: vec![("http", 80, "/app/"), ("http", 80, "/app/deep/er?x=1")],
            ..Plan::usual("sub-path")
        },
        Plan {
            asked: vec![("http", 80, "/"), ("http", 81, "/")],
            ..Plan::usual("two apps")
        },
        Plan {
            host_network: true,
            spec: json!({"port": v6_port, "ipv6": true}),
            asked: vec![("http", v6_port, "/")],
            ..Plan::usual("IPv6")
        },
        Plan {
            main: relative,
            main_path: "/srv/web/lb.conf",
            end: End::SaysThenServes(
                vec![
                    "NotConfigurable",
                    "nginx was started with /srv/web/lb.conf",
                    "set spec.mainConfigPath to /srv/web/lb.conf",
                ],
                json!({"mainConfigPath": "/srv/web/lb.conf", "configPath": "/srv/web/conf.d/upstream.conf"}),
            ),
            ..Plan::usual("another main file")
        },
        Plan {
            // What checks and reloads must be given the same, or there is no such process id.
            main: MAIN.replace("pid /run/nginx.pid;\n", ""),
            globals: "daemon off; pid /tmp/nginx.pid;",
            ..Plan::usual("directives on the command line")
        },
        Plan {
            beside: vec![("default.conf", STOCK.replace("80;", "80 default_server;"))],
            end: End::Says(vec![
                "ConfigRefused",
                "/etc/nginx/conf.d/default.conf:2 is the default server of port 80: take default_server away there",
            ]),
            ..Plan::usual("another default server")
        },
        Plan {
            main: MAIN.replace("conf.d/*.conf", "sites-enabled/*"),
            end: End::Says(vec![
                "NotConfigurable",
                "add `include /etc/nginx/conf.d/upstream.conf;` to the http block of /etc/nginx/nginx.conf",
            ]),
            ..Plan::usual("a folder that nginx does not read")
        },
    ]
}

/// Starts its nginx.
async fn make(world: &World, image: &str, number: usize, plan: Plan, web: &str) -> Setup {
    let old = image == manifests::NGINX_OF_DEBIAN;
    let base = format!("lb{}{number}", if old { "o" } else { "n" });
    let main = world.file(&format!("{base}/nginx.conf"), &plan.main);
    let mut binds = vec![format!("{}:{}:ro", main.display(), plan.main_path)];
    let own_folder = plan.main_path != "/etc/nginx/nginx.conf";
    let folder = match own_folder {
        true => "/srv/web/conf.d",
        false => CONF_D,
    };
    if own_folder {
        let types = world.file(&format!("{base}/mime.types"), "types { text/html html; }\n");
        binds.push(format!("{}:/srv/web/mime.types:ro", types.display()));
    }
    if !plan.beside.is_empty() || own_folder {
        let keys = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        for (name, text) in &plan.beside {
            let text = match *name {
                "cert.pem" => {
                    world.file(
                        &format!("{base}/conf.d/key.pem"),
                        &keys.signing_key.serialize_pem(),
                    );
                    keys.cert.pem()
                }
                _ => text.clone(),
            };
            world.file(&format!("{base}/conf.d/{name}"), &text);
        }
        let mounted = world.file(&format!("{base}/conf.d/README"), "of somebody else\n");
        let mounted = mounted.parent().expect("a folder").display().to_string();
        binds.push(format!(
            "{mounted}:{folder}{}",
            if plan.read_only { ":ro" } else { "" }
        ));
    }
    if plan.single_file {
        let file = world.file(&format!("{base}/upstream.conf"), STOCK);
        binds.push(format!("{}:{CONF_D}/upstream.conf", file.display()));
    }
    let mut entrypoint = vec!["nginx", "-e", "/dev/stderr", "-g", plan.globals];
    if own_folder {
        entrypoint.extend(["-c", plan.main_path]);
    }
    let network = if plan.host_network {
        "host"
    } else {
        world.network()
    };
    let body = json!({
        "Image": image, "Entrypoint": entrypoint, "Labels": {},
        "HostConfig": {"NetworkMode": network, "Binds": binds},
    });
    let front = world.nginx_of(&base, body).await;
    let before = front.files(folder).await;
    let ip = match plan.host_network {
        true => "127.0.0.1".to_owned(),
        false => front.container.ip().await.expect("an address").to_string(),
    };
    let mut balancer = manifests::balancing(&front.name, web);
    merge(&mut balancer["spec"], &plan.spec);
    merge(&mut balancer["spec"]["backends"][0], &plan.backend);
    let mut balancers = vec![balancer];
    if plan.asked.iter().any(|(_, port, _)| *port == 81) {
        let mut second = manifests::balancing(&front.name, web);
        second["metadata"]["name"] = json!(format!("{}-2", front.name));
        merge(
            &mut second["spec"],
            &json!({"port": 81, "configPath": format!("{CONF_D}/second.conf")}),
        );
        second["spec"]["backends"][0]["upstream"] = json!("second_app");
        balancers.push(second);
    }
    let version = if old { "1.22" } else { "1.28" };
    let mut urls: Vec<String> = plan
        .asked
        .iter()
        .map(|(scheme, port, path)| format!("{scheme}://{ip}:{port}{path}"))
        .collect();
    if plan.spec["ipv6"] == true && std::path::Path::new("/proc/net/if_inet6").exists() {
        let port = &plan.spec["port"];
        urls.push(format!("http://[::1]:{port}/"));
    }
    Setup {
        what: format!("{} ({version})", plan.what),
        front,
        balancers,
        urls,
        end: plan.end,
        before,
    }
}

fn merge(onto: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().into_iter().flatten() {
        onto[name] = value.clone();
    }
}

fn http() -> reqwest::Client {
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(20));
    client.no_proxy().build().expect("an HTTP client")
}

impl Setup {
    async fn says(&self, api: &Api, parts: &[&str]) {
        let what = format!("{}: says {parts:?}", self.what);
        eventually(&what, async || {
            let balancer = api
                .object("loadbalancers", &self.front.name)
                .await
                .ok_or("gone")?;
            let ready = condition(&balancer, ConditionType::Ready).to_string();
            match parts.iter().all(|part| ready.contains(part)) {
                true => Ok(()),
                false => Err(ready),
            }
        })
        .await;
    }

    /// Whether its nginx was left as it was, but for the files that are ours.
    async fn files_of_others_are_as_before(&self, folder: &str) {
        let mut after = self.front.files(folder).await;
        let mut before = self.before.clone();
        for ours in [LIVE, "conf.d/second.conf"] {
            after.remove(ours);
            before.remove(ours);
        }
        assert_eq!(after, before, "{}: files of others", self.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_serves_through_a_change_of_scale_or_the_condition_says_what_to_change() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let web = world.name("web");
    api.apply(&manifests::echoing(&web, world.network(), 1, &Value::Null))
        .await;
    let mut setups = Vec::new();
    for image in [manifests::NGINX_ON_SOURCE, manifests::NGINX_OF_DEBIAN] {
        for (number, plan) in plans().into_iter().enumerate() {
            setups.push(make(&world, image, number, plan, &web).await);
        }
    }
    for setup in &setups {
        for balancer in &setup.balancers {
            api.apply(balancer).await;
        }
    }
    api.workload_ready(&web, 1).await;
    let mut serving = Vec::new();
    for setup in &setups {
        match &setup.end {
            End::Serves => serving.push(setup),
            End::Says(parts) => {
                setup.says(&api, parts).await;
                // A load balancer that may still come to serve a container holds up its end.
                api.delete("loadbalancers", &setup.front.name).await;
                api.gone("loadbalancers", &setup.front.name).await;
            }
            End::SaysThenServes(parts, patch) => {
                setup.says(&api, parts).await;
                let patch = json!({"spec": patch});
                api.merge_ok("loadbalancers", &setup.front.name, &patch).await;
                serving.push(setup);
            }
        }
    }
    let all_serve = async |replicas: u64| {
        api.workload_ready(&web, replicas).await;
        for setup in &serving {
            for balancer in &setup.balancers {
                let name = balancer["metadata"]["name"].as_str().expect("a name");
                api.balancer_serves(name, replicas).await;
            }
        }
    };
    all_serve(1).await;
    a_stock_site_is_named(&api, &serving).await;
    applications_get_what_they_need(&api, &serving).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for setup in &serving {
        for url in &setup.urls {
            let (what, url, stop) = (setup.what.clone(), url.clone(), stop.clone());
            clients.spawn(async move {
                let http = http();
                let (answered, mut failed) = (AtomicU32::new(0), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match http.get(&url).header("connection", "close").send().await {
                        Ok(answer) if answer.status() == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => failed.push(format!("{other:?}")),
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                (format!("{what} at {url}"), answered.into_inner(), failed)
            });
        }
    }
    for replicas in [3, 1] {
        let patch = json!({"spec": {"replicas": replicas}});
        api.merge_ok("workloads", &web, &patch).await;
        all_serve(replicas).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        let (what, answered, failed) = ended.expect("a client ends");
        println!("{what}: {answered} answered, {} failed", failed.len());
        assert!(answered > 5, "{what}: there was no load to speak of");
        assert!(failed.is_empty(), "{what}: {failed:?}");
    }
    for setup in &serving {
        let signals = world.events().count(&setup.front.container.id, "kill").await;
        assert_eq!(signals, 0, "{}: nginx was signalled by the engine", setup.what);
    }
    for setup in &setups {
        let folder = match setup.before.keys().any(|name| name == "conf.d/README")
            && setup.what.starts_with("another main")
        {
            true => "/srv/web/conf.d",
            false => CONF_D,
        };
        setup.files_of_others_are_as_before(folder).await;
        if let End::Says(parts) = &setup.end {
            assert!(
                setup.front.files(folder).await.get(LIVE) == setup.before.get(LIVE),
                "{}: the live file was touched",
                setup.what
            );
            println!("{}: says {parts:?}", setup.what);
        }
    }
}

/// It serves, and what is not its own is said.
async fn a_stock_site_is_named(api: &Api, serving: &[&Setup]) {
    for setup in serving.iter().filter(|setup| setup.what.starts_with("stock")) {
        setup
            .says(api, &["True", "localhost (/etc/nginx/conf.d/default.conf:2)"])
            .await;
    }
}

/// Between two pieces of an answer, and between two messages of a WebSocket.
async fn a_silence_is_as_long_as_the_field_says(api: &Api, balancer: &str, url: &str) {
    let mut spec = api.object("loadbalancers", balancer).await.expect("it is there")["spec"].take();
    let pieces = |answer: reqwest::Response| async move {
        let (mut answer, mut pieces) = (answer, 0);
        while let Ok(Some(_)) = answer.chunk().await {
            pieces += 1;
        }
        pieces
    };
    for (time, whole) in [("2s", false), ("6s", true)] {
        spec["backends"][0]["readTimeout"] = json!(time);
        let patched = api
            .merge_ok(
                "loadbalancers",
                balancer,
                &json!({"spec": {"backends": spec["backends"]}}),
            )
            .await;
        api.until("LoadBalancer", balancer, "the time is in force", |balancer| {
            let is_new = balancer["status"]["observedGeneration"] == patched["metadata"]["generation"];
            let is_ready = condition(balancer, ConditionType::Ready)["status"] == "True";
            (is_new && is_ready)
                .then_some(())
                .ok_or_else(|| balancer["status"].to_string())
        })
        .await;
        // Workers of before go on taking connections for a moment.
        eventually("it is so for all workers", async || {
            let stream = http()
                .get(format!("{url}events?count=2&every_ms=4000"))
                .header("connection", "close");
            let pieces = pieces(stream.send().await.expect("an answer begins")).await;
            match (pieces == 2) == whole {
                true => Ok(()),
                false => Err(format!("{pieces} pieces with {time}")),
            }
        })
        .await;
        let address = format!("{}echo", url.replacen("http", "ws", 1));
        let (mut socket, _) = tokio_tungstenite::connect_async(address)
            .await
            .expect("a WebSocket");
        for second in [0, 4] {
            tokio::time::sleep(Duration::from_secs(second)).await;
            let sent = socket.send("hello".into()).await;
            let heard = socket.next().await;
            let is_heard = sent.is_ok() && matches!(&heard, Some(Ok(message)) if message.is_text());
            assert_eq!(is_heard, second == 0 || whole, "{time}: {heard:?}");
        }
    }
}

/// Headers of who ends TLS in front, the Host with its port, uploads, events as they come, a path that is stripped.
async fn applications_get_what_they_need(api: &Api, serving: &[&Setup]) {
    for setup in serving.iter().filter(|setup| setup.what.starts_with("sub-path")) {
        let url = &setup.urls[0];
        let ask = async |fields: &[(&str, &str)]| -> Value {
            let mut request = http().get(format!("{url}who/am/i"));
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let answer = request.send().await.expect("an answer");
            answer.json().await.expect("a JSON answer")
        };
        let behind_tls = [
            ("host", "shop.example:8443"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-prefix", "/outer"),
            ("x-original-url", "/admin"),
            ("cookie", "a=1; aegis_session=secret; b=2"),
        ];
        let seen = ask(&behind_tls).await;
        let header = |seen: &Value, name: &str| seen["headers"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(seen["path"], "/who/am/i", "{seen}");
        for (name, value) in [
            ("host", "shop.example:8443"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example:8443"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-prefix", "/outer/app"),
            ("x-original-url", "/admin"),
            ("cookie", "a=1; b=2"),
        ] {
            assert_eq!(header(&seen, name), value, "{}: {name} in {seen}", setup.what);
        }
        assert!(
            header(&seen, "x-forwarded-for").starts_with("203.0.113.9, "),
            "{seen}"
        );
        let smuggled = ask(&[
            ("upgrade", "h2c"),
            ("connection", "upgrade, http2-settings"),
            ("http2-settings", "AA"),
        ])
        .await;
        assert_eq!(header(&smuggled, "upgrade"), "", "{smuggled}");

        let upload = http()
            .post(url)
            .body(vec![b'x'; 2_000_000])
            .send()
            .await
            .expect("an answer");
        let upload: Value = upload.json().await.expect("a JSON answer");
        assert_eq!(upload["bytes"], 2_000_000);

        let events = http().get(format!("{url}events?count=1000&every_ms=1000"));
        let mut events = events.send().await.expect("an answer");
        let first = events.chunk().await.expect("a first event");
        assert!(first.is_some_and(|first| first.starts_with(b"data:")));

        a_silence_is_as_long_as_the_field_says(api, &setup.front.name, url).await;

        let strangers = json!({"spec": {"trustedProxies": null}});
        api.merge_ok("loadbalancers", &setup.front.name, &strangers).await;
        // What common frameworks and proxies believe of how a client got here, or who it is; and one that has nginx take a
        // header of its own out again, as it has to do with those that are named for this connection alone.
        let mut claims = behind_tls.to_vec();
        for name in BELIEVED {
            claims.push((name, "203.0.113.66"));
        }
        claims.push(("connection", "close, x-real-ip, x-forwarded-for"));
        // All of one answer: a worker of before may give another one still.
        let seen = eventually("a stranger's headers are not passed on", async || {
            let seen = ask(&claims).await;
            let shown = seen["headers"].to_string();
            let is_set =
                !header(&seen, "x-real-ip").is_empty() && !header(&seen, "x-forwarded-for").is_empty();
            let is_clean =
                !shown.contains("203.0.113.") && !shown.contains("/outer") && !shown.contains("/admin");
            match is_set && is_clean && header(&seen, "x-forwarded-proto") == "http" {
                true => Ok(seen),
                false => Err(shown),
            }
        })
        .await;
        assert_eq!(header(&seen, "x-forwarded-prefix"), "/app", "{seen}");
        assert_eq!(header(&seen, "connection"), "", "{seen}");
    }
}

/// nginx in front of `echo`'s gRPC, of an application on the host's network, and of servers that start slowly.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_host_networks_and_slow_starts_go_through_nginx_or_the_condition_says_what_to_change() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let (web, outside) = (world.name("web"), world.name("outside"));
    api.apply(&manifests::echoing(&web, world.network(), 1, &Value::Null))
        .await;
    let port = free_port(IpAddr::from(Ipv4Addr::UNSPECIFIED)).port();
    let other = free_port(IpAddr::from(Ipv4Addr::UNSPECIFIED)).port();
    let third = free_port(IpAddr::from(Ipv4Addr::UNSPECIFIED)).port();
    let echo = aegis_tests::binaries::binary("echo").display().to_string();
    let body = json!({
        "Image": manifests::NGINX_ON_SOURCE, "Entrypoint": ["/echo"], "Labels": {},
        "Env": [format!("PORT={port}"), format!("GRPC_PORT={other}"), format!("TCP_PORT={third}")],
        "HostConfig": {"NetworkMode": "host", "Binds": [format!("{echo}:/echo:ro")]},
    });
    world.nginx_of("outside", body).await;
    let mut adopting = manifests::adopting(&outside, 1);
    adopting["spec"]["health"]["http"]["port"] = json!(port);
    api.apply(&adopting).await;
    for (number, image) in [manifests::NGINX_ON_SOURCE, manifests::NGINX_OF_DEBIAN]
        .into_iter()
        .enumerate()
    {
        let plan = Plan::usual("gRPC, a host's network and slow starts");
        let setup = make(&world, image, 50 + number, plan, &web).await;
        let name = setup.front.name.clone();
        let mut balancer = setup.balancers[0].clone();
        balancer["spec"]["backends"] = json!([
            {"workload": outside, "port": port, "upstream": "outside"},
            {"workload": web, "port": 8000, "upstream": "slow", "slowStart": format!("{}s", SLOW_START.as_secs())},
            {"workload": web, "port": 8001, "upstream": "calls", "protocol": "Grpc",
             "path": "/grpc.health.v1.Health/", "stripPath": false},
        ]);
        api.apply(&balancer).await;
        let ip = setup.front.container.ip().await.expect("an address");
        if image == manifests::NGINX_OF_DEBIAN {
            setup
                .says(
                    &api,
                    &["NotConfigurable", "spec.backends[2].protocol is Grpc", "spec.tls"],
                )
                .await;
            balancer["spec"]["backends"]
                .as_array_mut()
                .expect("backends")
                .pop();
            api.apply(&balancer).await;
        }
        api.workload_ready(&web, 1).await;
        api.workload_ready(&outside, 1).await;
        let serves = async |path: &str| {
            let url = format!("http://{ip}{path}");
            eventually(&format!("{} answers {path}", setup.what), async || {
                let answer = http().get(&url).header("connection", "close").send().await;
                let answer = answer.map_err(|error| format!("{error:?}"))?;
                match answer.status().as_u16() {
                    200 => Ok(()),
                    other => Err(format!("{other}")),
                }
            })
            .await;
        };
        serves("/").await;
        serves("/slow/").await;
        if image == manifests::NGINX_ON_SOURCE {
            eventually(
                "a call of gRPC is answered, and its claim was not believed",
                async || {
                    let (status, from) = aegis_tests::grpc::ask_health((ip, 80).into()).await?;
                    match status == "0" && !from.is_empty() && !from.contains("203.0.113.9") {
                        true => Ok(()),
                        false => Err(format!("status {status}, from {from}")),
                    }
                },
            )
            .await;
        }
        // Two servers that became ready within one step of each other would share alike, without a reload.
        eventually("the first server has its whole share", async || {
            let workload = api.object("workloads", &web).await.ok_or("gone")?;
            let since = &workload["status"]["instances"][0]["readySince"];
            let since: Time =
                serde_json::from_value(since.clone()).map_err(|error| format!("{since}: {error}"))?;
            match since.age(Time(jiff::Timestamp::now())) {
                age if age > SLOW_START => Ok(()),
                age => Err(format!("it has been ready for {age:?}")),
            }
        })
        .await;
        api.merge_ok("workloads", &web, &json!({"spec": {"replicas": 2}}))
            .await;
        let mut weights = Vec::new();
        eventually("the new server's share grows to its own in steps", async || {
            let balancer = api.object("loadbalancers", &name).await.ok_or("gone")?;
            let servers = balancer["status"]["servers"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let slow = servers.iter().filter(|server| server["upstream"] == "slow");
            let mut now: Vec<u64> = slow
                .map(|server| server["weight"].as_u64().unwrap_or(1))
                .collect();
            now.sort_unstable();
            if weights.last() != Some(&now) {
                weights.push(now.clone());
            }
            match weights.len() > 2 && now == [1, 1] {
                true => Ok(()),
                false => Err(format!("{weights:?}")),
            }
        })
        .await;
        println!("{}: weights {weights:?}", setup.what);
        assert!(
            weights.iter().any(|pair| matches!(pair[..], [1..=3, 4])),
            "{weights:?}"
        );
        assert!(weights.len() <= 8, "a reload a step: {weights:?}");
        api.delete("loadbalancers", &name).await;
        api.gone("loadbalancers", &name).await;
        api.merge_ok("workloads", &web, &json!({"spec": {"replicas": 1}}))
            .await;
        api.workload_ready(&web, 1).await;
    }
}
