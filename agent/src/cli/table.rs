//! Columns for people: aligned by spaces, without borders, the last one cut where the terminal ends.

use super::output::{Output, Span, Style, clean, span};

/// To which side a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table being made up.
pub(super) struct Table {
    columns: &'static [(&'static str, Align)],
    rows: Vec<Vec<Span>>,
    whole: bool,
}

/// Two spaces stand between columns.
const GAP: usize = 2;
/// The least that is left of a last column that is cut.
const MIN_LAST: usize = 16;

impl Table {
    /// A table with these columns; with no header where none of them has a name.
    pub(super) fn new(columns: &'static [(&'static str, Align)]) -> Self {
        Self { columns, rows: Vec::new(), whole: false }
    }

    /// The last column is not cut: a terminal may break its lines.
    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Whether it has no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row of as many cells as there are columns. An empty cell is shown as `-`.
    pub(super) fn row(&mut self, cells: Vec<Span>) {
        let cell = |Span { style, text }: Span| match text.is_empty() {
            true => span(Style::Dim, "-"),
            false => span(style, clean(&text)),
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Writes it.
    pub(super) fn write(&self, output: &Output) -> anyhow::Result<()> {
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        if self.columns.iter().any(|(name, _)| !name.is_empty()) {
            let head: Vec<Span> = self.columns.iter().map(|(name, _)| span(Style::Bold, *name)).collect();
            output.line(&self.laid_out(&head, &widths, output))?;
        }
        self.rows.iter().try_for_each(|row| output.line(&self.laid_out(row, &widths, output)))
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.chars().count());
        let name = self.columns.get(at).map_or(0, |(name, _)| name.chars().count());
        cells.fold(name, usize::max)
    }

    fn laid_out(&self, row: &[Span], widths: &[usize], output: &Output) -> Vec<Span> {
        let last = row.len().saturating_sub(1);
        let mut line = Vec::with_capacity(row.len() * 2);
        let mut used = 0;
        for (at, (cell, (width, (_, align)))) in row.iter().zip(widths.iter().zip(self.columns)).enumerate() {
            let spaces = width.saturating_sub(cell.text.chars().count());
            match (align, at == last) {
                (Align::Right, is_last) => {
                    line.push(" ".repeat(spaces).into());
                    line.push(cell.clone());
                    line.push(" ".repeat(if is_last { 0 } else { GAP }).into());
                }
                (Align::Left, false) => {
                    line.push(cell.clone());
                    line.push(" ".repeat(spaces + GAP).into());
                }
                (Align::Left, true) if self.whole => line.push(cell.clone()),
                (Align::Left, true) => line.push(cut(cell, used, output)),
            }
            used += width + GAP;
        }
        line
    }
}

/// A last cell, as much of it as the terminal has room for.
fn cut(cell: &Span, used: usize, output: &Output) -> Span {
    let Some(width) = output.width() else { return cell.clone() };
    let room = width.saturating_sub(used).max(MIN_LAST);
    if cell.text.chars().count() <= room {
        return cell.clone();
    }
    let dots = output.mark("…", "...");
    let kept: String = cell.text.chars().take(room.saturating_sub(dots.chars().count())).collect();
    span(cell.style, kept + dots)
}
