//! A line of samples as SVG, made here so that no script has to. There is no text in a picture: the numbers stand beside
//! it. Pure.

use std::collections::VecDeque;
use std::fmt::Write as _;

/// Most samples in a picture.
pub(crate) const SAMPLES: usize = 120;

const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 36.0;
/// Steps across the width: one fewer than [`SAMPLES`].
const STEPS: f64 = 119.0;
/// Room above and below, so that the line is never cut.
const MARGIN: f64 = 1.0;

/// The picture of percentages: the newest at the right edge, 0 to 100 unless they go beyond. `what` is a text of ours.
pub(crate) fn line(samples: &VecDeque<f64>, what: &'static str) -> String {
    let top = samples
        .iter()
        .copied()
        .filter(|sample| sample.is_finite())
        .fold(100.0, f64::max);
    let mut points = String::new();
    let mut x = WIDTH;
    for sample in samples.iter().rev().take(SAMPLES) {
        let share = if sample.is_finite() {
            sample.max(0.0) / top
        } else {
            0.0
        };
        let y = HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * share;
        // Writing into a String does not fail.
        write!(points, "{:.1},{y:.1} ", x.max(0.0)).unwrap_or_default();
        x -= WIDTH / STEPS;
    }
    format!(
        "<svg role=\"img\" aria-label=\"{what}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         class=\"chart\"><polyline points=\"{}\"/></svg>",
        points.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_points_inside_the_picture_the_newest_at_the_right() {
        let svg = line(&VecDeque::from([0.0, 100.0, 250.0, f64::NAN]), "CPU");
        assert!(
            svg.contains("points=\"180.0,35.0 178.5,1.0 177.0,21.4 175.5,35.0\""),
            "{svg}"
        );
        assert!(line(&VecDeque::new(), "CPU").contains("points=\"\""));
        let many = line(&VecDeque::from(vec![50.0; 500]), "CPU");
        assert_eq!(many.matches(',').count(), SAMPLES);
        assert!(many.contains(" 0.0,"), "{many}");
    }
}
