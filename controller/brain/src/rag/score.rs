//! What a term weighs. scikit-learn's `TfidfTransformer(sublinear_tf=True, smooth_idf=True, norm="l2")`. Pure.

/// Inverse document frequency, `ln((1 + n) / (1 + df)) + 1`, of a term in `df` of `n` documents.
pub(super) fn idf(documents: u32, df: u32) -> f64 {
    ((1.0 + f64::from(documents)) / (1.0 + f64::from(df))).ln() + 1.0
}

/// The weight before normalisation of a term that occurs `tf` times (1 or more): `(1 + ln tf) × idf`.
pub(super) fn weight(tf: u32, idf: f64) -> f64 {
    (f64::from(tf.max(1)).ln() + 1.0) * idf
}

/// Cosine of two vectors from their product and their squared lengths; 0 where one has no length.
pub(super) fn cosine(product: f64, a_squared: f64, b_squared: f64) -> f64 {
    let lengths = a_squared.max(0.0).sqrt() * b_squared.max(0.0).sqrt();
    if lengths > 0.0 {
        (product / lengths).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_in_every_document_weighs_one_for_each_doubling_by_e() {
        assert_eq!(idf(9, 9), 1.0);
        assert_eq!(weight(1, idf(9, 9)), 1.0);
        assert!((idf(9, 4) - (2.0_f64.ln() + 1.0)).abs() < 1e-15);
    }

    #[test]
    fn a_vector_without_length_resembles_nothing() {
        assert_eq!(cosine(0.0, 0.0, 1.0), 0.0);
        assert_eq!(cosine(0.0, -1e-18, 1.0), 0.0);
    }
}
