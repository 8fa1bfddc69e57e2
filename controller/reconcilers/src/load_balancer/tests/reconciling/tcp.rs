//! TCP backends, whose file goes live with that of HTTP or not at all.

use aegis_docker_fake::When;
use aegis_planning::load_balancer::stream::NONE;
use aegis_planning::load_balancer::testing::STREAM_TEMPLATE;
use serde_json::{Value, json};

use super::*;

const STREAM_FILE: &str = "/etc/nginx/stream.d/upstream.conf";

impl Rig {
    /// In front of `web` by HTTP and by TCP.
    async fn with_tcp() -> Self {
        let rig = Self::new().await;
        rig.stream_template(STREAM_TEMPLATE);
        rig.backends(both()).await;
        rig
    }

    fn stream_template(&self, text: &str) {
        std::fs::write(self.templates.path().join("nginx-stream.conf.tera"), text).unwrap();
    }

    async fn edit(&self, fields: Value) {
        let store = &self.context.store;
        let edit = store.edit_spec::<LoadBalancer, _>("lb", move |lb| {
            let mut spec = serde_json::to_value(&lb.spec).unwrap();
            for (field, value) in fields.as_object().unwrap() {
                spec[field] = value.clone();
            }
            Ok(serde_json::from_value(spec).unwrap())
        });
        edit.await.unwrap();
    }

    async fn backends(&self, backends: Value) {
        self.edit(json!({"backends": backends})).await;
    }

    /// The file that it names for requests is another one's, or that of its own TCP backends.
    async fn loses_its_path(&self, to_another: bool) {
        if !to_another {
            self.edit(json!({"configPath": STREAM_FILE, "backends": http()}))
                .await;
            return;
        }
        let path = "/etc/nginx/conf.d/another.conf";
        let mut another = balancer();
        another.metadata.name = Some("another".to_owned());
        another.spec.config_path = path.parse().unwrap();
        self.create("lb", serde_json::to_value(another).unwrap()).await;
        // Whichever was made first: it has written it.
        let status = LoadBalancerStatus {
            stream_config_path: Some(path.to_owned()),
            ..LoadBalancerStatus::default()
        };
        self.set_status_of("another", status).await;
        self.edit(json!({"configPath": path})).await;
    }

    /// Serves `web` and `web-2` by TCP, and has lost its path.
    async fn blocked(to_another: bool) -> Self {
        let rig = Self::with_tcp().await;
        rig.second().await;
        rig.pass().await.unwrap();
        rig.loses_its_path(to_another).await;
        rig
    }

    async fn gets_its_path_back(&self) {
        let info = kinds::find("lb").unwrap();
        if self.context.store.get::<LoadBalancer>("another").is_some() {
            let deleted = self.context.store.delete(info, "another", None, None, false);
            deleted.await.unwrap();
        }
        self.edit(json!({"configPath": FILE, "backends": both()})).await;
    }

    /// As where the first pass was cut short.
    async fn claimed(&self) {
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        let uid = lb.metadata.uid.clone().unwrap();
        let finalizers = vec![LOAD_BALANCER_FINALIZER.to_owned()];
        let store = &self.context.store;
        store
            .set_finalizers::<LoadBalancer>("lb", &uid, finalizers)
            .await
            .unwrap();
    }

    /// Where nginx has `web` by TCP.
    fn tcp(&self) -> String {
        self.address.replace(":8000", ":8001")
    }

    /// How many servers by TCP its file has, and how many of these are `down`.
    fn tcp_servers(&self) -> (usize, usize) {
        let file = self.stream().unwrap();
        (file.matches(":8001").count(), file.matches(" down;").count())
    }

    async fn no_tcp(&self) {
        self.backends(http()).await;
    }

    async fn put(&self, path: &str, text: &str) {
        let id = self.engine.inspect_now("nginx").unwrap().id;
        let (folder, file) = path.rsplit_once('/').unwrap();
        let files = [(file.to_owned(), text.as_bytes().to_vec())];
        self.engine.put_files(&id, folder, &files).await.unwrap();
    }

    async fn main(&self, text: &str) {
        self.put("/etc/nginx/nginx.conf", text).await;
    }

    fn stream(&self) -> Option<String> {
        self.stream_at(STREAM_FILE)
    }

    fn stream_at(&self, path: &str) -> Option<String> {
        let file = self.engine.file("nginx", path)?;
        Some(String::from_utf8(file).unwrap())
    }

    fn status(&self) -> LoadBalancerStatus {
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        lb.status.clone().unwrap_or_default()
    }

    async fn set_status(&self, status: LoadBalancerStatus) {
        self.set_status_of("lb", status).await;
    }

    async fn set_status_of(&self, name: &str, status: LoadBalancerStatus) {
        let lb = self.context.store.get::<LoadBalancer>(name).unwrap();
        let uid = lb.metadata.uid.clone().unwrap();
        let store = &self.context.store;
        store
            .set_status::<LoadBalancer>(name, &uid, status)
            .await
            .unwrap();
    }

