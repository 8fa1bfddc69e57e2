//! `--healthcheck`: one GET /health on loopback, for Docker's HEALTHCHECK in an image without a shell or curl.
//! Blocking and small, as Docker runs it every few seconds.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

const TIMEOUT: Duration = Duration::from_secs(2);

/// Succeeds when the instance on this port answers 200.
pub(crate) fn ask(port: u16) -> anyhow::Result<()> {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("no process listens on {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream
        .write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .context("cannot ask")?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).context("no answer")?;
    match &start {
        b"HTTP/1.0 200" | b"HTTP/1.1 200" => Ok(()),
        other => bail!("unhealthy: {}", String::from_utf8_lossy(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered(text: &'static [u8]) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]).unwrap();
            stream.write_all(text).unwrap();
        });
        let outcome = ask(port);
        server.join().unwrap();
        outcome
    }

    #[test]
    fn only_a_200_is_healthy() {
        assert!(answered(b"HTTP/1.1 200 OK\r\n\r\n").is_ok());
        assert!(answered(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(answered(b"").is_err());
    }
}
