//! Rows in aligned columns, two or more spaces apart, no lines drawn. Pure.

/// Spaces between two columns.
const GAP: usize = 3;

/// Lays rows out. Widths only grow, so that the rows of a watch stay aligned with those before.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    /// The rows as lines, each with its end. The last column is not padded.
    pub(crate) fn lay_out(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            for (index, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match self.widths.get_mut(index) {
                    Some(known) => *known = (*known).max(width),
                    None => self.widths.push(width),
                }
            }
        }
        rows.iter().map(|row| self.one(row)).collect()
    }

    fn one(&self, row: &[String]) -> String {
        let cells = row.iter().zip(&self.widths).map(|(cell, width)| {
            let padding = (width + GAP).saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(padding))
        });
        let line: String = cells.collect();
        format!("{}\n", line.trim_end())
    }
}

/// Rows under a header, for a table that is written once.
pub(crate) fn aligned(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let header = header.iter().map(ToString::to_string).collect();
    let all: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    Columns::default().lay_out(&all)
}

/// Every line moved right by this many spaces.
pub(crate) fn indented(text: &str, spaces: usize) -> String {
    let indent = " ".repeat(spaces);
    text.lines()
        .map(|line| {
            if line.is_empty() {
                "\n".to_owned()
            } else {
                format!("{indent}{line}\n")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = aligned(
            &["NAME", "READY"],
            vec![
                vec!["a-long-name".into(), "1".into()],
                vec!["ä".into(), String::new()],
            ],
        );
        assert_eq!(text, "NAME          READY\na-long-name   1\nä\n");
    }

    #[test]
    fn later_rows_keep_to_earlier_widths() {
        let mut columns = Columns::default();
        columns.lay_out(&[vec!["long-cell".into(), "b".into()]]);
        assert_eq!(
            columns.lay_out(&[vec!["x".into(), "y".into()]]),
            "x           y\n"
        );
    }
}
