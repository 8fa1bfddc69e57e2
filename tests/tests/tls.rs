//! Promise: tokens cross a network encrypted, or the controller says how; its certificate is its own or the one that it was
//! given, and may be replaced while it runs. Needs no engine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use aegis_tests::binaries::binary;
use aegis_tests::eventually;
use aegis_tests::launch::free_port;
use futures::StreamExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A controller without an engine, and its folder.
struct Encrypted {
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Child,
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn controller(folder: &Path) -> Command {
    let mut command = Command::new(binary("aegis-controller"));
    command
        .env_clear()
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .arg("--state-dir")
        .arg(folder.join("state"));
    command
}

impl Encrypted {
    /// Waits until it answers.
    async fn start(folder: tempfile::TempDir, flags: &[&str]) -> Self {
        let address = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut command = controller(folder.path());
        command.args(["--listen", &address.to_string()]).args(flags);
        let process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            folder,
            address,
            process,
        };
        eventually("the controller listens", async || {
            let connected = TcpStream::connect(address).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        started
    }

    fn state(&self, path: &str) -> PathBuf {
        self.folder.path().join("state").join(path)
    }

    fn token(&self) -> String {
        let token = std::fs::read_to_string(self.state(".secrets/admin-token")).unwrap();
        token.trim().to_owned()
    }

    fn aegisctl(&self, flags: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("aegisctl"));
        command
            .env_clear()
            .env("AEGIS_TOKEN", self.token())
            .arg(format!("--server=https://{}", self.address));
        command.args(flags).args(arguments).output().unwrap()
    }

    /// A connection to a server that proves to be one of these.
    async fn connect(&self, trusted: &Path) -> Result<TlsStream<TcpStream>, String> {
        let text = std::fs::read(trusted).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(&text) {
            roots.add(cert.unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector
            .connect(ServerName::from(self.address.ip()), stream)
            .await;
        connected.map_err(|error| error.to_string())
    }
}

async fn ask(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without TLS' own goodbye has answered all the same.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_controller_that_others_could_listen_to_refuses_to_start_and_says_what_to_do() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1"] {
        let folder = tempfile::tempdir().unwrap();
        let refused = controller(folder.path())
            .args(["--listen", address])
            .output()
            .unwrap();
        let said = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        for part in [
            address,
            "--tls generate",
            "--tls-cert",
            "127.0.0.1",
            "AEGIS_INSECURE=true",
        ] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert!(!folder.path().join("state").exists(), "before anything is made");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_keeps_the_controller_from_starting_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cert = folder.path().join("tls.crt");
    std::fs::write(&cert, "nothing").unwrap();
    let cert = cert.to_str().unwrap();
    let refused = controller(folder.path())
        .args(["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", cert])
        .output()
        .unwrap();
    let text = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("tls.crt holds no certificate in PEM form"),
        "{text}"
    );
    let alone = controller(folder.path())
        .args(["--tls-cert", cert])
        .output()
        .unwrap();
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
}

#[tokio::test]
async fn a_controller_with_a_certificate_of_its_own_serves_https_and_the_live_stream_to_who_knows_it() {
    let server = Encrypted::start(tempfile::tempdir().unwrap(), &["--tls", "generate"]).await;
    let ca = server.state(".secrets/tls/cert.pem");
    let request = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        server.address
    );
    let answer = ask(server.connect(&ca).await.unwrap(), &request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let stream = server.connect(&ca).await.unwrap();
    let mut upgrade = format!("wss://{}/ws", server.address)
        .into_client_request()
        .unwrap();
    let bearer = format!("Bearer {}", server.token()).parse().unwrap();
    upgrade.headers_mut().insert("authorization", bearer);
    let (mut live, answer) = tokio_tungstenite::client_async(upgrade, stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    let first = live.next().await.unwrap().unwrap();
    assert!(first.to_text().unwrap().contains("\"type\""), "{first:?}");

    let body = format!("{{\"token\": \"{}\"}}", server.token());
    let login = format!(
        "POST /auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        server.address,
        body.len()
    );
    let answer = ask(server.connect(&ca).await.unwrap(), &login).await;
    let cookie = answer
        .lines()
        .find(|line| line.starts_with("set-cookie: aegis_session="));
    assert!(
        cookie.is_some_and(|cookie| cookie.ends_with("; Secure")),
        "{answer}"
    );

    let plain = ask(TcpStream::connect(server.address).await.unwrap(), &request).await;
    assert!(
        plain.starts_with("HTTP/1.1 400") && plain.contains("HTTPS"),
        "{plain}"
    );

    let address = server.address.to_string();
    let alive = |flags: &[&str]| {
        let mut command = controller(server.folder.path());
        command.args(["--healthcheck", "--listen", &address]).args(flags);
        command.status().unwrap().code()
    };
    assert_eq!(alive(&["--tls", "generate"]), Some(0));
    assert_eq!(alive(&[]), Some(1), "that one would speak HTTP");
}

#[tokio::test]
async fn aegisctl_believes_the_certificate_that_it_is_given_and_no_other_unless_it_is_to_believe_any() {
    let server = Encrypted::start(tempfile::tempdir().unwrap(), &["--tls", "generate"]).await;
    let ca = server.state(".secrets/tls/cert.pem");
    let ca = format!("--ca={}", ca.display());
    let get = ["get", "detectors"];
    for flag in [ca.as_str(), "--insecure-skip-tls-verify"] {
        let got = server.aegisctl(&[flag], &get);
        assert!(
            got.status.success() && said(&got).contains("crash"),
            "{flag}: {}",
            said(&got)
        );
        // The live stream: nothing is resolved, so the time runs out, which no refusal is.
        let watched = server.aegisctl(&[flag], &["watch", "--until-resolved", "--timeout", "100ms"]);
        assert_eq!(watched.status.code(), Some(124), "{flag}: {}", said(&watched));
    }
    for arguments in [&get[..], &["watch", "--until-resolved", "--timeout", "100ms"]] {
        let refused = server.aegisctl(&[], arguments);
        assert!(!refused.status.success());
        assert!(said(&refused).contains("--ca"), "{}", said(&refused));
    }
    let missing = server.aegisctl(&["--ca=/nonexistent/ca.pem"], &get);
    assert!(
        said(&missing).contains("CA file /nonexistent/ca.pem"),
        "{}",
        said(&missing)
    );
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_served_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let make = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(at(&format!("{name}.crt")), cert.pem()).unwrap();
        std::fs::write(at(&format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    make("one");
    make("two");
    std::fs::copy(at("one.crt"), at("tls.crt")).unwrap();
    std::fs::copy(at("one.key"), at("tls.key")).unwrap();
    let (cert, key) = (at("tls.crt"), at("tls.key"));
    let (one, two, new_key) = (at("one.crt"), at("two.crt"), at("two.key"));
    let flags = [
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let server = Encrypted::start(folder, &flags).await;
    server.connect(&one).await.unwrap();
    std::fs::copy(&two, &cert).unwrap();
    server.connect(&one).await.unwrap();
    std::fs::copy(new_key, &key).unwrap();
    eventually("the other certificate is served", async || {
        server.connect(&two).await.map(drop)
    })
    .await;
    server.connect(&one).await.unwrap_err();
}
