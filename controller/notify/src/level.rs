//! How much people want to hear (`SLACK_NOTIFY`). Pure.

use std::str::FromStr;

use aegis_api::incident::Stage;

/// Which stages of an incident become cards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// Every entry of the timeline.
    All,
    /// Received, the council's decision, a plan that requires approval, what was done, and the end.
    #[default]
    Important,
    /// A plan that requires approval, and the end.
    End,
}

/// A level that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no level: use all, important or end")]
pub struct UnknownLevel(String);

impl Level {
    /// Whether a stage becomes a card.
    pub(crate) fn wants(self, stage: Stage) -> bool {
        match stage {
            Stage::Resolved | Stage::Failed | Stage::DryRun | Stage::AwaitingApproval => true,
            Stage::Received
            | Stage::CouncilDecision
            | Stage::Scaled
            | Stage::Restarted
            | Stage::ScaledDown
            | Stage::RolledBack => self != Level::End,
            _ => self == Level::All,
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "all" => Ok(Level::All),
            "important" => Ok(Level::Important),
            "end" => Ok(Level::End),
            _ => Err(UnknownLevel(text.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_in_any_case_and_a_wrong_one_is_refused_with_what_is_allowed() {
        assert_eq!("ALL".parse(), Ok(Level::All));
        assert_eq!(" important ".parse(), Ok(Level::Important));
        assert_eq!("end".parse(), Ok(Level::End));
        let error = "loud".parse::<Level>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"loud\" is no level: use all, important or end"
        );
    }

    #[test]
    fn the_end_and_a_plan_that_requires_approval_are_posted_at_every_level() {
        for level in [Level::All, Level::Important, Level::End] {
            for stage in [
                Stage::Resolved,
                Stage::Failed,
                Stage::DryRun,
                Stage::AwaitingApproval,
            ] {
                assert!(level.wants(stage), "{level:?} {stage:?}");
            }
        }
        assert!(!Level::End.wants(Stage::Received));
        assert!(!Level::Important.wants(Stage::CouncilVote));
        assert!(Level::All.wants(Stage::CouncilVote));
    }
}
