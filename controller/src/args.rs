//! The command line. Every flag has an environment twin; everything is parsed into typed values here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use aegis_api::scalar::{AbsolutePath, ContainerName};
use clap::{Parser, ValueEnum};
use http::Uri;
use ipnet::IpNet;
use secrecy::SecretString;

use crate::limits::Limits;
use crate::tls::TlsArgs;

/// The AegisOps controller: heals, scales and load-balances the containers of one Docker host.
#[derive(Debug, Parser)]
#[command(name = "aegis-controller", version)]
pub(crate) struct Args {
    /// Directory that holds every resource as YAML; made if it is missing.
    #[arg(long, env = "AEGIS_STATE_DIR", default_value = "state")]
    pub(crate) state_dir: PathBuf,
    /// Address to serve on.
    #[arg(long, env = "AEGIS_LISTEN", default_value = "127.0.0.1:8001")]
    pub(crate) listen: SocketAddr,
    /// Directory of the load balancer templates.
    #[arg(long, env = "AEGIS_LB_TEMPLATES", default_value = "lb-templates")]
    pub(crate) lb_templates: PathBuf,
    /// Docker engine, such as unix:///var/run/docker.sock.
    #[arg(long, env = "DOCKER_HOST")]
    pub(crate) docker_host: Option<String>,
    /// Token that may only post to /webhook: at least 16 characters, without blanks. Without it one is made and kept beside
    /// the admin token.
    #[arg(long, env = "AEGIS_WEBHOOK_TOKEN", hide_env_values = true)]
    pub(crate) webhook_token: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "AEGIS_WEBHOOK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) webhook_token_file: Option<PathBuf>,
    /// Folder of the files that templates take values from (envValueFrom); `.secrets/env` in the state directory, where
    /// none is named.
    #[arg(long, env = "AEGIS_SECRETS_DIR", value_name = "DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Role of requests without a token; none by default. Only for networks you trust.
    #[arg(long, env = "AEGIS_ANONYMOUS_ROLE")]
    pub(crate) anonymous_role: Option<AnonymousRole>,
    /// Networks, such as 192.168.1.0/24, from which requests without a token have that role; 0.0.0.0/0,::/0 is everywhere.
    /// Where none is named, this machine, and a controller that serves on other addresses does not start. What runs in a workload's container may post alerts without a token, if that role may, and nothing else.
    #[arg(
        long,
        env = "AEGIS_ANONYMOUS_FROM",
        value_delimiter = ',',
        value_name = "NETWORKS",
        value_parser = network
    )]
    pub(crate) anonymous_from: Vec<IpNet>,
    /// Names that browsers and others reach this controller by, such as ops.example.org, beside localhost, the machine's (or
    /// container's) own name and those of the other settings here; under another one they get 421. Addresses always do.
    #[arg(
        long,
        env = "AEGIS_PUBLIC_HOSTS",
        value_delimiter = ',',
        value_name = "NAMES",
        value_parser = aegis_api::hosts::public_host
    )]
    pub(crate) public_hosts: Vec<String>,
    /// Origins such as https://ops.example.org whose pages may use this server from a browser, beside its own.
    #[arg(long, env = "AEGIS_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGINS", value_parser = origin)]
    pub(crate) allowed_origins: Vec<String>,
    /// Proxies whose X-Forwarded-For, -Host and -Proto are believed: addresses, networks such as 10.0.0.0/8, host names.
    #[arg(
        long,
        env = "AEGIS_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "PROXIES"
    )]
    pub(crate) trusted_proxies: Vec<aegis_server::TrustedProxy>,
    /// Names or addresses of this machine, or container, at which nothing but /webhook and /healthz is offered: those on
    /// the network of the workloads. What comes from that network has no more by another address.
    #[arg(
        long,
        env = "AEGIS_ALERTS_ONLY_AT",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub(crate) alerts_only_at: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// File that the head of the audit log is appended to now and then, outside of the state directory: `aegisctl audit verify
    /// --head` shows with it whether the log was cut or written again. It is in the controller's own log, too.
    #[arg(long, env = "AEGIS_AUDIT_HEAD_FILE", value_name = "FILE")]
    pub(crate) audit_head_file: Option<PathBuf>,
    /// Folders of the host, such as /srv/app, that templates of operators may bind-mount; none by default. What else reaches
    /// the host is an admin's.
    #[arg(long, env = "AEGIS_ALLOW_HOST_MOUNTS", value_delimiter = ',', value_name = "PATHS", value_parser = host_mount)]
    pub(crate) allow_host_mounts: Vec<String>,
    /// Log as text or as one JSON object a line. What is logged: RUST_LOG, by default info.
    #[arg(long, env = "AEGIS_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Container that /scale/up and /scale/down speak of.
    #[arg(long, env = "TARGET_CONTAINER", default_value = "buggy-app-v2")]
    pub(crate) target_container: String,
    /// Most replicas beside the first one, where no policy names a bound.
    #[arg(long, env = "MAX_REPLICAS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..200))]
    pub(crate) max_replicas: u32,
    /// Seconds between two actions on one workload, where no policy names a cooldown.
    #[arg(long, env = "SCALE_COOLDOWN_SECS", default_value_t = 30)]
    pub(crate) scale_cooldown_secs: u64,
    /// Most characters of a container's log in the evidence.
    #[arg(long, env = "LOG_TRUNCATE_CHARS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..100_000))]
    pub(crate) log_truncate_chars: u32,
    /// Seconds between two readings of the containers' counters.
    #[arg(long, env = "METRICS_INTERVAL_SECS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..3600))]
    pub(crate) metrics_interval_secs: u64,
    /// Memory for the frames of the live stream, MiB. At the bound the oldest go: a client that had not read them is
    /// notified that it missed some, one that comes back for them gets a snapshot.
    #[arg(long, env = "AEGIS_FEED_MEMORY_MB", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "MIB")]
    pub(crate) feed_memory_mb: u16,
    /// Container of a LoadBalancer that names none.
    #[arg(long, env = "NGINX_CONTAINER", default_value = "aegis-lb")]
    pub(crate) nginx_container: ContainerName,
    /// File that a LoadBalancer writes where it names none.
    #[arg(
        long,
        env = "NGINX_CONF_PATH",
        default_value = "/etc/nginx/conf.d/upstream.conf"
    )]
    pub(crate) nginx_conf_path: AbsolutePath,
    /// Where the target container answers when it is well, such as http://buggy-app-v2:8000/health: its Workload is
    /// probed on that port and path if it names no probe.
    #[arg(long, env = "HEALTH_URL")]
    pub(crate) health_url: Option<Uri>,
    /// Seconds one probe may take, where a Workload does not say.
    #[arg(long, env = "HEALTH_TIMEOUT_SECS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..60))]
    pub(crate) health_timeout_secs: u64,
    /// With VERIFY_RETRIES the time within which a fix must prove itself, where no policy names a deadline: both
    /// multiplied. The first reading is at once.
    #[arg(long, env = "VERIFY_DELAY_SECS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..600))]
    pub(crate) verify_delay_secs: u64,
    /// See VERIFY_DELAY_SECS.
    #[arg(long, env = "VERIFY_RETRIES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..100))]
    pub(crate) verify_retries: u64,
    /// Give a state directory that has no detectors a first set of them, once.
    #[arg(long, env = "AEGIS_DEFAULT_DETECTORS", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub(crate) default_detectors: bool,
    /// Ask the controller that listens here whether it is alive, and exit 0 or 1.
    #[arg(long)]
    pub(crate) healthcheck: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) models: Models,
    #[command(flatten)]
    pub(crate) notifications: Notifications,
}

