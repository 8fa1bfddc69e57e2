//! `--healthcheck`: asks the controller beside it, since an image from scratch has no curl.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn check(listen: SocketAddr) -> ExitCode {
    let ip = if listen.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        listen.ip()
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), ask(SocketAddr::new(ip, listen.port()))).await;
    if matches!(answer, Ok(Ok(true))) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
    let mut start = [0_u8; 16];
    stream.read_exact(&mut start).await?;
    Ok(start.windows(5).any(|window| window == b" 200 "))
}
