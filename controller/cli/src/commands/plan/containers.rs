//! What containers would go through, as the server answers it, in print.

use aegis_api::wire::plan::WorkloadPlan;
use serde_json::Value;

use crate::error::CliError;
use crate::printer::columns::aligned;
use crate::printer::format::ObjectOutput;
use crate::session::Session;
use crate::target::Target;
use crate::text;

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    /// A merge patch of a Workload.
    Patch(&'a Value),
    /// A Workload that is not there yet, whole.
    New(&'a Value),
    /// The plan of an incident.
    Incident,
}

/// Asks, and writes the answer.
pub(super) async fn show(
    session: &Session,
    target: &Target,
    change: Change<'_>,
    output: &ObjectOutput,
) -> Result<(), CliError> {
    let answer = match change {
        Change::Patch(patch) => session.client.plan(target, patch).await?,
        Change::New(object) => session.client.plan_new(target, object).await?,
        Change::Incident => session.client.plan_of(target).await?,
    };
    let plan: WorkloadPlan = serde_json::from_value(answer.clone())
        .map_err(|error| CliError::Failed(format!("the plan of {target} cannot be read: {error}")))?;
    let words = words(&plan);
    session.console.write(&output.write(&answer, words.trim_end())?)
}

fn words(plan: &WorkloadPlan) -> String {
    let clients = &plan.clients;
    let serving = format!(
        "{} now, at least {} meanwhile, {} in the end",
        clients.serving_before, clients.serving_least, clients.serving_after
    );
    let mut rows = vec![
        ("replicas", plan.replicas.to_string()),
        ("serving", serving),
        ("clients", clients.message.clone()),
    ];
    if !plan.untouched.is_empty() {
        rows.push(("untouched", plan.untouched.join(", ")));
    }
    rows.extend(plan.waiting.iter().map(|why| ("waits", why.clone())));
    rows.extend(plan.refused.iter().map(|why| ("cannot", why.clone())));
    if !plan.complete && plan.waiting.is_empty() && plan.refused.is_empty() {
        rows.push(("ends", "with something left to be done".to_owned()));
    }
    let rows = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), text::line(&value)]);
    let head = format!("workload/{}", text::line(&plan.workload));
    let mut all = aligned(&[&head], rows.collect());
    if plan.steps.is_empty() {
        all.push_str("nothing is done to any container\n");
        return all;
    }
    let steps = plan.steps.iter().map(|step| {
        vec![
            step.pass.to_string(),
            step.action.as_str().to_owned(),
            text::line(&step.container),
        ]
    });
    all.push_str(&aligned(&["STEP", "ACTION", "CONTAINER"], steps.collect()));
    all
}