/// Where the stages of an incident are posted.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Notifications")]
pub(crate) struct Notifications {
    /// Slack incoming webhook that gets a card at each stage of an incident. The address is a credential.
    #[arg(long, env = "SLACK_WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) slack_webhook_url: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "SLACK_WEBHOOK_URL_FILE", value_name = "FILE")]
    pub(crate) slack_webhook_url_file: Option<PathBuf>,
    /// Which stages become cards. important: received, the council's decision, a plan that requires approval, what was
    /// done, and the end. all: every entry of the timeline. end: a plan that requires approval, and the end.
    #[arg(long, env = "SLACK_NOTIFY", default_value = "important", value_parser = level, value_name = "all|important|end")]
    pub(crate) slack_notify: aegis_notify::Level,
    /// Bot token (xoxb-…) of a Slack app: one message an incident, updated in place, its stages in the thread.
    #[arg(long, env = "SLACK_BOT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) slack_bot_token: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "SLACK_BOT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) slack_bot_token_file: Option<PathBuf>,
    /// Channel that the app posts into, by id or name; the app must be a member.
    #[arg(long, env = "SLACK_CHANNEL", value_name = "CHANNEL")]
    pub(crate) slack_channel: Option<String>,
    /// Ids of the Slack users (U…) whose clicks on Approve and Reject count; without any the messages have no buttons.
    #[arg(long, env = "SLACK_APPROVERS", value_delimiter = ',', value_name = "USERS")]
    pub(crate) slack_approvers: Vec<String>,
    /// App-level token (xapp-…, scope connections:write): clicks come in over Socket Mode, which needs no open port.
    #[arg(long, env = "SLACK_APP_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) slack_app_token: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "SLACK_APP_TOKEN_FILE", value_name = "FILE")]
    pub(crate) slack_app_token_file: Option<PathBuf>,
    /// Signing secret of the Slack app: clicks come in at /slack/interactions, signed with it.
    #[arg(
        long,
        env = "SLACK_SIGNING_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub(crate) slack_signing_secret: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "SLACK_SIGNING_SECRET_FILE", value_name = "FILE")]
    pub(crate) slack_signing_secret_file: Option<PathBuf>,
    /// Where Slack's Web API is.
    #[arg(long, env = "SLACK_API_URL", default_value = aegis_notify::API, value_name = "URL")]
    pub(crate) slack_api_url: String,
    /// Where people open the cockpit, such as https://ops.example.org: notifications link to the incident's page there.
    #[arg(long, env = "AEGIS_COCKPIT_URL", value_parser = page, value_name = "URL")]
    pub(crate) cockpit_url: Option<String>,
    /// Webhook that gets a CloudEvent at the stages of an incident. The address may be a credential.
    #[arg(long, env = "NOTIFY_WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) notify_webhook_url: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "NOTIFY_WEBHOOK_URL_FILE", value_name = "FILE")]
    pub(crate) notify_webhook_url_file: Option<PathBuf>,
    /// Secret that signs its bodies (Standard Webhooks: webhook-signature), at least 16 characters.
    #[arg(
        long,
        env = "NOTIFY_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub(crate) notify_webhook_secret: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "NOTIFY_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(crate) notify_webhook_secret_file: Option<PathBuf>,
    /// What its bodies look like: cloudevents, discord, mattermost, teams, or the path of a template of your own.
    #[arg(
        long,
        env = "NOTIFY_WEBHOOK_TEMPLATE",
        default_value = "cloudevents",
        value_name = "NAME"
    )]
    pub(crate) notify_webhook_template: String,
    /// Which reconciles the webhook gets as CloudEvents, beside the stages of incidents: `all`, or terms separated by blanks:
    /// kind=Workload,LoadBalancer result=error severity=critical workload=web. Off without it.
    #[arg(long, env = "NOTIFY_WEBHOOK_RECONCILE", value_name = "FILTER")]
    pub(crate) notify_webhook_reconcile: Option<aegis_notify::ReconcileFilter>,
    /// How many of these a second at most; how many were left out is said by the next one.
    #[arg(long, env = "NOTIFY_WEBHOOK_RECONCILE_RATE", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    pub(crate) notify_webhook_reconcile_rate: u32,
    /// Mail server: smtps://user:password@host, or smtp://user:password@host?tls=required.
    #[arg(long, env = "NOTIFY_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) notify_smtp_url: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "NOTIFY_SMTP_URL_FILE", value_name = "FILE")]
    pub(crate) notify_smtp_url_file: Option<PathBuf>,
    /// Whom mails come from.
    #[arg(
        long,
        env = "NOTIFY_EMAIL_FROM",
        default_value = "AegisOps <aegisops@localhost>",
        value_name = "ADDRESS"
    )]
    pub(crate) notify_email_from: String,
    /// Whom mails go to.
    #[arg(
        long,
        env = "NOTIFY_EMAIL_TO",
        value_delimiter = ',',
        value_name = "ADDRESSES"
    )]
    pub(crate) notify_email_to: Vec<String>,
    /// Collector that gets a trace of each incident once it has ended, over OTLP/HTTP; off without it.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Headers for it, as name=value pairs separated by commas.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        value_name = "HEADERS"
    )]
    pub(crate) otlp_headers: Option<SecretString>,
    /// File that holds them, in their place.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS_FILE", value_name = "FILE")]
    pub(crate) otlp_headers_file: Option<PathBuf>,
    /// `service.name` of traces.
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "aegisops",
        value_name = "NAME"
    )]
    pub(crate) otel_service_name: String,
}

