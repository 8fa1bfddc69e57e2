//! The counting as truth tables.

use aegis_api::Time;

use super::*;

const ALL: [Seat; 3] = [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor];
const EPOCH: Time = Time(jiff::Timestamp::UNIX_EPOCH);

fn verdict(letter: char) -> Verdict {
    match letter {
        'A' => Verdict::Approved,
        'R' => Verdict::Rejected,
        'N' => Verdict::NeedsReview,
        other => panic!("{other}"),
    }
}

fn votes(seats: &[Seat], letters: &str) -> Vec<Vote> {
    let pairs = seats.iter().zip(letters.chars());
    pairs
        .map(|(role, letter)| Vote {
            role: *role,
            verdict: verdict(letter),
            reasoning: "r".into(),
            timestamp: EPOCH,
            asked: None,
        })
        .collect()
}

/// Each row: the votes in the order of the seats, and what they amount to.
fn holds(seats: &[Seat], quorum: u32, table: &str) {
    for row in table.split_whitespace() {
        let (letters, expected) = row.split_once('=').unwrap();
        let decision = decide(votes(seats, letters), seats, quorum);
        assert_eq!(
            decision.final_verdict,
            verdict(expected.chars().next().unwrap()),
            "{row} with a quorum of {quorum}: {decision:?}"
        );
    }
}

#[test]
fn two_of_three_is_a_full_truth_table() {
    let table = "AAA=A AAR=A AAN=A ARA=A ARR=R ARN=N ANA=A ANR=N ANN=N \
                 RAA=A RAR=R RAN=N RRA=R RRR=R RRN=R RNA=N RNR=R RNN=N \
                 NAA=A NAR=N NAN=N NRA=N NRR=R NRN=N NNA=N NNR=N NNN=N";
    assert_eq!(table.split_whitespace().count(), 27);
    holds(&ALL, 2, table);
}

#[test]
fn three_of_three_falls_with_the_first_rejection() {
    holds(
        &ALL,
        3,
        "AAA=A AAR=R AAN=N ARA=R ARR=R ARN=R ANA=N ANR=R ANN=N \
         RAA=R RAR=R RAN=R RRA=R RRR=R RRN=R RNA=R RNR=R RNN=R \
         NAA=N NAR=R NAN=N NRA=R NRR=R NRN=R NNA=N NNR=R NNN=N",
    );
}

#[test]
fn one_of_three_must_be_a_reviewer() {
    holds(
        &ALL,
        1,
        "AAA=A AAR=A AAN=A ARA=A ARR=R ARN=N ANA=A ANR=N ANN=N \
         RAA=A RAR=A RAN=A RRA=A RRR=R RRN=R RNA=A RNR=R RNN=N \
         NAA=A NAR=A NAN=A NRA=A NRR=R NRN=N NNA=A NNR=N NNN=N",
    );
}

#[test]
fn smaller_councils_count_alike() {
    let pair = [Seat::SreAgent, Seat::Auditor];
    holds(&pair, 2, "AA=A AR=R AN=N RA=R RR=R RN=R NA=N NR=R NN=N");
    holds(&pair, 1, "AA=A AR=R AN=N RA=A RR=R RN=N NA=A NR=R NN=N");
    let reviewers = [Seat::SecurityOfficer, Seat::Auditor];
    holds(&reviewers, 2, "AA=A AR=R AN=N RA=R RR=R RN=R NA=N NR=R NN=N");
    holds(&reviewers, 1, "AA=A AR=A AN=A RA=A RR=R RN=N NA=A NR=N NN=N");
    holds(&[Seat::Auditor], 1, "A=A R=R N=N");
    holds(&[Seat::SreAgent], 1, "A=N R=R N=N");
}

#[test]
fn i5_who_does_not_vote_abstains() {
    let decision = decide(votes(&ALL[..1], "A"), &ALL, 2);
    assert_eq!(
        (decision.final_verdict, decision.consensus.as_str()),
        (Verdict::NeedsReview, "1/3 approved")
    );
    assert_eq!(decide(Vec::new(), &ALL, 2).final_verdict, Verdict::NeedsReview);
    assert_eq!(decide(Vec::new(), &[], 0).final_verdict, Verdict::NeedsReview);
}

#[test]
fn i5_a_second_vote_of_a_seat_or_one_without_a_seat_counts_for_nothing() {
    let mut twice = votes(&[Seat::Auditor, Seat::Auditor, Seat::Auditor], "RAA");
    assert_eq!(decide(twice.clone(), &ALL, 2).final_verdict, Verdict::NeedsReview);
    twice.extend(votes(&[Seat::SecurityOfficer], "A"));
    assert_eq!(
        decide(twice, &[Seat::SreAgent, Seat::Auditor], 1).final_verdict,
        Verdict::Rejected
    );
}

#[test]
fn the_decision_says_in_words_how_it_came_about() {
    let decision = decide(votes(&ALL, "ARN"), &ALL, 2);
    assert_eq!(decision.consensus, "1/3 approved");
    assert_eq!(
        decision.summary,
        "Requires approval by a human: 1 of 3 seats agree and 2 had to. Against: Security Officer. Unsure: Auditor."
    );
    assert_eq!(decision.votes.len(), 3);
}
