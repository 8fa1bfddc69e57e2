//! What the command line says of resources that are silent. No I/O.

use aegis_api::Duration;
use aegis_api::defaults::Defaults;
use aegis_api::workload::{HealthProbe, HttpProbe};
use anyhow::Context as _;

use crate::args::Args;

pub(crate) fn of(args: &Args) -> anyhow::Result<Defaults> {
    let probe_timeout = Duration::from_secs(args.health_timeout_secs);
    let probe = match &args.health_url {
        Some(url) => {
            let container = args.target_container.parse().with_context(|| {
                format!("TARGET_CONTAINER={} is no container name", args.target_container)
            })?;
            Some((container, probe(url, probe_timeout)?))
        }
        None => None,
    };
    Ok(Defaults {
        nginx_container: args.nginx_container.clone(),
        nginx_config_path: args.nginx_conf_path.clone(),
        probe,
        probe_timeout,
        verification_deadline: Duration::from_secs(args.verify_delay_secs * args.verify_retries),
    })
}

/// Port and path are taken; the host is not, since each container is probed at its own address.
fn probe(url: &http::Uri, timeout: Duration) -> anyhow::Result<HealthProbe> {
    anyhow::ensure!(
        url.scheme_str() == Some("http"),
        "HEALTH_URL={url}: must begin with http://, as in http://buggy-app-v2:8000/health"
    );
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let path = path
        .parse()
        .with_context(|| format!("HEALTH_URL={url}: its path is not valid"))?;
    let http = HttpProbe::new(path, url.port_u16().unwrap_or(80));
    Ok(HealthProbe {
        timeout,
        ..HealthProbe::http(http)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn args(flags: &[&str]) -> Args {
        Args::try_parse_from(["aegis-controller"].iter().chain(flags)).unwrap()
    }

    #[test]
    fn a_health_url_is_the_probe_of_the_target_container() {
        let flags = [
            "--health-url",
            "http://shop:9000/up?deep=1",
            "--target-container",
            "shop",
            "--health-timeout-secs",
            "4",
        ];
        let defaults = of(&args(&flags)).unwrap();
        let (container, probe) = defaults.probe.unwrap();
        assert_eq!(container.as_str(), "shop");
        assert_eq!(probe.timeout, Duration::from_secs(4));
        let http = probe.http.unwrap();
        assert_eq!((http.port, http.path.as_str()), (9000, "/up?deep=1"));
    }

    #[test]
    fn another_scheme_is_refused_by_name() {
        let error = of(&args(&["--health-url", "https://shop/up"])).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("HEALTH_URL=https://shop/up: must begin with http://"),
            "{error}"
        );
    }

    #[test]
    fn delay_and_retries_make_the_deadline() {
        assert_eq!(of(&args(&[])).unwrap(), Defaults::default());
        let defaults = of(&args(&["--verify-delay-secs", "2", "--verify-retries", "5"])).unwrap();
        assert_eq!(defaults.verification_deadline, Duration::from_secs(10));
    }
}