fn page(text: &str) -> Result<String, String> {
    let uri: Uri = text.trim().parse().map_err(|error| format!("{error}"))?;
    let usable =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && text.len() <= 500;
    match usable && uri.query().is_none() {
        true => Ok(text.trim().trim_end_matches('/').to_owned()),
        false => Err("use an address such as https://ops.example.org, of at most 500 characters".to_owned()),
    }
}

fn level(text: &str) -> Result<aegis_notify::Level, aegis_notify::UnknownLevel> {
    text.parse()
}

impl Args {
    /// Reads the secrets that are given as files: every one has a variable for its file, since others can read the
    /// environment of a container.
    pub(crate) fn read_secret_files(&mut self) -> anyhow::Result<()> {
        let (models, notifications) = (&mut self.models, &mut self.notifications);
        for (name, file, secret) in [
            (
                "AEGIS_WEBHOOK_TOKEN",
                &self.webhook_token_file,
                &mut self.webhook_token,
            ),
            (
                "FASTRTR_API_KEY",
                &models.fastrtr_api_key_file,
                &mut models.fastrtr_api_key,
            ),
            (
                "ANTHROPIC_API_KEY",
                &models.anthropic_api_key_file,
                &mut models.anthropic_api_key,
            ),
            (
                "SLACK_WEBHOOK_URL",
                &notifications.slack_webhook_url_file,
                &mut notifications.slack_webhook_url,
            ),
            (
                "SLACK_BOT_TOKEN",
                &notifications.slack_bot_token_file,
                &mut notifications.slack_bot_token,
            ),
            (
                "SLACK_APP_TOKEN",
                &notifications.slack_app_token_file,
                &mut notifications.slack_app_token,
            ),
            (
                "SLACK_SIGNING_SECRET",
                &notifications.slack_signing_secret_file,
                &mut notifications.slack_signing_secret,
            ),
            (
                "NOTIFY_WEBHOOK_URL",
                &notifications.notify_webhook_url_file,
                &mut notifications.notify_webhook_url,
            ),
            (
                "NOTIFY_WEBHOOK_SECRET",
                &notifications.notify_webhook_secret_file,
                &mut notifications.notify_webhook_secret,
            ),
            (
                "NOTIFY_SMTP_URL",
                &notifications.notify_smtp_url_file,
                &mut notifications.notify_smtp_url,
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                &notifications.otlp_headers_file,
                &mut notifications.otlp_headers,
            ),
        ] {
            let Some(file) = file else { continue };
            anyhow::ensure!(
                secret.is_none(),
                "both {name} and {name}_FILE are set: keep one of both"
            );
            *secret = Some(crate::secrets::from_file(name, file)?);
        }
        Ok(())
    }

