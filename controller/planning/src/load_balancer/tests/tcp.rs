//! TCP backends: the same servers as any other upstream has, in a file of their own.

use aegis_api::load_balancer::Algorithm;
use serde_json::{Value, json};

use super::super::plan::contain;
use super::super::render::Rendered;
use super::super::stream::{self, NONE};
use super::super::testing::STREAM_TEMPLATE;
use super::super::{membership, observed};
use super::*;

/// Of `web`, by HTTP at port 80 and by TCP at 5432.
fn both() -> LoadBalancer {
    let mut lb = balancer();
    let mut spec = serde_json::to_value(&lb.spec).unwrap();
    spec["backends"] = json!([
        {"workload": "web", "port": 8000, "upstream": "web"},
        {"workload": "web", "port": 8001, "upstream": "db", "protocol": "Tcp", "listenPort": 5432},
    ]);
    lb.spec = serde_json::from_value(spec).unwrap();
    lb
}

fn tcp_world(rows: Vec<aegis_api::workload::InstanceStatus>) -> Observed {
    let mut observed = world(rows);
    let web = observed.workloads[0].clone();
    observed.workloads.push(web);
    observed.stream_template = Some(Ok(STREAM_TEMPLATE.to_owned()));
    observed
}

fn ready() -> Observed {
    tcp_world(vec![
        row("a", "10.0.0.1", Health::Healthy),
        row("b", "10.0.0.2", Health::Unhealthy),
    ])
}

fn rendered(lb: &LoadBalancer, observed: Observed) -> Rendered {
    prepare(lb, observed).rendered.unwrap()
}

fn refused(lb: &LoadBalancer, observed: Observed) -> String {
    let planned = plan(&validate(lb, observed).unwrap());
    planned.unwrap_err().to_string()
}

/// Which nginx was proved to serve.
fn serving_it(lb: &LoadBalancer, observed: Observed) -> LoadBalancer {
    let mut after = lb.clone();
    after.status = Some(status_after(lb, observed));
    after
}

#[test]
fn i8_tcp_goes_to_ready_servers_alone_and_not_into_the_file_of_http() {
    let rendered = rendered(&both(), ready());
    insta::assert_snapshot!(rendered.stream.as_deref().unwrap());
    assert!(!rendered.text.contains("8001") && !rendered.text.contains("upstream db"));
    assert_ne!(
        rendered.revision,
        prepare(&balancer(), ready()).rendered.unwrap().revision,
        "one revision for both files"
    );
}

#[test]
fn i8_connections_to_an_upstream_without_a_server_are_closed_at_once_and_the_condition_says_so() {
    let lb = serving_it(&both(), ready());
    let gone = || tcp_world(Vec::new());
    let after = rendered(&lb, gone());
    let stream = after.stream.as_deref().unwrap();
    assert!(
        stream.contains("listen 5432;")
            && stream.contains("return \"\";")
            && !stream.contains("upstream db {"),
        "{stream}"
    );
    let before = lb.status.as_ref().unwrap().stream_config.as_deref();
    assert!(membership::only_tcp_servers_differ(
        STREAM_TEMPLATE,
        before,
        Some(stream)
    ));
    let status = status_after(&lb, gone());
    let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
    for part in [
        "upstream web answers 503 since",
        "upstream db closes connections since",
    ] {
        assert!(ready.message.contains(part), "{}", ready.message);
    }
    // One that does not know it gets an address where no process listens.
    let mut observed = gone();
    observed.stream_template = Some(Ok("{{ streams.0.servers.0.address }}".to_owned()));
    let stream = rendered(&lb, observed).stream.unwrap();
    assert!(stream.ends_with(".\n127.0.0.1:1"), "{stream}");
}

#[test]
fn i8_a_tcp_server_at_whose_address_is_another_is_taken_out_of_what_stays() {
    let mut lb = serving_it(&both(), ready());
    let mut observed = ready();
    observed.endpoints.clear();
    let validated = validate(&lb, observed.clone()).unwrap();
    let good = validated.good.unwrap();
    assert!(
        good.stream
            .unwrap()
            .contains("10.0.0.1:8001 max_fails=2 fail_timeout=2s down;")
    );
    // So where nginx does not run.
    observed.container.as_mut().unwrap().state = ContainerState::Exited;
    let found = file(&lb, observed.container.as_ref(), &observed.endpoints).unwrap();
    assert!(found.stream.unwrap().contains(" down;"));
    lb.status.as_mut().unwrap().config = None;
    assert!(observed::file(&lb, observed.container.as_ref(), &observed.endpoints).is_none());
}

