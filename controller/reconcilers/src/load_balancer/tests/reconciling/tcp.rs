//! TCP backends, whose file goes live with that of HTTP or not at all.

use aegis_planning::load_balancer::stream::NONE;
use aegis_planning::load_balancer::testing::STREAM_TEMPLATE;

use super::*;

const STREAM_FILE: &str = "/etc/nginx/stream.d/upstream.conf";

impl Rig {
    /// In front of `web` by HTTP and by TCP.
    async fn with_tcp() -> Self {
        let rig = Self::new().await;
        rig.stream_template(STREAM_TEMPLATE);
        rig.backends(serde_json::json!([
            {"workload": "web", "port": 8000, "upstream": "web"},
            {"workload": "web", "port": 8001, "upstream": "db", "protocol": "Tcp", "listenPort": 5432},
        ]))
        .await;
        rig
    }

    fn stream_template(&self, text: &str) {
        std::fs::write(self.templates.path().join("nginx-stream.conf.tera"), text).unwrap();
    }

    async fn backends(&self, backends: serde_json::Value) {
        let store = &self.context.store;
        let edit = store.edit_spec::<LoadBalancer, _>("lb", move |lb| {
            let mut spec = lb.spec.clone();
            spec.backends = serde_json::from_value(backends).unwrap();
            Ok(spec)
        });
        edit.await.unwrap();
    }

    async fn no_tcp(&self) {
        self.backends(serde_json::json!([{"workload": "web", "port": 8000, "upstream": "web"}]))
            .await;
    }

    async fn main(&self, text: &str) {
        let id = self.engine.inspect_now("nginx").unwrap().id;
        let files = [("nginx.conf".to_owned(), text.as_bytes().to_vec())];
        self.engine.put_files(&id, "/etc/nginx", &files).await.unwrap();
    }

    fn stream(&self) -> Option<String> {
        let file = self.engine.file("nginx", STREAM_FILE)?;
        Some(String::from_utf8(file).unwrap())
    }

    fn noted(&self) -> Option<String> {
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        lb.status.clone().unwrap().stream_config
    }
}

#[tokio::test(start_paused = true)]
async fn i8_a_stranger_at_the_address_of_the_last_server_gets_no_connection() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    let tcp = rig.address.replace(":8000", ":8001");
    assert!(rig.served().contains(&tcp), "{:?}", rig.served());
    assert_eq!(rig.stream(), rig.noted());
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
    let answer = aegis_api::observed::ExecOutput {
        exit_code: 0,
        output: output.to_owned(),
    };
    rig.engine.answer_exec("nginx", "-T", answer);
    rig.pass().await.unwrap_err();
    let words = "/etc/nginx/conf.d/zz.conf:2 listens on port 5432 already: give spec.backends[1].listenPort another one";
    assert!(rig.ready().contains(words), "{}", rig.ready());
    assert_eq!((rig.file(), rig.stream()), (http, None));
}

#[tokio::test(start_paused = true)]
async fn tcp_backends_that_are_taken_away_and_a_load_balancer_that_is_deleted_leave_no_listener() {
    let rig = Rig::with_tcp().await;
    rig.pass().await.unwrap();
    rig.no_tcp().await;
    rig.pass().await.unwrap();
    assert_eq!((rig.stream().as_deref(), rig.noted()), (Some(NONE), None));
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

/// As where the controller was killed after the file of TCP backends was written, and its backend was taken away before the
/// next start.
#[tokio::test(start_paused = true)]
async fn i8_a_file_of_tcp_that_was_written_and_never_proved_is_found_again() {
    let rig = Rig::with_tcp().await;
    rig.stream_template("{% for x in %}");
    rig.pass().await.unwrap_err();
    assert_eq!(rig.noted().as_deref(), Some(NONE), "it may have been written");
    let id = rig.engine.inspect_now("nginx").unwrap().id;
    let left = [(
        "upstream.conf".to_owned(),
        b"upstream db { server 10.9.9.9:1; }".to_vec(),
    )];
    rig.engine
        .put_files(&id, "/etc/nginx/stream.d", &left)
        .await
        .unwrap();
    rig.no_tcp().await;
    let next = LoadBalancerReconciler::new(rig.context.clone());
    next.reconcile("lb").await.unwrap();
    assert_eq!((rig.stream().as_deref(), rig.noted()), (Some(NONE), None));
}