    /// Bytes of frames that are kept.
    pub(crate) fn feed_bytes(&self) -> usize {
        usize::from(self.feed_memory_mb) << 20
    }
}

/// Models that are asked unless others are named.
pub(crate) const FASTRTR_MODEL: &str = "anthropic/claude-sonnet-4-20250514";
pub(crate) const OLLAMA_MODEL: &str = "llama3.2:latest";
pub(crate) const ANTHROPIC_MODEL: &str = "claude-sonnet-4-20250514";

/// Models that may be asked. Without any the built-in analyst decides, and needs no network.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Models")]
pub(crate) struct Models {
    /// Who is asked, in this order: fastrouter, anthropic, ollama, builtin. By default what is configured. The built-in
    /// analyst always comes last.
    #[arg(long, env = "AEGIS_PROVIDERS", value_delimiter = ',', value_name = "NAMES")]
    pub(crate) providers: Vec<String>,
    /// Key of the OpenAI-compatible provider.
    #[arg(long, env = "FASTRTR_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) fastrtr_api_key: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "FASTRTR_API_KEY_FILE", value_name = "FILE")]
    pub(crate) fastrtr_api_key_file: Option<PathBuf>,
    /// Where the OpenAI-compatible provider is; anything that offers /chat/completions below it will do.
    #[arg(long, env = "FASTRTR_BASE_URL", value_name = "URL")]
    pub(crate) fastrtr_base_url: Option<String>,
    /// Its model.
    #[arg(long, env = "FASTRTR_MODEL", default_value = FASTRTR_MODEL, value_name = "MODEL")]
    pub(crate) fastrtr_model: String,
    /// Key of Anthropic's own messages API.
    #[arg(long, env = "ANTHROPIC_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) anthropic_api_key: Option<SecretString>,
    /// File that holds it, in its place.
    #[arg(long, env = "ANTHROPIC_API_KEY_FILE", value_name = "FILE")]
    pub(crate) anthropic_api_key_file: Option<PathBuf>,
    /// Where that API is, or something that speaks it.
    #[arg(long, env = "ANTHROPIC_BASE_URL", value_name = "URL")]
    pub(crate) anthropic_base_url: Option<String>,
    /// Its model.
    #[arg(long, env = "ANTHROPIC_MODEL", default_value = ANTHROPIC_MODEL, value_name = "MODEL")]
    pub(crate) anthropic_model: String,
    /// Where Ollama is.
    #[arg(long, env = "OLLAMA_BASE_URL", value_name = "URL")]
    pub(crate) ollama_base_url: Option<String>,
    /// Its model.
    #[arg(long, env = "OLLAMA_MODEL", default_value = OLLAMA_MODEL, value_name = "MODEL")]
    pub(crate) ollama_model: String,
    /// Seconds that one call to a model may take.
    #[arg(long, env = "AEGIS_LLM_TIMEOUT_SECS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..3600), value_name = "SECONDS")]
    pub(crate) llm_timeout_secs: u64,
    /// Tokens, in and out, that models may cost in an hour over all incidents; past it the built-in analyst answers.
    #[arg(
        long,
        env = "AEGIS_LLM_TOKENS_PER_HOUR",
        default_value_t = 1_000_000,
        value_name = "TOKENS"
    )]
    pub(crate) llm_tokens_per_hour: u64,
    /// The same in a day.
    #[arg(
        long,
        env = "AEGIS_LLM_TOKENS_PER_DAY",
        default_value_t = 5_000_000,
        value_name = "TOKENS"
    )]
    pub(crate) llm_tokens_per_day: u64,
    /// Folder of prompt templates that take the embedded ones' place, such as analysis.tera; `prompts` in the state
    /// directory, if there is one, where none is named.
    #[arg(long, env = "AEGIS_PROMPTS_DIR", value_name = "DIR")]
    pub(crate) prompts_dir: Option<PathBuf>,
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
    network.map_err(|_| {
        format!("{text:?} is no network: use one such as 192.168.1.0/24 or fd00::/8, or a single address")
    })
}