#[test]
fn a_tcp_backend_that_goes_leaves_a_file_by_which_nginx_listens_for_nothing() {
    let lb = serving_it(&both(), ready());
    assert!(lb.status.as_ref().unwrap().stream_config.is_some());
    let mut without = lb.clone();
    without.spec = balancer().spec;
    let mut deleted = lb;
    deleted.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-22T12:00:00Z")).unwrap());
    for lb in [without, deleted] {
        let mut observed = ready();
        observed.stream_template = lb.spec.has_tcp().then(|| Ok(STREAM_TEMPLATE.to_owned()));
        observed.workloads.truncate(lb.spec.backends.len());
        let step = prepare(&lb, observed.clone()).step;
        let Step::Configure(rendered) = step else {
            panic!("nginx keeps what it has")
        };
        assert_eq!(rendered.stream.as_deref(), Some(NONE));
        let after = serving_it(&lb, observed.clone());
        assert_eq!(
            after.status.as_ref().unwrap().stream_config,
            None,
            "forgotten once it is proved"
        );
        observed.served = Some(rendered.revision);
        assert_eq!(prepare(&after, observed).step, Step::Nothing);
    }
}

#[test]
fn tcp_servers_that_were_taken_out_alone_are_back_though_nginx_serves_the_revision() {
    let mut lb = serving_it(&both(), ready());
    let mut observed = ready();
    observed.served = lb.status.as_ref().unwrap().revision.clone();
    assert_eq!(prepare(&lb, observed.clone()).step, Step::Nothing);
    let file = lb.status.as_mut().unwrap().stream_config.as_mut().unwrap();
    *file = file.replace("8001", "8001 down");
    assert!(matches!(prepare(&lb, observed).step, Step::Configure(_)));
}

#[test]
fn how_tcp_is_balanced_is_a_field() {
    let stream = |edit: &dyn Fn(&mut LoadBalancer)| {
        let mut lb = both();
        edit(&mut lb);
        rendered(&lb, ready()).stream.unwrap()
    };
    for (algorithm, line) in [
        (Algorithm::LeastConn, "    least_conn;\n"),
        (Algorithm::IpHash, "    hash $remote_addr consistent;\n"),
    ] {
        let text = stream(&|lb| lb.spec.algorithm = algorithm);
        assert!(text.contains(line), "{text}");
    }
    let text = stream(&|lb| {
        (lb.spec.algorithm, lb.spec.ipv6) = (Algorithm::UriHash, true);
        lb.spec.backends[1].idle_timeout = Some("1h".parse().unwrap());
        lb.spec.backends[1].weight = 2;
    });
    for part in ["listen [::]:5432;", "proxy_timeout 3600s;", " weight=2; # a"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("hash") && !text.contains("least_conn"), "{text}");
    // Alone, it needs no path, and nginx answers requests all the same.
    let mut alone = both();
    alone.spec.backends.remove(0);
    let mut observed = ready();
    observed.workloads.truncate(1);
    let text = rendered(&alone, observed).text;
    assert!(
        text.contains("location / {\n        return 404;") && text.contains("/lb-health"),
        "{text}"
    );
}

#[test]
fn an_nginx_without_the_module_and_ports_that_are_taken_are_said() {
    let mut observed = ready();
    observed.nginx = Some(NginxBuild::parse(
        "nginx version: nginx/1.28.3\nconfigure arguments: --with-stream_ssl_module",
    ));
    assert_eq!(
        refused(&both(), observed),
        "spec.backends[1].protocol is Tcp, which takes an nginx that was built --with-stream"
    );
    assert!(stream::is_built_in("x --with-stream=dynamic y") && stream::is_built_in("--with-stream"));
    assert!(
        stream::advice("nginx: [emerg] unknown directive \"stream\" in /etc/nginx/nginx.conf:9").is_some()
    );
    assert!(stream::advice("unknown directive \"streams\"").is_none());

    let named = |name: &str, at: &str, mut lb: LoadBalancer| {
        lb.metadata.name = Some(name.to_owned());
        lb.metadata.creation_timestamp = Some(serde_json::from_value(json!(at)).unwrap());
        Arc::new(lb)
    };
    let mut second = both();
    second.spec.port = 81;
    for (backend, upstream) in second.spec.backends.iter_mut().zip(["web2", "db2"]) {
        backend.upstream = upstream.parse().unwrap();
    }
    let first = named("first", "2026-11-22T12:00:00Z", both());
    let mut all = vec![first, named("second", "2026-11-22T12:00:01Z", second.clone())];
    let taken = observed::taken(&all[1], &all).unwrap();
    assert_eq!(
        (taken.field.as_str(), taken.what.as_str(), taken.by.as_str()),
        ("spec.backends[1].listenPort", "port 5432", "first")
    );
    // Two files of one name in different folders would be one for TCP.
    second.spec.config_path = "/etc/nginx/other.d/upstream.conf".parse().unwrap();
    second.spec.backends[1].listen_port = Some(5433);
    all[1] = named("second", "2026-11-22T12:00:01Z", second);
    let taken = observed::taken(&all[1], &all).unwrap();
    assert_eq!(
        (taken.field.as_str(), taken.what.as_str(), taken.by.as_str()),
        (
            "spec.streamConfigPath",
            "file /etc/nginx/stream.d/upstream.conf",
            "first"
        )
    );
    let mut observed = ready();
    observed.taken = Some(taken);
    observed.endpoints.clear();
    let validated = validate(&serving_it(&both(), ready()), observed).unwrap();
    assert!(plan(&validated).is_err() && contain(&validated).is_some());
}

