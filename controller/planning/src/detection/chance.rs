//! How often something may happen by chance. Pure.

/// What is rarer than this is not taken for chance.
const RARE: f64 = 0.005;
/// RARE in standard deviations, one-sided: for means for which the sum below takes long.
const DEVIATIONS: f64 = 2.576;
const LARGE: f64 = 500.0;
/// How much further up it lies, as large counts are likelier than as small ones.
const LOPSIDED: f64 = 1.5;

/// The least count that is no chance where this many are expected: of independent ones, as Poisson has it.
pub(super) fn least_beyond(mean: f64) -> f64 {
    if mean > LARGE {
        return (mean + DEVIATIONS * mean.sqrt() + LOPSIDED).ceil();
    }
    let (mut count, mut exactly) = (0.0, (-mean).exp());
    // That there are at least so many.
    let mut at_least = 1.0;
    while at_least >= RARE {
        at_least -= exactly;
        count += 1.0;
        exactly *= mean / count;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_distribution() {
        // P(X >= k) and P(X >= k - 1) of a table of Poisson's distribution: 0.0038 | 0.0189 of 0.35 is made of
        // 1 - e^-0.35 (1 + 0.35 + 0.06125) = 0.0055, so one more.
        for (mean, least) in [
            (0.0, 1.0),
            // 1 - e^-0.1 (1 + 0.1) = 0.0047
            (0.1, 2.0),
            // 1 - e^-0.3 (1 + 0.3 + 0.045) = 0.0036
            (0.3, 3.0),
            (0.35, 4.0),
            // 1 - e^-1 (1 + 1 + 1/2 + 1/6 + 1/24) = 0.0037
            (1.0, 5.0),
            // Published: P(X >= 20 | 10) = 0.0035, P(X >= 19 | 10) = 0.0072.
            (10.0, 20.0),
        ] {
            assert!(
                (least_beyond(mean) - least).abs() < 0.1,
                "{mean}: {}",
                least_beyond(mean)
            );
        }
    }

    #[test]
    fn it_grows_with_what_is_expected_and_stays_near_it() {
        let mut before = 0.0;
        for step in 0..2000 {
            let mean = f64::from(step);
            let least = least_beyond(mean);
            assert!(least >= before && least > mean, "{mean}: {least}");
            assert!(least <= mean + 3.0 * mean.sqrt() + 3.0, "{mean}: {least}");
            before = least;
        }
    }
}