fn host_mount(text: &str) -> Result<String, String> {
    aegis_planning::admission::HostMounts::new([text]).map(|_| text.trim().to_owned())
}

/// A scheme and a host, as browsers send it: no path, and no '*' that would admit every origin.
fn origin(text: &str) -> Result<String, String> {
    let refused =
        || format!("{text:?} is no origin: use SCHEME://HOST[:PORT], such as https://ops.example.org");
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| refused())?;
    let plain = uri.path().trim_end_matches('/').is_empty() && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority))
            if plain && !authority.as_str().contains(['*', '@']) =>
        {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err(refused()),
    }
}

/// Roles that requests without a token can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnonymousRole {
    /// Reads.
    Viewer,
    /// Reads and changes resources.
    Operator,
    /// Everything.
    Admin,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Human-readable.
    Text,
    /// For collectors.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_or_an_address() {
        assert_eq!(network(" 10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0"] {
            let error = network(wrong).unwrap_err();
            assert!(error.contains("192.168.1.0/24"), "{error}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        assert_eq!(
            origin("https://ops.example.org/").unwrap(),
            "https://ops.example.org"
        );
        assert_eq!(origin("http://127.0.0.1:3000").unwrap(), "http://127.0.0.1:3000");
        for wrong in [
            "*",
            "https://*",
            "ops.example.org",
            "https://a/b",
            "https://me@a",
            "file:///etc",
            "",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_of_nothing_is_refused_with_what_is_allowed() {
        for (flag, allowed) in [
            ("--llm-timeout-secs", "1..3600"),
            ("--health-timeout-secs", "1..60"),
            ("--verify-delay-secs", "1..600"),
            ("--metrics-interval-secs", "1..3600"),
        ] {
            let said = Args::try_parse_from(["aegis-controller", flag, "0"])
                .unwrap_err()
                .to_string();
            assert!(said.contains(flag) && said.contains(allowed), "{said}");
            assert!(
                Args::try_parse_from(["aegis-controller", flag, "1"]).is_ok(),
                "{flag}"
            );
        }
    }
}
