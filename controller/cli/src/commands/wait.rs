//! `wait`: until objects say what is waited for.

use std::str::FromStr;

use aegis_api::{ConditionType, KindInfo};
use serde_json::Value;

use super::delete;
use crate::error::CliError;
use crate::printer::jsonpath::Template;
use crate::session::{Session, limit};
use crate::settled;
use crate::target::{Target, select};

/// Wait until objects have a condition, a value, or are gone; exits with 124 when it takes too long
///
/// Examples: `wait wl/web --for=condition=Ready`, `wait inc/manual-1 --for=jsonpath='{.status.phase}'=RESOLVED`,
/// `wait wl/web --for=delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct WaitArgs {
    /// KIND/NAME…, KIND NAME…, or KIND for all of a kind
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    /// condition=TYPE[=STATUS], jsonpath={.field}[=VALUE], delete, or settled (as --wait of other commands)
    #[arg(long = "for", value_name = "WHAT")]
    goal: Goal,
    /// How long to wait, such as 90s or 5m; 0s without end
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: aegis_api::Duration,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
}

/// What is waited for.
#[derive(Debug, Clone)]
enum Goal {
    Delete,
    Settled,
    /// As a person calls it: which kind it is of is said elsewhere on the line.
    Condition {
        name: String,
        status: String,
    },
    Value {
        path: Template,
        text: Option<String>,
    },
}

impl FromStr for Goal {
    type Err = String;
    fn from_str(words: &str) -> Result<Self, String> {
        match words.split_once('=') {
            None if words == "delete" => Ok(Self::Delete),
            None if words == "settled" => Ok(Self::Settled),
            Some(("condition", condition)) if !condition.is_empty() => {
                let (name, status) = condition.split_once('=').unwrap_or((condition, "True"));
                Ok(Self::Condition {
                    name: name.to_owned(),
                    status: status.to_owned(),
                })
            }
            Some(("jsonpath", rest)) => {
                let (path, text) = match rest.rsplit_once('}') {
                    Some((path, after)) => (format!("{path}}}"), after.strip_prefix('=')),
                    None => {
                        let (path, text) = rest
                            .split_once('=')
                            .map_or((rest, None), |(path, text)| (path, Some(text)));
                        (path.to_owned(), text)
                    }
                };
                Ok(Self::Value {
                    path: path.parse()?,
                    text: text.map(str::to_owned),
                })
            }
            _ => Err("use condition=TYPE[=STATUS], jsonpath={.field}[=VALUE], delete or settled".to_owned()),
        }
    }
}

impl Goal {
    /// Refuses a condition that objects of this kind never have: it would be waited for in vain.
    fn check(&self, info: &KindInfo) -> Result<(), CliError> {
        let Self::Condition { name, .. } = self else {
            return Ok(());
        };
        if info.condition(name).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = info.conditions.iter().map(|known| known.as_str()).collect();
        Err(CliError::Usage(format!(
            "kind {} has no condition {name:?}: use {}",
            info.kind,
            known.join(", ")
        )))
    }

    fn is_met(&self, object: &Value, info: &KindInfo) -> bool {
        match self {
            Self::Delete | Self::Settled => false,
            Self::Condition { name, status } => info
                .condition(name)
                .and_then(|kind: ConditionType| settled::condition(object, kind)?.get("status")?.as_str())
                .is_some_and(|now| now.eq_ignore_ascii_case(status)),
            Self::Value { path, text } => {
                let now = path.render(object);
                text.as_ref().map_or(!now.is_empty(), |text| now == *text)
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Delete => "be gone".to_owned(),
            Self::Settled => "settle".to_owned(),
            Self::Condition { name, status } => format!("have condition {name}={status}"),
            Self::Value { text: Some(text), .. } => format!("have the value {text:?}"),
            Self::Value { text: None, .. } => "have a value there".to_owned(),
        }
    }
}

pub(crate) async fn run(args: &WaitArgs, session: &Session) -> Result<(), CliError> {
    let targets = session
        .targets(select(&args.what)?, args.selector.as_deref())
        .await?;
    if targets.is_empty() {
        return Err(CliError::NotFound("no resources found to wait for".to_owned()));
    }
    for target in &targets {
        args.goal.check(target.info)?;
    }
    for target in &targets {
        reach(args, session, target).await?;
        let done = if matches!(args.goal, Goal::Delete) {
            "is gone"
        } else {
            "condition met"
        };
        session.console.line(format!("{target} {done}"))?;
    }
    Ok(())
}

async fn reach(args: &WaitArgs, session: &Session, target: &Target) -> Result<(), CliError> {
    match &args.goal {
        Goal::Delete => delete::gone(session, target, None, args.timeout).await,
        Goal::Settled => settled::wait(&session.client, target, limit(args.timeout))
            .await
            .map(|_| ()),
        goal => {
            let what = format!("{target} to {}", goal.words());
            let judge = |object: Option<&Value>| match object {
                Some(object) => Ok(goal.is_met(object, target.info).then_some(())),
                None => Err(CliError::NotFound(format!("there is no {target}"))),
            };
            session
                .client
                .wait_for(target, &what, limit(args.timeout), judge)
                .await
        }
    }
}

#[cfg(test)]
mod tests {
    use aegis_api::kinds;
    use serde_json::json;

    use super::*;

    fn met(goal: &str) -> bool {
        let object =
            json!({"status": {"phase": "RESOLVED", "conditions": [{"type": "Ready", "status": "True"}]}});
        goal.parse::<Goal>()
            .unwrap()
            .is_met(&object, kinds::find("wl").unwrap())
    }

    #[test]
    fn goals_are_read_as_kubectl_writes_them() {
        assert!(met("condition=Ready") && met("condition=ready=true") && !met("condition=Ready=False"));
        assert!(met("jsonpath={.status.phase}=RESOLVED") && met("jsonpath=.status.phase=RESOLVED"));
        assert!(met("jsonpath={.status.phase}") && !met("jsonpath={.status.error}"));
        assert!(met(
            r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}=True"#
        ));
    }

    #[test]
    fn a_condition_that_the_kind_never_has_is_refused_with_those_that_it_has() {
        let check = |goal: &str, kind: &str| {
            let info = kinds::find(kind).unwrap();
            goal.parse::<Goal>().unwrap().check(info)
        };
        for (goal, kind) in [
            ("condition=ready", "wl"),
            ("condition=Degraded=False", "lb"),
            ("condition=policyAllows", "inc"),
            ("jsonpath={.status.phase}", "inc"),
            ("delete", "rp"),
        ] {
            assert!(check(goal, kind).is_ok(), "{goal} {kind}");
        }
        for (goal, kind, expected) in [
            (
                "condition=Reddy",
                "lb",
                "kind LoadBalancer has no condition \"Reddy\": use Ready, Degraded",
            ),
            (
                "condition=Ready=False",
                "inc",
                "kind Incident has no condition \"Ready\": use ContainerNamed,",
            ),
        ] {
            let error = check(goal, kind).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_goal_that_is_none_says_what_there_is() {
        for goal in ["", "ready", "condition=", "create"] {
            assert!(
                goal.parse::<Goal>().unwrap_err().contains("condition=TYPE"),
                "{goal}"
            );
        }
    }
}
