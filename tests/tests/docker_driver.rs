//! The driver against the real engine: what it requests is what happens, and what it says of it is so.

#[path = "docker_driver/lab.rs"]
mod lab;
#[path = "docker_driver/sequences.rs"]
mod sequences;

use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::create::{Ownership, clone_revision, clone_spec};
use aegis_api::observed::{ContainerDetails, ContainerState, cpu_percent};
use aegis_docker::daemon::Docker;
use aegis_docker::{Engine, EngineError, ListFilter, LogQuery};
use aegis_tests::eventually;
use anyhow::Context;
use futures::StreamExt;
use serde_json::{Value, json};

use lab::{APP, Lab, NGINX};

type Outcome = anyhow::Result<()>;

const OWNER: Ownership<'_> = Ownership {
    workload: "shop",
    revision: "r1",
    instance: "i1",
    index: 1,
};
const ALL: LogQuery = LogQuery {
    tail: 100,
    follow: false,
    timestamps: false,
    since: 0,
};

fn address(details: &ContainerDetails, port: u16) -> anyhow::Result<SocketAddr> {
    let first = details.networks.values().flatten().next();
    Ok(SocketAddr::new(*first.context("it has no address")?, port))
}

fn at(details: &ContainerDetails, pointer: &str) -> Value {
    let whole = json!({ "Config": details.config, "HostConfig": details.host_config });
    whole.pointer(pointer).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_clone_keeps_everything_and_runs_beside_its_base() -> Outcome {
    let lab = Lab::new("clone")?;
    let (front, back) = (lab.network("front").await?, lab.network("back").await?);
    let volume = lab.volume("data").await?;
    let body = json!({
        "Image": APP, "Env": ["MODE=production", "GREETING=good day"], "User": "65534:65534",
        "Labels": {"com.example.team": "payments", "com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
        "ExposedPorts": {"8000/tcp": {}}, "Volumes": {"/scratch": {}}, "StopSignal": "SIGINT", "StopTimeout": 7,
        "Healthcheck": {"Test": ["CMD", "/buggy-app", "--healthcheck"], "Interval": 1_000_000_000, "Retries": 4},
        "HostConfig": {
            "NetworkMode": front, "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}, "PublishAllPorts": true,
            "Memory": 209_715_200, "MemorySwap": 419_430_400, "NanoCpus": 500_000_000, "PidsLimit": 120, "ReadonlyRootfs": true,
            "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"], "Tmpfs": {"/tmp": "size=8m"}, "ShmSize": 33_554_432,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "Sysctls": {"net.core.somaxconn": "256"},
            "RestartPolicy": {"Name": "unless-stopped"}, "Ulimits": [{"Name": "nofile", "Soft": 2048, "Hard": 4096}],
            "SecurityOpt": ["no-new-privileges"], "Binds": [format!("{volume}:/data")], "ExtraHosts": ["db.local:10.0.0.9"],
            "Mounts": [{"Type": "volume", "Source": volume, "Target": "/more", "ReadOnly": true}], "Init": true
        },
        "NetworkingConfig": {"EndpointsConfig": {&front: {"Aliases": ["web"], "MacAddress": "02:42:ac:11:99:99"}}}
    });
    let base = lab.foreign("base", body).await?;
    let endpoint = json!({ "Container": base, "EndpointConfig": { "Aliases": ["internal"] } });
    lab.raw
        .connect_network(&back, serde_json::from_value(endpoint)?)
        .await?;
    lab.docker.start(&base).await?;
    let base = lab.inspect(&base).await?;

    let spec = clone_spec(&base, &lab.name("replica-1"), &OWNER);
    let id = lab.docker.create(spec).await?;
    lab.docker.start(&id).await?;
    let clone = lab.inspect(&lab.name("replica-1")).await?;

    assert_eq!(
        (clone.state, clone.id.as_str()),
        (ContainerState::Running, id.as_str())
    );
    for pointer in [
        "/Config/Image",
        "/Config/Env",
        "/Config/User",
        "/Config/Cmd",
        "/Config/Entrypoint",
        "/Config/WorkingDir",
        "/Config/ExposedPorts",
        "/Config/Healthcheck",
        "/Config/StopSignal",
        "/Config/StopTimeout",
        "/Config/Volumes",
    ] {
        assert_eq!(at(&clone, pointer), at(&base, pointer), "{pointer}");
    }
    for (key, value) in base.host_config.as_object().expect("an object") {
        let given_up = ["PortBindings", "PublishAllPorts", "ContainerIDFile"].contains(&key.as_str());
        assert!(
            given_up || &clone.host_config[key] == value,
            "{key}: {} became {}",
            value,
            clone.host_config[key]
        );
    }
    assert_eq!(clone.host_config["PortBindings"], json!({}));
    assert_eq!(clone.image_id, base.image_id);
    assert_eq!(clone.labels["com.example.team"], "payments");
    assert_eq!(clone.labels["io.aegisops.replica"], "1");
    assert!(
        !clone
            .labels
            .keys()
            .any(|key| key.starts_with("com.docker.compose.")),
        "{:?}",
        clone.labels
    );
    assert_eq!(
        clone.networks.keys().collect::<Vec<_>>(),
        base.networks.keys().collect::<Vec<_>>()
    );
    for (network, own) in [(&front, "web"), (&back, "internal")] {
        let aliases = clone.network_settings[network]["Aliases"].to_string();
        assert!(
            aliases.contains(own) && !aliases.contains(&base.id[..12]),
            "{network}: {aliases}"
        );
        assert_ne!(clone.networks[network], base.networks[network]);
        assert!(clone.networks[network].is_some());
    }
    let mounts = |details: &ContainerDetails, target: &str| {
        let mounts = details.mounts.as_array().cloned().unwrap_or_default();
        mounts
            .into_iter()
            .find(|mount| mount["Destination"] == target)
            .expect("a mount")["Name"]
            .clone()
    };
    assert_eq!(mounts(&clone, "/data"), json!(volume));
    assert_ne!(
        mounts(&clone, "/scratch"),
        mounts(&base, "/scratch"),
        "an anonymous volume is not shared"
    );
    assert_eq!(
        clone_revision(&clone),
        clone_revision(&base),
        "nothing that counts differs"
    );
    Ok(())
}

#[tokio::test]
async fn a_clone_runs_the_image_of_its_base_also_when_the_name_has_moved_on() -> Outcome {
    let lab = Lab::new("image")?;
    let tag = |image: &'static str| {
        let options = bollard::query_parameters::TagImageOptionsBuilder::default()
            .repo(&lab.name("moving"))
            .tag("1")
            .build();
        let raw = lab.raw.clone();
        async move { raw.tag_image(image, Some(options)).await }
    };
    tag(APP).await?;
    let name = format!("{}:1", lab.name("moving"));
    let id = lab.foreign("base", json!({ "Image": name })).await?;
    let base = lab.inspect(&id).await?;
    tag(NGINX).await?;
    let id = lab
        .docker
        .create(clone_spec(&base, &lab.name("replica-1"), &OWNER))
        .await;
    let options = bollard::query_parameters::RemoveImageOptionsBuilder::default()
        .noprune(true)
        .build();
    lab.raw.remove_image(&name, Some(options), None).await?;
    let clone = lab.inspect(&id?).await?;
    assert_eq!(clone.image_id, base.image_id);
    Ok(())
}

