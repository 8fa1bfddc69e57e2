//! `describe`: everything about an object on one page, with its Events.

use aegis_api::wire::BalancerMetrics;
use serde_json::Value;

use crate::client::Shape;
use crate::error::CliError;
use crate::printer::age::now;
use crate::printer::describe::describe;
use crate::session::Session;
use crate::target::{Target, select};

/// Show everything about an object: what is wanted, how it stands, its history, its Events
#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    /// KIND NAME…, KIND/NAME…, or KIND for all of a kind
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
}

pub(crate) async fn run(args: &DescribeArgs, session: &Session) -> Result<(), CliError> {
    let targets = session
        .targets(select(&args.what)?, args.selector.as_deref())
        .await?;
    if targets.is_empty() {
        session.console.remark("No resources found.");
    }
    for (index, target) in targets.iter().enumerate() {
        let object = session.client.get(target, Shape::Objects).await?;
        let traffic = traffic(session, target).await;
        let events = events_of(session, target, &object).await?;
        let page = describe(&object, traffic.as_ref(), &events, now());
        let gap = if index > 0 { "\n\n" } else { "" };
        session.console.write(&format!("{gap}{page}"))?;
    }
    Ok(())
}

/// The requests of a load balancer. An older controller answers none: what is not known is not shown.
async fn traffic(session: &Session, target: &Target) -> Option<BalancerMetrics> {
    if target.info.kind != "LoadBalancer" {
        return None;
    }
    let answer = session.client.balancers(&target.name).await.ok()?;
    let all: Vec<BalancerMetrics> = serde_json::from_value(answer).ok()?;
    all.into_iter().find(|balancer| balancer.name == target.name)
}

/// The Events about this very object: its name may have been another's before.
pub(super) async fn events_of(
    session: &Session,
    target: &Target,
    object: &Value,
) -> Result<Vec<Value>, CliError> {
    let uid = object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let fields = format!(
        "involvedObject.uid={uid},involvedObject.name={},involvedObject.namespace={},involvedObject.kind={}",
        target.name,
        aegis_api::NAMESPACE,
        target.info.kind
    );
    let mut list = session.client.events(Some(&fields)).await?;
    Ok(list
        .get_mut("items")
        .and_then(Value::as_array_mut)
        .map(std::mem::take)
        .unwrap_or_default())
}
