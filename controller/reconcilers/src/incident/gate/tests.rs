//! The rules as a table.

use super::*;

#[test]
fn the_rules_bind_in_this_order() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(
        names,
        [
            "NotAllowed",
            "DryRun",
            "CouncilRejected",
            "CouncilNeedsReview",
            "FailedBefore",
            "ScaledToZero",
            "Protected",
            "ApprovalMode",
            "AutomationOff",
            "FreezeWindow",
            "BudgetExhausted",
        ]
    );
}