#[tokio::test]
async fn asking_for_what_already_holds_is_a_success() -> Outcome {
    let lab = Lab::new("again")?;
    let id = lab.run("app", json!({ "Image": APP })).await?;
    lab.docker.start(&id).await?;
    assert_eq!(lab.inspect(&id).await?.state, ContainerState::Running);
    let refused = lab.docker.remove(&id).await;
    assert!(
        matches!(&refused, Err(EngineError::Conflict { .. })),
        "{refused:?}"
    );
    lab.docker.stop(&id, Some(Duration::from_secs(5))).await?;
    lab.docker.stop(&id, None).await?;
    let stopped = lab.inspect(&lab.name("app")).await?;
    assert_eq!((stopped.state, stopped.exit_code), (ContainerState::Exited, 0));
    assert!(stopped.finished_at.is_some() && stopped.networks.values().all(Option::is_none));
    lab.docker.remove(&id).await?;
    lab.docker.remove(&id).await?;
    assert_eq!(lab.docker.inspect(&id).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_after_the_containers_own_grace() -> Outcome {
    let lab = Lab::new("grace")?;
    // An init process that was not asked to handle a signal ignores it: here SIGWINCH, which nginx takes for "finish".
    let body = json!({ "Image": APP, "StopSignal": "SIGWINCH", "StopTimeout": 1 });
    let id = lab.run("app", body).await?;
    let began = std::time::Instant::now();
    lab.docker.stop(&id, None).await?;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(lab.inspect(&id).await?.exit_code, 137);
    Ok(())
}

#[tokio::test]
async fn errors_say_what_was_asked_and_what_the_engine_answered() -> Outcome {
    let lab = Lab::new("errors")?;
    let missing = lab.name("missing");
    for (said, error) in [
        ("start container", lab.docker.start(&missing).await.unwrap_err()),
        (
            "stop container",
            lab.docker.stop(&missing, None).await.unwrap_err(),
        ),
        (
            "send HUP to container",
            lab.docker.signal(&missing, "HUP").await.unwrap_err(),
        ),
        (
            "run true in container",
            lab.docker.exec(&missing, &["true"], &[]).await.unwrap_err(),
        ),
        (
            "read /x of container",
            lab.docker.read_files(&missing, "/x").await.unwrap_err(),
        ),
        (
            "read counters of container",
            lab.docker.stats(&missing).await.unwrap_err(),
        ),
        (
            "list processes of container",
            lab.docker.processes(&missing).await.unwrap_err(),
        ),
    ] {
        let text = error.to_string();
        assert!(
            error.is_not_found() && text.contains(said) && text.contains(&missing),
            "{text}"
        );
    }
    let id = lab
        .docker
        .create(lab.spec("app", json!({ "Image": APP })))
        .await?;
    let taken = lab
        .docker
        .create(lab.spec("app", json!({ "Image": APP })))
        .await
        .unwrap_err();
    assert!(
        matches!(taken, EngineError::Conflict { .. }) && taken.to_string().contains("already in use"),
        "{taken}"
    );
    let missing = lab
        .docker
        .create(lab.spec("x", json!({ "Image": "aegisops/nowhere:1" })))
        .await
        .unwrap_err();
    assert!(
        missing.is_not_found() && missing.to_string().contains("aegisops/nowhere:1"),
        "{missing}"
    );
    let odd = json!({ "Image": APP, "HostConfig": { "Memory": 1 } });
    let odd = lab.docker.create(lab.spec("x", odd)).await.unwrap_err();
    assert!(
        matches!(odd, EngineError::Refused { .. }) && odd.to_string().to_lowercase().contains("memory"),
        "{odd}"
    );
    for error in [
        lab.docker.exec(&id, &["true"], &[]).await.unwrap_err(),
        lab.docker.signal(&id, "HUP").await.unwrap_err(),
        lab.docker.processes(&id).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("is not running"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_network_is_named_and_not_taken_for_a_missing_container() -> Outcome {
    let lab = Lab::new("half")?;
    let mut spec = lab.spec("app", json!({ "Image": APP }));
    spec.extra_networks.insert(lab.name("nowhere"), json!({}));
    // Engines differ in when they look for it.
    let error = match lab.docker.create(spec).await {
        Ok(id) => lab.docker.start(&id).await.unwrap_err(),
        Err(error) => {
            assert_eq!(
                lab.docker.inspect(&lab.name("app")).await?,
                None,
                "half a container is left"
            );
            error
        }
    };
    assert!(error.to_string().contains(&lab.name("nowhere")), "{error}");
    assert!(
        !error.to_string().contains("start container") || !error.is_not_found(),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn a_container_that_was_left_half_connected_joins_the_rest_when_it_starts() -> Outcome {
    let lab = Lab::new("joins")?;
    let (front, back) = (lab.network("front").await?, lab.network("back").await?);
    let mut spec = lab.spec(
        "app",
        json!({ "Image": APP, "HostConfig": { "NetworkMode": front } }),
    );
    spec.extra_networks
        .insert(back.clone(), json!({ "Aliases": ["internal"] }));
    spec.body["Labels"]["io.aegisops.instance"] = json!("i1");
    spec.body["Labels"]["io.aegisops.name"] = json!(spec.name);
    let docker = Docker::connect(None)?.for_instance("i1");
    let id = docker.create(spec).await?;
    if lab.docker.info().await?.api < (1, 44) {
        // What a crash between the two requests leaves behind.
        let leave = json!({ "Container": id, "Force": true });
        lab.raw
            .disconnect_network(&back, serde_json::from_value(leave)?)
            .await?;
        assert_eq!(lab.inspect(&id).await?.networks.len(), 1);
    }
    docker.start(&id).await?;
    let started = lab.inspect(&id).await?;
    assert!(started.networks[&front].is_some() && started.networks[&back].is_some());
    assert!(
        started.network_settings[&back]["Aliases"]
            .to_string()
            .contains("internal")
    );
    Ok(())
}

/// An image that brings these labels, made of the application's.
async fn labelled_image(lab: &Lab, labels: &[(&str, &str)]) -> anyhow::Result<String> {
    let source = lab.foreign("source", json!({ "Image": APP })).await?;
    let image = lab.name("image");
    let changes = labels.iter().map(|(key, value)| format!("LABEL {key}={value:?}"));
    let changes: Vec<String> = changes.collect();
    let options = bollard::query_parameters::CommitContainerOptionsBuilder::default()
        .container(&source)
        .repo(&image)
        .changes(&changes.join("\n"))
        .build();
    let config = bollard::models::ContainerConfig::default();
    lab.raw.commit_container(options, config).await?;
    Ok(image)
}

#[tokio::test]
async fn i3_labels_of_an_image_join_no_network() -> Outcome {
    let lab = Lab::new("hostile")?;
    let (front, secret) = (lab.network("front").await?, lab.network("secret").await?);
    let name = lab.name("app");
    let old = json!({ &secret: { "Aliases": ["postgres"] } }).to_string();
    let new = json!({ "container": name, "networks": { &secret: {} } }).to_string();
    for (round, (networks, claimed)) in [
        (&old, "i1"),
        (&new, "i1"),
        (&new, "other"),
        (&"damaged".to_owned(), "i1"),
    ]
    .into_iter()
    .enumerate()
    {
        let labels = [
            ("io.aegisops.networks", networks.as_str()),
            ("io.aegisops.instance", claimed),
            ("io.aegisops.name", &name),
            ("io.aegisops.workload", "shop"),
        ];
        let image = labelled_image(&lab, &labels).await?;
        let body = json!({ "Image": image, "HostConfig": { "NetworkMode": front } });
        // Of ours: what it carries itself counts. Of a person's, made and not started, then adopted: nothing counts that
        // another state directory could have written.
        let docker = Docker::connect(None)?.for_instance("i1");
        let made = match round {
            0 | 1 => docker.create(lab.spec("app", body)).await?,
            _ if claimed == "i1" => docker.create(lab.spec("app", body)).await?,
            _ => lab.foreign("app", body).await?,
        };
        docker.start(&made).await?;
        let joined: Vec<String> = lab.inspect(&made).await?.networks.into_keys().collect();
        for id in [made, lab.name("source")] {
            docker.stop(&id, Some(Duration::ZERO)).await?;
            docker.remove(&id).await?;
        }
        let options = bollard::query_parameters::RemoveImageOptionsBuilder::default()
            .force(true)
            .build();
        lab.raw.remove_image(&image, Some(options), None).await?;
        assert_eq!(joined, [front.as_str()], "{networks} of {claimed}");
    }
    Ok(())
}

#[tokio::test]
async fn the_beginning_of_an_id_means_no_container() -> Outcome {
    let lab = Lab::new("prefix")?;
    let id = lab.run("app", json!({ "Image": APP })).await?;
    let beginning = &id[..7];
    assert_eq!(lab.docker.inspect(beginning).await?, None);
    assert!(lab.docker.stop(beginning, None).await.unwrap_err().is_not_found());
    lab.docker.remove(beginning).await?;
    assert_eq!(lab.inspect(&id[..12]).await?.state, ContainerState::Running);
    Ok(())
}

#[tokio::test]
async fn a_list_has_what_was_asked_for_and_where_it_can_be_reached() -> Outcome {
    let lab = Lab::new("list")?;
    let id = lab
        .run("app", json!({ "Image": APP, "Labels": { "role": "one" } }))
        .await?;
    lab.docker
        .create(lab.spec("idle", json!({ "Image": APP, "Labels": { "role": "two" } })))
        .await?;
    let label = lab
        .labels()
        .as_object()
        .and_then(|labels| labels.iter().next())
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    let mut filter = ListFilter {
        labels: label.into_iter().collect(),
    };
    assert_eq!(lab.docker.list(filter.clone()).await?.len(), 2);
    filter.labels.insert("role".to_owned(), "one".to_owned());
    let found = lab.docker.list(filter).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id.as_str(), &found[0].name, found[0].state),
        (id.as_str(), &lab.name("app"), ContainerState::Running)
    );
    assert!(found[0].networks["bridge"].is_some() && found[0].created > 0 && found[0].image == APP);
    Ok(())
}

#[tokio::test]
async fn probes_reach_a_container_at_its_own_address() -> Outcome {
    let lab = Lab::new("probe")?;
    let id = lab.run("app", json!({ "Image": APP })).await?;
    let app = address(&lab.inspect(&id).await?, 8000)?;
    let second = Duration::from_secs(1);
    let answer = lab
        .eventually("the app answers", || async {
            Ok(lab.docker.http_get(app, "/health", second).await.ok())
        })
        .await?;
    assert_eq!(answer.status, 200);
    lab.docker.tcp_connect(app, second).await?;
    let closed = lab
        .docker
        .http_get(SocketAddr::new(app.ip(), 1), "/", second)
        .await
        .unwrap_err();
    assert!(closed.to_string().ends_with("connection refused"), "{closed}");
    Ok(())
}

#[tokio::test]
async fn commands_run_inside_and_answer_code_and_output() -> Outcome {
    let lab = Lab::new("exec")?;
    let id = lab.run("lb", json!({ "Image": NGINX })).await?;
    let check = lab
        .docker
        .exec(&id, &["nginx", "-t", "-e", "/dev/stderr"], &[])
        .await?;
    assert_eq!(check.exit_code, 0, "{}", check.output);
    assert!(
        check.output.contains("syntax is ok") && check.output.contains("test is successful"),
        "{}",
        check.output
    );
    let bad = lab
        .docker
        .exec(&id, &["nginx", "-t", "-c", "/nowhere"], &[])
        .await?;
    assert!(bad.exit_code == 1 && bad.output.contains("[emerg]"), "{bad:?}");
    let missing = lab.docker.exec(&id, &["no-such-program"], &[]).await?;
    assert!(
        missing.exit_code >= 126 && missing.output.contains("no-such-program"),
        "{missing:?}"
    );
    let rows = lab.docker.processes(&id).await?;
    assert!(
        rows.iter()
            .any(|row| row.command.contains("nginx: master process") && row.pid > 1),
        "{rows:?}"
    );
    assert!(
        rows.iter()
            .any(|row| row.command.contains("nginx: worker process")),
        "{rows:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_command_answers_one_request_after_the_other_and_ends_with_its_connection() -> Outcome {
    const ECHO: &str = "while read -r mark text; do printf '%s\\n%s 7\\n' \"$text\" \"$mark\"; done";
    let lab = Lab::new("session")?;
    let id = lab.run("lb", json!({ "Image": NGINX })).await?;
    let echoes = async || -> Result<usize, EngineError> {
        let rows = lab.docker.processes(&id).await?;
        Ok(rows
            .iter()
            .filter(|row| row.command.contains("read -r mark"))
            .count())
    };
    let mut session = lab.docker.open_session(&id, &["sh", "-c", ECHO]).await?;
    for text in ["one", "two"] {
        let answer = session.ask(format!("mark {text}\n").as_bytes(), "mark").await?;
        assert_eq!((answer.exit_code, answer.output.as_str()), (7, text));
    }
    assert_eq!(echoes().await?, 1);
    drop(session);
    eventually("the command has ended", async || match echoes().await {
        Ok(0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    let mut session = lab.docker.open_session(&id, &["sh", "-c", ECHO]).await?;
    session.ask(b"mark one\n", "mark").await?;
    lab.docker.stop(&id, None).await?;
    lab.docker.start(&id).await?;
    let ended = session.ask(b"mark two\n", "mark").await.unwrap_err();
    assert!(matches!(ended, EngineError::Conflict { .. }), "{ended}");

    let mut missing = lab.docker.open_session(&id, &["no-such-program"]).await?;
    let answer = missing.ask(b"mark one\n", "mark").await?;
    assert!(answer.exit_code >= 126, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_signal_makes_nginx_load_what_was_put_into_its_container() -> Outcome {
    let lab = Lab::new("reload")?;
    let id = lab.run("lb", json!({ "Image": NGINX })).await?;
    let lb = address(&lab.inspect(&id).await?, 80)?;
    let config = "server { listen 80; location = /aegis-revision { return 200 \"r7\"; } }\n";
    lab.docker
        .put_files(
            &id,
            "/etc/nginx/conf.d",
            &[("upstream.conf".to_owned(), config.into())],
        )
        .await?;
    let read = lab
        .docker
        .read_files(&id, "/etc/nginx/conf.d/upstream.conf")
        .await?;
    assert_eq!(read, [("upstream.conf".to_owned(), config.as_bytes().to_vec())]);
    lab.docker.signal(&id, "HUP").await?;
    lab.eventually("nginx serves the new configuration", || async {
        let answer = lab
            .docker
            .http_get(lb, "/aegis-revision", Duration::from_secs(1))
            .await;
        Ok(answer.ok().filter(|answer| answer.body == "r7"))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn files_go_in_and_come_out_running_or_not() -> Outcome {
    let lab = Lab::new("files")?;
    let volume = lab.volume("conf").await?;
    let writable = lab
        .docker
        .create(lab.spec("writable", json!({ "Image": APP })))
        .await?;
    let read_only = json!({ "Image": APP, "HostConfig": { "ReadonlyRootfs": true, "Binds": [format!("{volume}:/conf")] } });
    let read_only = lab.run("readonly", read_only).await?;
    let files = [
        ("a.txt".to_owned(), b"1".to_vec()),
        ("deep/er/b.txt".to_owned(), vec![0, 255, 10]),
    ];
    for _ in 0..2 {
        for (id, folder) in [(&writable, "/"), (&read_only, "/conf")] {
            lab.docker.put_files(id, folder, &files).await?;
            let folder = folder.trim_end_matches('/');
            let deep = lab.docker.read_files(id, &format!("{folder}/deep/er")).await?;
            assert_eq!(deep, [("b.txt".to_owned(), vec![0, 255, 10])]);
            let one = lab.docker.read_files(id, &format!("{folder}/a.txt")).await?;
            assert_eq!(one, [("a.txt".to_owned(), b"1".to_vec())]);
        }
        lab.docker.start(&writable).await?;
        lab.docker.stop(&read_only, None).await?;
    }
    let inside = lab.docker.read_files(&read_only, "/conf").await?;
    assert_eq!(inside, [("a.txt".to_owned(), b"1".to_vec())]);
    for error in [
        lab.docker.read_files(&writable, "/nowhere").await.unwrap_err(),
        lab.docker
            .put_files(&writable, "/nowhere", &files)
            .await
            .unwrap_err(),
    ] {
        assert!(
            error.is_not_found() && error.to_string().contains("/nowhere"),
            "{error}"
        );
    }
    let sealed = lab.docker.put_files(&read_only, "/", &files).await.unwrap_err();
    assert!(sealed.to_string().contains("read-only"), "{sealed}");
    let big = [("big".to_owned(), vec![b'x'; 5 * 1024 * 1024])];
    lab.docker.put_files(&writable, "/", &big).await?;
    let big = lab.docker.read_files(&writable, "/big").await.unwrap_err();
    assert!(big.to_string().contains("more than 4 MiB"), "{big}");
    Ok(())
}

#[tokio::test]
async fn counters_are_read_and_make_rates() -> Outcome {
    let lab = Lab::new("stats")?;
    let body = json!({ "Image": APP, "HostConfig": { "Memory": 67_108_864 } });
    let id = lab.run("app", body).await?;
    let before = lab.docker.stats(&id).await?;
    assert_eq!(before.memory_limit_bytes, 67_108_864);
    assert!(
        before.memory_bytes > 0 && before.memory_bytes < 67_108_864 && before.pids > 0,
        "{before:?}"
    );
    let after = lab
        .eventually("time has passed", || async {
            let after = lab.docker.stats(&id).await?;
            Ok(
                (after.read_at > before.read_at && after.cpu_total_ns >= before.cpu_total_ns)
                    .then_some(after),
            )
        })
        .await?;
    let percent = cpu_percent(&before, &after).expect("a rate");
    assert!((0.0..=6400.0).contains(&percent), "{percent}");
    lab.docker.stop(&id, None).await?;
    assert_eq!(lab.docker.stats(&id).await?.memory_bytes, 0);
    Ok(())
}

#[tokio::test]
async fn log_lines_name_their_stream_and_a_terminals_do_not_confuse() -> Outcome {
    let lab = Lab::new("logs")?;
    let body = json!({ "Image": NGINX, "Entrypoint": ["nginx", "-T", "-e", "/dev/stderr"], "Cmd": [] });
    let mut tty = body.clone();
    tty["Tty"] = json!(true);
    let plain = lab.run("plain", body).await?;
    let tty = lab.run("tty", tty).await?;
    for id in [&plain, &tty] {
        lab.eventually("it ends", || async {
            Ok((lab.inspect(id).await?.state == ContainerState::Exited).then_some(()))
        })
        .await?;
    }
    let read = |id: String, query: LogQuery| {
        let docker = &lab.docker;
        async move {
            docker
                .logs(&id, query)
                .await?
                .collect::<Vec<_>>()
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
        }
    };
    let lines = read(plain.clone(), ALL).await?;
    assert!(
        lines
            .iter()
            .any(|line| line.stderr && line.text.contains("test is successful")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| !line.stderr && line.text.contains("configuration file")),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| !line.text.ends_with(['\n', '\r'])));
    let same = read(tty, ALL).await?;
    assert!(
        same.iter()
            .any(|line| line.text.contains("test is successful") && !line.text.ends_with('\r')),
        "{same:?}"
    );
    let last = read(
        plain.clone(),
        LogQuery {
            tail: 1,
            timestamps: true,
            ..ALL
        },
    )
    .await?;
    assert_eq!(last.len(), 1);
    assert!(last[0].text.starts_with("20"), "{last:?}");
    assert!(
        read(
            plain,
            LogQuery {
                since: 4_000_000_000,
                ..ALL
            }
        )
        .await?
        .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn a_followed_log_ends_with_its_container() -> Outcome {
    let lab = Lab::new("follow")?;
    let id = lab.run("app", json!({ "Image": APP })).await?;
    let mut log = lab.docker.logs(&id, LogQuery { follow: true, ..ALL }).await?;
    let first = tokio::time::timeout(Duration::from_secs(20), log.next())
        .await?
        .expect("a line")?;
    assert!(!first.text.is_empty());
    lab.docker.stop(&id, None).await?;
    let rest = tokio::time::timeout(Duration::from_secs(20), log.collect::<Vec<_>>()).await?;
    assert!(rest.iter().all(Result::is_ok), "{rest:?}");
    Ok(())
}

#[tokio::test]
async fn events_report_a_container_from_its_creation_to_its_end() -> Outcome {
    let lab = Lab::new("events")?;
    let events = lab.docker.events().await?;
    let id = lab.run("app", json!({ "Image": APP })).await?;
    lab.docker.stop(&id, None).await?;
    lab.docker.remove(&id).await?;
    let mine = events
        .map(|event| event.expect("an event"))
        .filter(|event| std::future::ready(event.id == id));
    let mut seen = Vec::new();
    let mut mine = Box::pin(mine);
    while seen.last().map(String::as_str) != Some("destroy") {
        let event = tokio::time::timeout(Duration::from_secs(20), mine.next())
            .await?
            .expect("an event");
        // A network's events name a container by its id alone.
        if matches!(event.action.as_str(), "connect" | "disconnect") {
            continue;
        }
        assert_eq!(event.name, lab.name("app"));
        if event.action == "die" {
            assert_eq!(event.attributes["exitCode"], "0");
        }
        if !event.action.starts_with("health_status") {
            seen.push(event.action);
        }
    }
    assert_eq!(seen, ["create", "start", "kill", "die", "stop", "destroy"]);
    Ok(())
}

#[tokio::test]
async fn an_engine_that_was_away_is_simply_there_again() -> Outcome {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("docker.sock");
    let docker = Docker::connect(Some(&format!("unix://{}", socket.display())))?;
    let away = docker.list(ListFilter::default()).await.unwrap_err();
    assert!(matches!(away, EngineError::Unreachable { .. }), "{away}");
    assert!(docker.start("x").await.unwrap_err().is_transient());
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket)?;
    docker.list(ListFilter::default()).await?;
    assert!(
        docker
            .start("aegistest-missing")
            .await
            .unwrap_err()
            .is_not_found()
    );
    std::fs::remove_file(&socket)?;
    assert!(matches!(
        docker.info().await,
        Err(EngineError::Unreachable { .. })
    ));
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket)?;
    assert!(docker.info().await?.api >= (1, 41));
    Ok(())
}