#[test]
fn i9_a_wrong_port_of_an_earlier_load_balancer_stops_none_that_serves() {
    let named = |name: &str, mut lb: LoadBalancer| {
        lb.metadata.name = Some(name.to_owned());
        lb
    };
    let mut later = named(
        "later",
        serving_it(&balancer(), world(vec![row("a", "10.0.0.1", Health::Healthy)])),
    );
    for backend in &mut later.spec.backends {
        backend.upstream = "web2".parse().unwrap();
    }
    let mut first = named("first", both());
    first.spec.port = 81;
    first.spec.backends[1].listen_port = Some(later.spec.port);
    let taken = |later: &LoadBalancer, first: &LoadBalancer| {
        let all = [Arc::new(first.clone()), Arc::new(later.clone())];
        observed::taken(later, &all).map(|taken| (taken.field, taken.what))
    };
    let port = Some(("spec.port".to_owned(), "port 80".to_owned()));
    assert_eq!(taken(&later, &first), None);
    // So where what is proved of it is another port.
    let status = serving_it(&both(), ready()).status;
    first.status = status;
    assert_eq!(taken(&later, &first), None);
    // What nginx listens on is its own, and one that is yet to come gives way.
    first.status.as_mut().unwrap().stream_config = Some("server { listen 80; }".to_owned());
    assert_eq!(taken(&later, &first), port);
    first.status = None;
    later.status = None;
    assert_eq!(taken(&later, &first), port);
}

#[test]
fn i8_a_file_of_nginx_has_one_load_balancer_and_who_has_written_it_keeps_it() {
    let made = |name: &str, at: &str, fields: Value| {
        let mut lb = both();
        lb.metadata.name = Some(name.to_owned());
        lb.metadata.creation_timestamp = Some(serde_json::from_value(json!(at)).unwrap());
        let mut spec = serde_json::to_value(&lb.spec).unwrap();
        for (field, value) in fields.as_object().unwrap() {
            spec[field] = value.clone();
        }
        lb.spec = serde_json::from_value(spec).unwrap();
        lb
    };
    let live = "/etc/nginx/stream.d/upstream.conf";
    let http = |path: &str| {
        json!({
            "configPath": path, "port": 81, "backends": [{"workload": "web", "port": 8000, "upstream": "x"}],
        })
    };
    let claims = |of: &LoadBalancer, other: &LoadBalancer| {
        claimed_by(of, &[Arc::new(of.clone()), Arc::new(other.clone())])
    };
    // One that only names it for TCP is refused, however old it is: the other one may have its requests there.
    let mut first = made("first", "2026-11-22T12:00:00Z", json!({}));
    let later = made(
        "later",
        "2026-11-22T13:00:00Z",
        http("/etc/nginx//stream.d/upstream.conf"),
    );
    assert_eq!((claims(&later, &first), claims(&first, &later)), (None, None));
    let taken = |of: &LoadBalancer, other: &LoadBalancer| {
        let taken = observed::taken(of, &[Arc::new(of.clone()), Arc::new(other.clone())]);
        taken.map(|taken| (taken.field, taken.by))
    };
    let refused = Some(("spec.streamConfigPath".to_owned(), "later".to_owned()));
    assert_eq!((taken(&first, &later), taken(&later, &first)), (refused, None));
    // Once it has TCP backends there, they stay.
    first.status = Some(LoadBalancerStatus {
        stream_config_path: Some(live.to_owned()),
        ..LoadBalancerStatus::default()
    });
    assert_eq!(claims(&later, &first).as_deref(), Some("first"));
    assert_eq!((claims(&first, &later), taken(&first, &later)), (None, None));
    first.status = None;
    // It has no TCP backend any more, and the file is still its own; so where the other one is older.
    let mut gone = made(
        "gone",
        "2026-11-22T14:00:00Z",
        http("/etc/nginx/conf.d/gone.conf"),
    );
    assert_eq!(claims(&later, &gone), None);
    gone.status = Some(LoadBalancerStatus {
        stream_config_path: Some(live.to_owned()),
        ..LoadBalancerStatus::default()
    });
    assert_eq!(claims(&later, &gone).as_deref(), Some("gone"));
    let refused = Some(("spec.streamConfigPath".to_owned(), "gone".to_owned()));
    assert_eq!(taken(&first, &gone), refused);
}

