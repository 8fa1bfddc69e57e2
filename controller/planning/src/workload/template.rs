//! Which template a Workload's replicas are made from: the spec's, unless that was rolled back. Pure.

use aegis_api::create::template_revision;
use aegis_api::workload::{ContainerTemplate, RejectedRevision, Revision};
use aegis_api::{RevisionId, WorkloadStatus};

/// The template to run: the spec's, or the last good one where the spec's was rolled back.
pub fn to_run<'a>(
    asked: &'a ContainerTemplate,
    before: &'a WorkloadStatus,
) -> (&'a ContainerTemplate, Option<RejectedRevision>) {
    let revision = template_revision(asked);
    let rejected = before
        .rejected
        .as_ref()
        .filter(|rejected| rejected.revision == revision);
    let good = last_good(before, &revision).and_then(|good| good.template.as_ref());
    match (rejected, good) {
        (Some(rejected), Some(good)) => (good, Some(rejected.clone())),
        _ => (asked, None),
    }
}

/// The newest revision other than this one that was ready once and can be made again.
pub(super) fn last_good<'a>(before: &'a WorkloadStatus, revision: &RevisionId) -> Option<&'a Revision> {
    let mut newest_first = before.revisions.iter().rev();
    newest_first.find(|other| other.was_ready && other.revision != *revision && other.template.is_some())
}
