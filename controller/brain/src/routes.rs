//! Who is asked what: for the analysis and for each reviewer a list of providers, by name and in order. Pure data, so
//! that a policy can bring its own.

use std::collections::BTreeMap;

use aegis_api::policy::AnalysisPolicy;
use aegis_api::proposal::Seat;

/// The built-in analyst's name. It ends every route, named or not.
pub const BUILTIN: &str = aegis_api::policy::BUILTIN;

/// The lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// For the analysis.
    pub analysis: Vec<String>,
    /// For the Security Officer; absent: as for the analysis. Empty: no model, only the rules.
    pub security_officer: Option<Vec<String>>,
    /// For the Auditor, likewise.
    pub auditor: Option<Vec<String>>,
    /// Models to ask in place of those the providers are configured with, by provider.
    pub models: BTreeMap<String, String>,
}

impl Routes {
    /// These providers for everything.
    pub fn all(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            analysis: names.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// These routes as a policy changes them.
    #[must_use]
    pub fn under(&self, policy: &AnalysisPolicy) -> Self {
        let seat = |name: &Option<String>, own: &Option<Vec<String>>| match name {
            Some(name) => Some(vec![name.clone()]),
            // A policy's order for everything is meant for the reviewers, too.
            None if !policy.providers.is_empty() => None,
            None => own.clone(),
        };
        let mut models = self.models.clone();
        models.extend(policy.models.clone());
        Self {
            analysis: if policy.providers.is_empty() {
                self.analysis.clone()
            } else {
                policy.providers.clone()
            },
            security_officer: seat(&policy.seats.security_officer, &self.security_officer),
            auditor: seat(&policy.seats.auditor, &self.auditor),
            models,
        }
    }

    pub(crate) fn analysis(&self) -> &[String] {
        &self.analysis
    }

    /// The SRE seat has no model: it stands by its own proposal or does not.
    pub(crate) fn review(&self, seat: Seat) -> &[String] {
        let own = match seat {
            Seat::SreAgent => return &[],
            Seat::SecurityOfficer => &self.security_officer,
            Seat::Auditor => &self.auditor,
        };
        own.as_deref().unwrap_or(&self.analysis)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let lists = [
            Some(&self.analysis),
            self.security_officer.as_ref(),
            self.auditor.as_ref(),
        ];
        let lists = lists.into_iter().flatten().flatten();
        lists.chain(self.models.keys()).map(String::as_str)
    }
}
