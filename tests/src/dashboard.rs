//! A world's dashboard: the real image with a viewer's token in a file, and a text browser before it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::api::Api;
use crate::container::Container;
use crate::eventually;
use crate::world::World;

/// The container that serves the page.
#[derive(Debug)]
pub struct Dashboard {
    /// Where a browser finds it.
    pub url: String,
    /// The container.
    pub container: Container,
    token: PathBuf,
}

impl Dashboard {
    /// The dashboard of a controller that listens at this address; it has no token yet.
    pub async fn start(world: &World, controller: SocketAddr) -> Self {
        let folder = world.folder().join("dashboard");
        std::fs::create_dir(&folder).expect("a folder in the world's folder");
        let body = json!({
            "Image": "aegisops/dashboard:dev",
            "Env": [
                format!("AEGIS_SERVER=http://{controller}"),
                "AEGIS_TOKEN_FILE=/run/aegis/token",
                "AEGIS_DASHBOARD_REFRESH_SECS=1",
            ],
            "Labels": {},
            "HostConfig": {
                "NetworkMode": world.network(),
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "ReadonlyRootfs": true,
                "Binds": [format!("{}:/run/aegis:ro", folder.display())],
            },
        });
        let container = Container::make(world, &world.name("dashboard"), body).await;
        let http = crate::api::http_client();
        let url = eventually("the dashboard answers", async || {
            let ip = container.ip().await.ok_or("it has no address")?;
            let url = format!("http://{ip}:8501");
            let answer = http.get(format!("{url}/healthz")).send().await;
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            if answer.status().is_success() {
                Ok(url)
            } else {
                Err(answer.status().to_string())
            }
        })
        .await;
        Self {
            url,
            container,
            token: folder.join("token"),
        }
    }

    /// Gives it a token.
    pub fn give(&self, token: &str) {
        std::fs::write(&self.token, token).expect("a file in the world's folder");
    }

    /// Its HTTP interface.
    pub fn api(&self) -> Api {
        Api::new(&self.url, None)
    }

    /// What a person with a text browser reads.
    pub fn text(&self) -> String {
        let output = Command::new("w3m")
            .args(["-dump", "-cols", "160", "-no-cookie", "-o", "use_proxy=0"])
            .arg(&self.url)
            .env("HOME", self.token.parent().unwrap_or(&self.token))
            .output()
            .expect("w3m starts: `compose/cockpit.sh browsers` installs it (as `make test` does)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until a text browser shows all of these, and answers what it shows.
    pub async fn shows(&self, what: &str, wanted: &[&str]) -> String {
        eventually(what, async || {
            let text = self.text();
            match wanted.iter().find(|wanted| !text.contains(**wanted)) {
                None => Ok(text),
                Some(missing) => Err(format!("{missing:?} is not in:\n{text}")),
            }
        })
        .await
    }
}
