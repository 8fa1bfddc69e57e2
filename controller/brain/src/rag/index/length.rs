//! The squared length of a document's vector, kept in a form in which the number of documents is still open. Pure.
//!
//! It is Σ w² · (ln(1+n) + 1 − ln(1+df))², which is a·x² − 2·b·x + c with x = ln(1+n) + 1 and sums a, b and c that do
//! not know n. So another document changes nothing in those that share no term with it.

/// Three sums over a document's kept terms.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Length {
    a: Sum,
    b: Sum,
    c: Sum,
}

impl Length {
    /// Adds a term of this weight that `df` documents have (`sign` 1), or takes it out (−1).
    pub(super) fn add(&mut self, weight: f64, df: u32, sign: f64) {
        let squared = sign * weight * weight;
        let rarity = (1.0 + f64::from(df)).ln();
        self.a.add(squared);
        self.b.add(squared * rarity);
        self.c.add(squared * rarity * rarity);
    }

    /// The squared length among so many documents.
    pub(super) fn squared(&self, documents: u32) -> f64 {
        let x = (1.0 + f64::from(documents)).ln() + 1.0;
        self.a.value() * x * x - 2.0 * self.b.value() * x + self.c.value()
    }
}

/// The weight of a term that occurs `tf` times, before its rarity counts: `1 + ln tf`.
pub(super) fn term_weight(tf: u32) -> f64 {
    if tf <= 1 { 1.0 } else { 1.0 + f64::from(tf).ln() }
}

/// Neumaier's sum: what a hundred thousand additions and subtractions round away is kept beside it.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    fn value(self) -> f64 {
        self.sum + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_the_squared_weights_whatever_the_number_of_documents_becomes() {
        let terms = [(1, 3), (4, 900), (2, 1)];
        let mut length = Length::default();
        for (tf, df) in terms {
            length.add(term_weight(tf), df, 1.0);
        }
        for n in [10, 5_000] {
            let plain: f64 = terms
                .iter()
                .map(|(tf, df)| {
                    super::super::super::score::weight(*tf, super::super::super::score::idf(n, *df)).powi(2)
                })
                .sum();
            assert!((length.squared(n) - plain).abs() < 1e-12 * plain);
        }
    }

    #[test]
    fn what_came_and_went_leaves_no_trace() {
        let mut length = Length::default();
        length.add(1.0, 7, 1.0);
        let alone = length.squared(1000);
        for df in 1..100_000 {
            length.add(term_weight(df % 9 + 1), df, 1.0);
            length.add(term_weight(df % 9 + 1), df, -1.0);
        }
        assert!((length.squared(1000) - alone).abs() < 1e-12 * alone);
    }
}