#[test]
fn i8_the_file_of_tcp_stays_where_it_was_written_until_nginx_has_no_tcp_backend() {
    let live = "/etc/nginx/stream.d/upstream.conf";
    let lb = serving_it(&both(), ready());
    let written = |lb: &LoadBalancer| lb.status.clone().unwrap().stream_config_path;
    assert_eq!(written(&lb).as_deref(), Some(live));
    let elsewhere = json!({"streamConfigPath": "/etc/nginx/stream.d/tcp.conf"});
    let derived = json!({"configPath": "/etc/nginx/conf.d/tcp.conf"});
    for fields in [elsewhere, derived] {
        let mut moved = lb.clone();
        let mut spec = serde_json::to_value(&moved.spec).unwrap();
        for (field, value) in fields.as_object().unwrap() {
            spec[field] = value.clone();
        }
        moved.spec = serde_json::from_value(spec).unwrap();
        assert_eq!(stream::path(&moved.spec, moved.status.as_ref()), live);
        let why = refused(&moved, ready());
        for part in [live, "spec.streamConfigPath is /etc/nginx/stream.d/tcp.conf now"] {
            assert!(why.contains(part), "{why}");
        }
        let mut observed = ready();
        observed.endpoints.clear();
        let contained = contain(&validate(&moved, observed).unwrap()).unwrap();
        assert!(contained.rendered.unwrap().stream.unwrap().contains(" down;"));
        moved.spec.backends.truncate(1);
        let mut observed = ready();
        observed.stream_template = None;
        observed.workloads.truncate(1);
        let after = serving_it(&moved, observed);
        assert_eq!(written(&after), None);
        moved.spec.backends = both().spec.backends;
        moved.status = after.status;
        assert_eq!(
            written(&serving_it(&moved, ready())).as_deref(),
            Some("/etc/nginx/stream.d/tcp.conf")
        );
    }
    let mut same = lb.clone();
    same.spec.stream_config_path = Some("/etc/nginx//stream.d/upstream.conf".parse().unwrap());
    assert!(plan(&validate(&same, ready()).unwrap()).is_ok());
    // Requests do not go where TCP backends are.
    let mut mixed = lb;
    mixed.spec.config_path = live.parse().unwrap();
    mixed.spec.backends.truncate(1);
    let message = validate(&mixed, ready()).unwrap_err().message;
    assert!(message.contains("give spec.configPath another file"), "{message}");
}

/// As where the controller was killed between the first two files.
#[test]
fn i8_a_file_of_tcp_that_was_written_and_never_proved_is_not_kept() {
    let mut lb = balancer();
    lb.status = Some(LoadBalancerStatus {
        stream_config_path: Some("/etc/nginx/stream.d/upstream.conf".to_owned()),
        ..LoadBalancerStatus::default()
    });
    let step = prepare(&lb, world(Vec::new())).step;
    assert!(
        matches!(&step, Step::Configure(rendered) if rendered.stream.as_deref() == Some(NONE)),
        "{step:?}"
    );
    // So where nginx is started again.
    let mut after = serving_it(&balancer(), world(vec![row("a", "10.0.0.1", Health::Healthy)]));
    let status = after.status.as_mut().unwrap();
    status.stream_config_path = Some("/etc/nginx/stream.d/upstream.conf".to_owned());
    let mut observed = ready();
    observed.container.as_mut().unwrap().state = ContainerState::Exited;
    let found = file(&after, observed.container.as_ref(), &observed.endpoints).unwrap();
    assert_eq!(found.stream.as_deref(), Some(NONE));
}

#[test]
fn only_a_file_with_the_line_of_this_load_balancer_or_without_a_backend_is_its_own() {
    let mut observed = ready();
    observed.stream_template = Some(Ok("of one's own".to_owned()));
    let file = rendered(&both(), observed).stream.unwrap();
    for file in [file.as_str(), NONE, ""] {
        assert!(stream::is_ours("lb", file.as_bytes()), "{file}");
    }
    for (name, file) in [
        ("l", file.as_str()),
        ("lb-2", file.as_str()),
        ("lb", "upstream db { server 10.0.0.1:1; }"),
        (
            "lb",
            format!("{NONE}upstream db {{ server 10.0.0.1:1; }}").as_str(),
        ),
        ("lb", rendered(&both(), ready()).text.as_str()),
    ] {
        assert!(!stream::is_ours(name, file.as_bytes()), "{name}: {file}");
    }
}