    /// What was proved, and where it is.
    fn noted(&self) -> (Option<String>, Option<String>) {
        let status = self.status();
        (status.stream_config, status.stream_config_path)
    }

    /// As where the controller was killed after the file of TCP backends was written, with this server.
    async fn leave_stream(&self, server: &str) {
        let status = LoadBalancerStatus {
            stream_config_path: Some(STREAM_FILE.to_owned()),
            ..self.status()
        };
        self.set_status(status).await;
        self.put(
            STREAM_FILE,
            &format!(
                "# TCP backends of LoadBalancer lb, rendered by AegisOps; changes made here are overwritten.\n\
                 upstream db {{ server {server}; }}\n"
            ),
        )
        .await;
    }

    /// What nginx says of the files that it reads.
    fn dump(&self, output: String) {
        let answer = aegis_api::observed::ExecOutput { exit_code: 0, output };
        self.engine.answer_exec("nginx", "-T", answer);
    }
}

fn http() -> Value {
    json!([{"workload": "web", "port": 8000, "upstream": "web"}])
}

fn both() -> Value {
    json!([
        {"workload": "web", "port": 8000, "upstream": "web"},
        {"workload": "web", "port": 8001, "upstream": "db", "protocol": "Tcp", "listenPort": 5432},
    ])
}

#[tokio::test(start_paused = true)]
async fn i8_a_stranger_at_the_address_of_the_last_server_gets_no_connection() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    let tcp = rig.address.replace(":8000", ":8001");
    assert!(rig.served().contains(&tcp), "{:?}", rig.served());
    assert_eq!(rig.noted(), (rig.stream(), Some(STREAM_FILE.to_owned())));
    rig.replace_by_a_stranger();
    rig.pass().await.unwrap();
    assert!(rig.served().is_empty(), "{:?}", rig.served());
    assert!(rig.stream().unwrap().contains("return \"\";"));
    assert!(
        rig.ready().contains("upstream db closes connections since"),
        "{}",
        rig.ready()
    );
}

