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
    /// Counts a term of this weight as being this rare, where it was counted as that rare; none: it does not count.
    pub(super) fn change(&mut self, weight: f64, was: Option<Rarity>, is: Option<Rarity>) {
        let squared = weight * weight;
        if let Some(Rarity(rarity)) = is {
            self.add(squared, rarity);
        }
        // What was added is taken out to the bit, so that nothing builds up.
        if let Some(Rarity(rarity)) = was {
            self.add(-squared, rarity);
        }
    }

    fn add(&mut self, squared: f64, rarity: f64) {
        self.a.add(squared);
        self.b.add(squared * rarity);
        self.c.add(squared * rarity * rarity);
    }

    /// The squared length among so many documents.
    pub(super) fn squared(&self, Among(x): Among) -> f64 {
        self.a.value() * x * x - 2.0 * self.b.value() * x + self.c.value()
    }
}

/// In how many documents a term is, as ln(1+df).
#[derive(Debug, Clone, Copy)]
pub(super) struct Rarity(f64);

impl Rarity {
    pub(super) fn of(df: u32) -> Self {
        Self((1.0 + f64::from(df)).ln())
    }
}

/// How many documents there are, as ln(1+n) + 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Among(f64);

impl Among {
    pub(super) fn new(documents: u32) -> Self {
        Self((1.0 + f64::from(documents)).ln() + 1.0)
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
            length.change(term_weight(tf), None, Some(Rarity::of(df)));
        }
        for n in [10, 5_000] {
            let plain: f64 = terms
                .iter()
                .map(|(tf, df)| {
                    super::super::super::score::weight(*tf, super::super::super::score::idf(n, *df)).powi(2)
                })
                .sum();
            assert!((length.squared(Among::new(n)) - plain).abs() < 1e-12 * plain);
        }
    }

    #[test]
    fn what_came_and_went_leaves_no_trace() {
        let mut length = Length::default();
        length.change(1.0, None, Some(Rarity::of(7)));
        let alone = length.squared(Among::new(1000));
        for df in 1..100_000 {
            length.change(term_weight(df % 9 + 1), None, Some(Rarity::of(df)));
            length.change(term_weight(df % 9 + 1), Some(Rarity::of(df)), None);
        }
        assert!((length.squared(Among::new(1000)) - alone).abs() < 1e-12 * alone);
    }
}
