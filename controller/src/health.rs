//! `--healthcheck`: asks the controller beside it, since an image from scratch has no curl.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn check(listen: SocketAddr, tls: bool) -> ExitCode {
    let ip = if listen.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        listen.ip()
    };
    let address = SocketAddr::new(ip, listen.port());
    let answer = tokio::time::timeout(Duration::from_secs(2), ask(address, tls)).await;
    if matches!(answer, Ok(Ok(true))) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn ask(address: SocketAddr, tls: bool) -> std::io::Result<bool> {
    let stream = TcpStream::connect(address).await?;
    if !tls {
        return speak(stream).await;
    }
    // Whether it lives is what is asked, not who it is.
    let stream = aegis_docker::tls::connect(stream, None, address.ip()).await;
    speak(stream.map_err(std::io::Error::other)?).await
}

async fn speak(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<bool> {
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
    let mut start = [0_u8; 16];
    stream.read_exact(&mut start).await?;
    Ok(start.windows(5).any(|window| window == b" 200 "))
}