#[tokio::test(start_paused = true)]
async fn i8_a_broken_template_of_tcp_keeps_no_stranger_in_nginx() {
    for (template, reason) in [
        ("{% for x in %}", "template nginx-stream.conf.tera"),
        ("upstream db { }", "ConfigRefused"),
    ] {
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.stream_template(template);
        rig.replace_by_a_stranger();
        rig.pass().await.unwrap_err();
        assert!(rig.served().is_empty(), "{template}: {:?}", rig.served());
        assert!(rig.stream().unwrap().contains(" down;"));
        assert!(rig.ready().contains(reason), "{}", rig.ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_main_configuration_without_a_stream_block_is_refused_with_the_line_and_no_file_is_touched() {
    let rig = Rig::with_tcp().await;
    let (http, main) = (rig.file(), "events { }\nhttp {\n    include conf.d/*.conf;\n}\n");
    rig.main(main).await;
    let line = "add `stream { include /etc/nginx/stream.d/*.conf; }` to /etc/nginx/nginx.conf, beside its http block";
    for _ in 0..3 {
        rig.pass().await.unwrap_err();
        let ready = rig.ready();
        assert!(
            ready.starts_with("False NotConfigurable") && ready.contains(line),
            "{ready}"
        );
        assert_eq!((rig.file(), rig.stream()), (http.clone(), None));
    }
    let in_http = "events { }\nhttp {\n    include conf.d/*.conf;\n    include stream.d/*.conf;\n}\n";
    rig.main(in_http).await;
    rig.pass().await.unwrap_err();
    assert!(
        rig.ready().contains("line 4 of /etc/nginx/nginx.conf includes"),
        "{}",
        rig.ready()
    );
    assert_eq!((rig.file(), rig.stream()), (http, None));

    rig.main(&format!("{main}stream {{ include stream.d/*.conf; }}\n"))
        .await;
    rig.pass().await.unwrap();
    assert!(
        rig.ready().starts_with("True") && rig.stream().is_some(),
        "{}",
        rig.ready()
    );
}

#[tokio::test(start_paused = true)]
async fn a_port_that_another_server_of_nginx_has_is_refused_before_a_file_is_touched() {
    let rig = Rig::with_tcp().await;
    let http = rig.file();
    let output = "# configuration file /etc/nginx/conf.d/zz.conf:\nserver {\n    listen 5432;\n}\n";
    rig.dump(output.to_owned());
    rig.pass().await.unwrap_err();
    let words = "/etc/nginx/conf.d/zz.conf:2 listens on port 5432 already: give spec.backends[1].listenPort another one";
    assert!(rig.ready().contains(words), "{}", rig.ready());
    assert_eq!((rig.file(), rig.stream()), (http, None));

    // So is one that comes to be had once there are TCP backends.
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    let (http, stream) = (rig.file(), rig.stream());
    rig.dump(format!(
        "# configuration file /etc/nginx/conf.d/upstream.conf:\n# configuration file /etc/nginx/stream.d/upstream.conf:\n{output}"
    ));
    rig.edit(json!({"algorithm": "LeastConn"})).await;
    rig.pass().await.unwrap_err();
    assert!(rig.ready().contains(words), "{}", rig.ready());
    assert_eq!((rig.file(), rig.stream()), (http, stream));

    // And one of the main configuration, whatever becomes of what nginx prints.
    let rig = Rig::with_tcp().await;
    let http = rig.file();
    rig.main("events { }\nhttp {\n    include conf.d/*.conf;\n    server { listen 5432; }\n}\nstream { include stream.d/*.conf; }\n")
        .await;
    rig.dump(String::new());
    rig.pass().await.unwrap_err();
    let words = "/etc/nginx/nginx.conf:4 listens on port 5432 already";
    assert!(rig.ready().contains(words), "{}", rig.ready());
    assert_eq!((rig.file(), rig.stream()), (http, None));
}

#[tokio::test(start_paused = true)]
async fn tcp_backends_that_are_taken_away_and_a_load_balancer_that_is_deleted_leave_no_listener() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    rig.no_tcp().await;
    rig.pass().await.unwrap();
    assert_eq!((rig.stream().as_deref(), rig.noted()), (Some(NONE), (None, None)));
    assert!(rig.ready().starts_with("True"), "{}", rig.ready());

    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    rig.delete().await;
    while rig.exists() {
        rig.pass().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(rig.stream().as_deref(), Some(NONE));
}

#[tokio::test(start_paused = true)]
async fn i8_a_deleted_load_balancer_that_may_not_write_its_file_of_requests_leaves_no_listener() {
    for to_another in [true, false] {
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.loses_its_path(to_another).await;
        rig.pass().await.unwrap_err();
        let why = match to_another {
            true => "load balancer another has /etc/nginx/conf.d/another.conf",
            false => "its TCP backends are in /etc/nginx/stream.d/upstream.conf",
        };
        assert!(rig.ready().contains(why), "{}", rig.ready());
        let file = rig.stream();
        rig.delete().await;
        // As long as nginx refuses its files, it is not over.
        rig.neighbour("invalid_directive on;\n").await;
        rig.pass().await.unwrap_err();
        for part in [
            "False ConfigRefused",
            "nginx still sends requests of",
            "upstream db",
        ] {
            assert!(rig.ready().contains(part), "{}", rig.ready());
        }
        assert!(rig.exists() && rig.stream() == file);
        rig.neighbour("").await;
        rig.pass().await.unwrap();
        assert_eq!((rig.exists(), rig.stream().as_deref()), (false, Some(NONE)));
        assert_eq!(rig.served(), std::slice::from_ref(&rig.address), "loaded");

        // Killed before nginx was to load it.
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.loses_its_path(to_another).await;
        rig.put(STREAM_FILE, NONE).await;
        rig.delete().await;
        rig.pass().await.unwrap();
        assert_eq!(
            (rig.exists(), rig.served().len()),
            (false, 1),
            "{:?}",
            rig.served()
        );

        // A file of somebody else in its place stays.
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.loses_its_path(to_another).await;
        let foreign = "upstream theirs { server 10.9.9.9:1; }\n";
        rig.put(STREAM_FILE, foreign).await;
        rig.delete().await;
        rig.pass().await.unwrap();
        assert_eq!((rig.exists(), rig.stream().as_deref()), (false, Some(foreign)));

        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.loses_its_path(to_another).await;
        rig.engine.stop_by_hand("nginx").unwrap();
        rig.pass().await.unwrap_err();
        assert_eq!(
            rig.stream(),
            file,
            "nothing of requests is where TCP backends are"
        );
        rig.delete().await;
        rig.pass().await.unwrap();
        assert_eq!((rig.exists(), rig.stream().as_deref()), (false, Some(NONE)));
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_load_balancer_whose_tcp_backends_were_never_proved_can_be_deleted_and_leaves_no_listener() {
    let breaks: [fn(&Rig); 2] = [
        |_| {},
        |rig| std::fs::remove_file(rig.templates.path().join("nginx-upstream.conf.tera")).unwrap(),
    ];
    for (index, break_it) in breaks.into_iter().enumerate() {
        let rig = Rig::unconfigured().await;
        rig.stream_template(STREAM_TEMPLATE);
        rig.template("server { listen 80; }");
        rig.backends(both()).await;
        rig.pass().await.unwrap_err();
        assert_eq!(
            rig.noted(),
            (None, Some(STREAM_FILE.to_owned())),
            "{}",
            rig.ready()
        );
        assert_eq!(rig.served(), [rig.tcp()]);
        break_it(&rig);
        rig.delete().await;
        rig.pass().await.unwrap();
        assert_eq!(
            (rig.exists(), rig.stream().as_deref()),
            (false, Some(NONE)),
            "{index}"
        );
        assert!(rig.served().is_empty(), "{:?}", rig.served());
    }
    // nginx reads its file of requests no more, and then refuses everything.
    let rig = Rig::unconfigured().await;
    rig.leave_stream("10.9.9.9:1").await;
    rig.claimed().await;
    let main =
        "events { }\nhttp {\n    include sites/*.conf;\n}\nstream {\n    include stream.d/*.conf;\n}\n";
    rig.main(main).await;
    rig.delete().await;
    rig.put("/etc/nginx/stream.d/zz.conf", "invalid_directive on;\n")
        .await;
    rig.pass().await.unwrap_err();
    assert!(
        rig.exists() && rig.ready().contains("invalid_directive"),
        "{}",
        rig.ready()
    );
    rig.put("/etc/nginx/stream.d/zz.conf", "").await;
    rig.pass().await.unwrap();
    assert_eq!((rig.exists(), rig.stream().as_deref()), (false, Some(NONE)));
}

#[tokio::test(start_paused = true)]
async fn i8_a_load_balancer_that_is_deleted_while_nginx_is_stopped_leaves_no_listener() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    let never = Rig::unconfigured().await;
    never.leave_stream("10.9.9.9:1").await;
    never.claimed().await;
    for rig in [rig, never] {
        rig.engine.stop_by_hand("nginx").unwrap();
        rig.delete().await;
        rig.pass().await.unwrap();
        assert_eq!((rig.exists(), rig.stream().as_deref()), (false, Some(NONE)));
        rig.engine.start_by_hand("nginx").unwrap();
        assert!(rig.served().is_empty(), "{:?}", rig.served());
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_load_balancer_that_may_not_write_its_file_of_requests_keeps_no_stranger_by_tcp() {
    for to_another in [true, false] {
        let rig = Rig::blocked(to_another).await;
        rig.pass().await.unwrap_err();
        let (loads, tcp) = (rig.engine.loaded_configs().len(), rig.tcp());
        rig.replace_by_a_stranger();
        // As long as nginx refuses its files, who is served is reported, and it is tried again soon.
        rig.neighbour("invalid_directive on;\n").await;
        let error = rig.pass().await.unwrap_err();
        assert!(matches!(error.on_error(), OnError::BackoffWithin(_)), "{error:?}");
        let words = format!("nginx still sends requests of upstream db to {tcp}, which is not web's");
        assert!(rig.ready().contains(&words), "{}", rig.ready());
        assert_eq!(rig.tcp_servers(), (2, 0));
        rig.neighbour("").await;
        rig.pass().await.unwrap_err();
        assert!(!rig.served().contains(&tcp), "{:?}", rig.served());
        assert_eq!(rig.tcp_servers(), (2, 1), "the other one stays");
        assert_eq!(rig.noted(), (rig.stream(), Some(STREAM_FILE.to_owned())));
        let why = match to_another {
            true => "load balancer another has /etc/nginx/conf.d/another.conf",
            false => "its TCP backends are in /etc/nginx/stream.d/upstream.conf",
        };
        for part in ["taken out", &tcp, why] {
            assert!(rig.ready().contains(part), "{}", rig.ready());
        }
        // It is not loaded again and again.
        rig.pass().await.unwrap_err();
        assert_eq!(rig.engine.loaded_configs().len(), loads + 1);
        assert_eq!(rig.stream_at("/etc/nginx/conf.d/another.conf"), None);

        // Once its file is its own again, it is as any other.
        rig.gets_its_path_back().await;
        rig.pass().await.unwrap();
        assert!(rig.ready().starts_with("True"), "{}", rig.ready());
        assert_eq!(rig.tcp_servers(), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn i8_strangers_by_tcp_go_with_all_tcp_backends_where_nginx_refuses_the_rest_of_them() {
    let rig = Rig::blocked(true).await;
    rig.put(
        "/etc/nginx/stream.d/zz.conf",
        "upstream db { server 10.9.9.9:1; }\n",
    )
    .await;
    rig.pass().await.unwrap_err();
    assert_eq!(rig.tcp_servers(), (2, 0), "no stranger");
    rig.replace_by_a_stranger();
    rig.pass().await.unwrap_err();
    assert_eq!(rig.stream().as_deref(), Some(NONE));
    assert!(!rig.served().contains(&rig.tcp()), "{:?}", rig.served());
    assert_eq!(rig.noted(), (None, Some(STREAM_FILE.to_owned())));
    assert!(
        rig.ready().contains("nginx listens for no TCP backend"),
        "{}",
        rig.ready()
    );
    rig.engine
        .remove_file("nginx", "/etc/nginx/stream.d/zz.conf")
        .unwrap();
    rig.gets_its_path_back().await;
    rig.pass().await.unwrap();
    assert_eq!(rig.tcp_servers(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn i8_a_crash_keeps_no_stranger_by_tcp_in_nginx_and_no_file_of_somebody_else_is_written() {
    for to_another in [true, false] {
        // Killed before nginx was to load it.
        let rig = Rig::blocked(to_another).await;
        rig.replace_by_a_stranger();
        let file = rig.stream().unwrap();
        let line = file.lines().find(|line| line.contains(&rig.tcp())).unwrap();
        rig.put(STREAM_FILE, &file.replace(line, &line.replacen(';', " down;", 1)))
            .await;
        rig.pass().await.unwrap_err();
        assert!(!rig.served().contains(&rig.tcp()), "{:?}", rig.served());

        // Killed after a server was written that the status does not know.
        let rig = Rig::blocked(to_another).await;
        let file = rig.stream().unwrap();
        rig.leave_stream("10.9.9.9:1").await;
        rig.pass().await.unwrap_err();
        assert_eq!(rig.stream().unwrap(), file);
        assert!(!rig.served().contains(&"10.9.9.9:1".to_owned()));
        let rig = Rig::new().await;
        rig.leave_stream("10.9.9.9:1").await;
        rig.loses_its_path(to_another).await;
        rig.pass().await.unwrap_err();
        assert_eq!(rig.stream().as_deref(), Some(NONE));

        let rig = Rig::blocked(to_another).await;
        let foreign = "upstream theirs { server 10.9.9.9:1; }\n";
        rig.put(STREAM_FILE, foreign).await;
        rig.replace_by_a_stranger();
        rig.pass().await.unwrap_err();
        assert_eq!(rig.stream().as_deref(), Some(foreign));
        assert!(!rig.served().contains(&rig.tcp()), "{:?}", rig.served());

        let rig = Rig::blocked(to_another).await;
        rig.replace_by_a_stranger();
        rig.engine.stop_by_hand("nginx").unwrap();
        rig.pass().await.unwrap_err();
        assert_eq!(rig.tcp_servers(), (2, 1));
        rig.engine.start_by_hand("nginx").unwrap();
        assert!(!rig.served().contains(&rig.tcp()), "{:?}", rig.served());
    }
}

#[tokio::test(start_paused = true)]
async fn i8_tcp_backends_that_go_with_the_name_of_their_file_leave_no_listener() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    rig.edit(json!({"backends": http(), "streamConfigPath": "/etc/nginx/stream.d/tcp.conf"}))
        .await;
    rig.pass().await.unwrap();
    assert_eq!(rig.served(), std::slice::from_ref(&rig.address));
    assert_eq!((rig.stream().as_deref(), rig.noted()), (Some(NONE), (None, None)));
    // And are back in the other one.
    rig.backends(both()).await;
    rig.pass().await.unwrap();
    let (proved, path) = rig.noted();
    assert_eq!(rig.stream_at(&path.unwrap()), proved);
    assert_eq!(rig.stream().as_deref(), Some(NONE));
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_of_tcp_does_not_move_and_holds_no_stranger() {
    for moved in [
        json!({"streamConfigPath": "/etc/nginx/stream.d/tcp.conf"}),
        // No folder that nginx reads.
        json!({"streamConfigPath": "/etc/nginx/other.d/tcp.conf"}),
    ] {
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        let (files, elsewhere) = ((rig.file(), rig.stream()), moved["streamConfigPath"].clone());
        let elsewhere = elsewhere.as_str().unwrap();
        rig.edit(moved.clone()).await;
        rig.pass().await.unwrap_err();
        let words = format!(
            "its TCP backends are in {STREAM_FILE} of nginx, and spec.streamConfigPath is {elsewhere} now"
        );
        assert!(rig.ready().contains(&words), "{}", rig.ready());
        assert_eq!((rig.file(), rig.stream()), files);
        rig.replace_by_a_stranger();
        rig.pass().await.unwrap_err();
        assert!(rig.served().is_empty(), "{moved}: {:?}", rig.served());
        assert!(rig.stream().unwrap().contains(" down;"));
        assert_eq!(rig.stream_at(elsewhere), None);
        rig.edit(json!({"streamConfigPath": null})).await;
        rig.pass().await.unwrap();
        assert!(rig.stream().unwrap().contains("return \"\";"));
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_of_somebody_else_in_the_place_of_that_of_tcp_stays_as_it_is() {
    let foreign = "upstream theirs { server 10.9.9.9:1; }\n";
    let rig = Rig::with_tcp().await;
    rig.put(STREAM_FILE, foreign).await;
    let http = rig.file();
    // One pass fails before anything is rendered, one is refused, and then nothing is to be there any more.
    rig.stream_template("{% for x in %}");
    rig.pass().await.unwrap_err();
    rig.stream_template(STREAM_TEMPLATE);
    rig.pass().await.unwrap_err();
    let words = format!("{STREAM_FILE} is there already and not of this load balancer");
    assert!(
        rig.ready().starts_with("False NotConfigurable") && rig.ready().contains(&words),
        "{}",
        rig.ready()
    );
    assert_eq!((rig.file(), rig.noted()), (http, (None, None)));
    rig.no_tcp().await;
    rig.pass().await.unwrap();
    assert_eq!(rig.stream().as_deref(), Some(foreign));

    // So where they put it over ours: nothing is written over it, and strangers go all the same.
    for is_deleted in [false, true] {
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.put(STREAM_FILE, foreign).await;
        rig.second().await;
        rig.pass().await.unwrap_err();
        assert!(rig.ready().contains(&words), "{}", rig.ready());
        rig.replace_by_a_stranger();
        rig.pass().await.unwrap_err();
        assert!(!rig.served().contains(&rig.address), "{:?}", rig.served());
        match is_deleted {
            true => rig.delete().await,
            false => rig.no_tcp().await,
        }
        for _ in 0..20 {
            if !rig.exists() {
                break;
            }
            rig.pass().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        assert_eq!(rig.exists(), !is_deleted);
        assert_eq!(rig.stream().as_deref(), Some(foreign), "deleted: {is_deleted}");
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_tcp_backend_that_is_refused_keeps_no_stranger_in_nginx() {
    let rig = Rig::with_tcp().await;
    rig.main("events { }\nhttp {\n    include conf.d/*.conf;\n}\n")
        .await;
    rig.replace_by_a_stranger();
    rig.pass().await.unwrap_err();
    assert!(rig.served().is_empty(), "{:?}", rig.served());
    let ready = rig.ready();
    assert!(
        ready.starts_with("False NotConfigurable taken out") && ready.contains("add `stream {"),
        "{ready}"
    );
    assert_eq!(rig.stream(), None);

    let rig = Rig::with_tcp().await;
    let old = "nginx version: nginx/1.28.3\nconfigure arguments: --with-http_stub_status_module\n";
    let answer = aegis_api::observed::ExecOutput {
        exit_code: 0,
        output: old.to_owned(),
    };
    rig.engine.answer_exec("nginx", "-V", answer);
    rig.replace_by_a_stranger();
    rig.context.endpoints.all_changed();
    let next = LoadBalancerReconciler::new(rig.context.clone());
    next.reconcile("lb").await.unwrap_err();
    assert!(rig.served().is_empty(), "{:?}", rig.served());
    assert!(rig.ready().contains("was built --with-stream"), "{}", rig.ready());
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_of_tcp_that_cannot_be_written_keeps_no_stranger_by_http() {
    // Mounted read-only, and a mount of its own in a container without a shell.
    for (path, why) in [
        ("/etc/nginx/stream.d", "is mounted read-only"),
        (STREAM_FILE, "is a mount of its own"),
    ] {
        for template in [None, Some("{% for x in %}")] {
            let rig = Rig::with_tcp().await;
            rig.pass().await.unwrap();
            let file = rig.stream();
            rig.engine.set_fixed("nginx", path, true).unwrap();
            if let Some(template) = template {
                rig.template(template);
            }
            rig.replace_by_a_stranger();
            let error = rig.pass().await.unwrap_err();
            assert!(matches!(error.on_error(), OnError::BackoffWithin(_)), "{error:?}");
            assert_eq!(rig.served(), [rig.tcp()], "{}", rig.ready());
            let astray = format!("nginx still sends requests of upstream db to {}", rig.tcp());
            for part in [astray.as_str(), why, "taken out", &rig.address] {
                assert!(rig.ready().contains(part), "{}", rig.ready());
            }
            assert_eq!(rig.noted(), (file, Some(STREAM_FILE.to_owned())));
            // It is not loaded again and again.
            let loads = rig.engine.loaded_configs().len();
            rig.pass().await.unwrap_err();
            assert_eq!(rig.engine.loaded_configs().len(), loads);
            assert!(
                rig.ready().contains(&astray) && rig.ready().contains(why),
                "{}",
                rig.ready()
            );
            rig.engine.set_fixed("nginx", path, false).unwrap();
            rig.template(TEMPLATE);
            rig.pass().await.unwrap();
            assert!(rig.served().is_empty(), "{:?}", rig.served());
        }

        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.engine.set_fixed("nginx", path, true).unwrap();
        rig.delete().await;
        rig.pass().await.unwrap_err();
        assert!(rig.exists(), "nginx still listens by TCP");
        assert_eq!(rig.served(), [rig.tcp()], "{}", rig.ready());

        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.engine.set_fixed("nginx", path, true).unwrap();
        rig.replace_by_a_stranger();
        rig.engine.stop_by_hand("nginx").unwrap();
        rig.pass().await.unwrap_err();
        assert!(rig.ready().contains(why), "{}", rig.ready());
        rig.engine.start_by_hand("nginx").unwrap();
        assert_eq!(rig.served(), [rig.tcp()], "{}", rig.file());
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_of_tcp_goes_back_where_that_of_http_cannot_be_written() {
    let rig = Rig::with_tcp().await;
    let http = rig.file();
    rig.engine.set_fixed("nginx", FILE, true).unwrap();
    rig.pass().await.unwrap_err();
    assert!(rig.ready().contains("is a mount of its own"), "{}", rig.ready());
    assert_eq!((rig.file(), rig.stream().as_deref()), (http, Some(NONE)));
    assert_eq!(rig.noted(), (None, Some(STREAM_FILE.to_owned())));

    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    let files = (rig.file(), rig.stream());
    rig.engine.set_fixed("nginx", FILE, true).unwrap();
    rig.edit(json!({"algorithm": "LeastConn"})).await;
    rig.pass().await.unwrap_err();
    assert_eq!((rig.file(), rig.stream()), files);
}

#[tokio::test(start_paused = true)]
async fn i8_a_crash_between_both_files_is_repaired() {
    let crashed = async || {
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        let (http, stream) = (rig.file(), rig.stream());
        rig.second().await;
        let writes = std::sync::atomic::AtomicUsize::new(0);
        let second = move |op: &str, when| {
            (op, when) == (Op::PutFiles.as_str(), When::Before)
                && writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1
        };
        rig.engine.on_operation(Some(std::sync::Arc::new(second)));
        let pass = tokio::time::timeout(std::time::Duration::from_secs(60), rig.pass());
        assert!(pass.await.is_err());
        rig.engine.on_operation(None);
        assert!(rig.file() == http && rig.stream() != stream, "between both");
        let next = LoadBalancerReconciler::new(rig.context.clone());
        (
            Rig {
                reconciler: next,
                ..rig
            },
            stream,
        )
    };
    let (rig, _) = crashed().await;
    rig.pass().await.unwrap();
    assert_eq!(rig.served().len(), 4, "{:?}", rig.served());
    assert_eq!(rig.noted().0, rig.stream());
    // nginx does not run any more, or nothing can be rendered: what no status speaks of is taken out.
    let (rig, stream) = crashed().await;
    rig.engine.stop_by_hand("nginx").unwrap();
    rig.pass().await.unwrap_err();
    assert_eq!(rig.stream(), stream);
    let (rig, _) = crashed().await;
    rig.template("{% for x in %}");
    rig.replace_by_a_stranger();
    rig.pass().await.unwrap_err();
    assert!(rig.served().is_empty(), "{:?}", rig.served());
    assert_eq!(rig.tcp_servers(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn i8_where_no_status_speaks_of_the_file_of_tcp_none_of_its_servers_is_released() {
    for (left, released) in [(true, 0), (false, 1)] {
        let rig = Rig::new().await;
        rig.second().await;
        rig.leaves("2026-11-22T11:59:58Z").await;
        rig.pass().await.unwrap();
        let status = rig.status();
        assert!(status.servers.len() == 1 && status.revision.is_some());
        if left {
            rig.leave_stream(&rig.tcp()).await;
        }
        let status = LoadBalancerStatus {
            draining: Vec::new(),
            releases: Vec::new(),
            ..rig.status()
        };
        rig.set_status(status).await;
        rig.template("{% for x in %}");
        rig.pass().await.unwrap_err();
        assert_eq!(rig.releases().len(), released, "{left}: {:?}", rig.releases());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_of_tcp_that_is_as_it_should_be_is_not_written_again() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    rig.engine.set_fixed("nginx", STREAM_FILE, true).unwrap();
    rig.template(&format!("{TEMPLATE}\n# another\n"));
    rig.pass().await.unwrap();
    assert!(rig.file().ends_with("# another\n"), "{}", rig.file());
}

#[tokio::test(start_paused = true)]
async fn what_nginx_says_of_its_files_is_not_believed_where_it_is_cut() {
    let said = "# configuration file /etc/nginx/nginx.conf:\n# configuration file /etc/nginx/conf.d/upstream.conf:\n";
    for (surplus, servers) in [(0, 2), (aegis_docker::OUTPUT_LIMIT, 4)] {
        let rig = Rig::with_tcp().await;
        rig.pass().await.unwrap();
        rig.dump(said.to_owned() + &"#".repeat(surplus));
        rig.second().await;
        let passed = rig.pass().await;
        assert_eq!(passed.is_ok(), servers == 4, "{}", rig.ready());
        assert_eq!(rig.served().len(), servers, "{:?}", rig.served());
    }
}

#[tokio::test(start_paused = true)]
async fn tcp_is_added_where_http_is_included_through_an_include_of_an_include() {
    let included = "events { }\nhttp {\n    include sites.conf;\n}\n";
    let stream = "stream {\n    include stream.d/*.conf;\n}\n";
    let nested = async || {
        let rig = Rig::with_tcp().await;
        rig.put("/etc/nginx/sites.conf", "include conf.d/*.conf;\n").await;
        rig.main(&format!("{included}{stream}")).await;
        rig
    };
    let rig = nested().await;
    rig.pass().await.unwrap();
    assert!(rig.served().contains(&rig.tcp()), "{:?}", rig.served());
    assert!(rig.ready().starts_with("True"), "{}", rig.ready());

    // What is missing is said before a file is touched.
    let rig = nested().await;
    let http = rig.file();
    rig.main(included).await;
    rig.pass().await.unwrap_err();
    let words = "add `stream { include /etc/nginx/stream.d/*.conf; }` to /etc/nginx/nginx.conf";
    assert!(rig.ready().contains(words), "{}", rig.ready());
    assert_eq!(
        (rig.file(), rig.stream(), rig.noted()),
        (http.clone(), None, (None, None))
    );
    let rig = nested().await;
    rig.put("/etc/nginx/sites-tcp.conf", "server { listen 5432; }\n")
        .await;
    rig.main(&format!(
        "{included}stream {{\n    include sites-tcp.conf;\n    include stream.d/*.conf;\n}}\n"
    ))
    .await;
    rig.pass().await.unwrap_err();
    let words = "/etc/nginx/sites-tcp.conf:1 listens on port 5432 already";
    assert!(rig.ready().contains(words), "{}", rig.ready());
    assert_eq!(rig.stream(), None);

    // What nginx refuses in its place goes back.
    let rig = nested().await;
    let http = rig.file();
    rig.stream_template("upstream db { }");
    rig.pass().await.unwrap_err();
    assert!(rig.ready().contains("ConfigRefused"), "{}", rig.ready());
    assert_eq!((rig.file(), rig.stream().as_deref()), (http, Some(NONE)));
}

#[tokio::test(start_paused = true)]
async fn a_port_of_tcp_that_another_process_has_is_named() {
    for (line, is_named) in [
        ("bind() to 0.0.0.0:5432 failed (98: Address already in use)", true),
        ("bind() to [::]:5432 failed (98: Address already in use)", true),
        (
            "bind() to 0.0.0.0:15432 failed (98: Address already in use)",
            false,
        ),
        ("still could not bind()", false),
    ] {
        let rig = Rig::with_tcp().await;
        let answer = aegis_api::observed::ExecOutput::default();
        rig.engine.answer_exec("nginx", "reload", answer);
        let line = format!("2026/11/22 12:00:00 [emerg] 1#1: {line}");
        rig.engine.say("nginx", true, &line).unwrap();
        rig.pass().await.unwrap_err();
        let words = "another process listens on port 5432 where nginx runs: give spec.backends[1].listenPort another one";
        let ready = rig.ready();
        assert!(ready.contains("ReloadUnproved"), "{ready}");
        assert_eq!(ready.contains(words), is_named, "{line}: {ready}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_of_tcp_is_read_however_nginx_writes_its_path() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    rig.dump(
        "# configuration file /etc/nginx/conf.d//upstream.conf:\nserver { listen 80; server_name x; }\n\
         # configuration file /etc/nginx//stream.d/upstream.conf:\nserver { listen 5432; }\n"
            .to_owned(),
    );
    // In its place, and staged.
    rig.second().await;
    rig.pass().await.unwrap();
    rig.edit(json!({"algorithm": "LeastConn"})).await;
    rig.pass().await.unwrap();
    assert!(!rig.ready().contains("host names"), "{}", rig.ready());
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_of_tcp_that_was_written_and_never_proved_is_found_again() {
    let rig = Rig::new().await;
    rig.leave_stream("10.9.9.9:1").await;
    let next = LoadBalancerReconciler::new(rig.context.clone());
    next.reconcile("lb").await.unwrap();
    assert_eq!((rig.stream().as_deref(), rig.noted()), (Some(NONE), (None, None)));

    // The very first one, and nothing is left to balance.
    let rig = Rig::unconfigured().await;
    rig.leave_stream("10.9.9.9:1").await;
    rig.engine.remove_by_hand("web").unwrap();
    rig.pass().await.unwrap();
    assert_eq!(rig.stream().as_deref(), Some(NONE));
    assert!(rig.served().is_empty(), "{:?}", rig.served());

    // A failure of the pass that has noted it does not forget it.
    let rig = Rig::with_tcp().await;
    rig.template("server { listen 80; }");
    rig.pass().await.unwrap_err();
    let noted = rig.noted();
    assert_eq!(noted, (None, Some(STREAM_FILE.to_owned())), "{}", rig.ready());
}

#[tokio::test(start_paused = true)]
async fn i8_a_file_of_tcp_is_repaired_once_other_workers_have_read_it() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    let file = rig.stream().unwrap();
    let changed = file.replace(&rig.address.replace(":8000", ":8001"), "10.9.9.9:1");
    rig.put(STREAM_FILE, &changed).await;
    let id = rig.engine.inspect_now("nginx").unwrap().id;
    rig.engine.signal(&id, "HUP").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(rig.served().contains(&"10.9.9.9:1".to_owned()));
    let next = LoadBalancerReconciler::new(rig.context.clone());
    next.reconcile("lb").await.unwrap();
    assert!(
        !rig.served().contains(&"10.9.9.9:1".to_owned()),
        "{:?}",
        rig.served()
    );
    assert_eq!(rig.stream().unwrap(), file);
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_while_there_is_no_proved_file_of_tcp() {
    let rig = Rig::new().await;
    let receipt = json!({
        "containers": ["web-1"], "addresses": ["10.0.0.2:80"],
        "startedAt": "2020-01-01T12:00:00Z", "finishedAt": "2020-01-01T12:00:05Z", "drained": true,
    });
    let status = LoadBalancerStatus {
        receipts: vec![serde_json::from_value(receipt).unwrap()],
        stream_config_path: Some(STREAM_FILE.to_owned()),
        ..rig.status()
    };
    rig.set_status(status).await;
    rig.pass().await.unwrap();
    let status = rig.status();
    assert!(status.receipts[0].requests.is_some(), "{:?}", status.receipts);
}
