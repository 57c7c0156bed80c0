//! Finding the columns a map names in a table.

use crate::tables::{Block, Column, ColumnInfo};

/// One value per row of a block: an element of a selected column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into the selection.
    pub slot: usize,
    pub element: usize,
    pub len: usize,
}

impl Cell {
    pub fn of<'b>(&self, block: &'b Block, row: usize) -> (&'b Column, usize) {
        (&block.columns[self.slot], row * self.len + self.element)
    }
}

/// The columns of a table, and those of them that are to be read.
pub struct Selection<'t> {
    columns: &'t [ColumnInfo],
    chosen: Vec<usize>,
}

impl<'t> Selection<'t> {
    pub fn new(columns: &'t [ColumnInfo]) -> Self {
        Self { columns, chosen: Vec::new() }
    }

    pub fn columns(&self) -> &'t [ColumnInfo] {
        self.columns
    }

    pub fn into_chosen(self) -> Vec<usize> {
        self.chosen
    }

    pub fn is_chosen(&self, column: usize) -> bool {
        self.chosen.contains(&column)
    }

    /// The column of this name, in any case where only one column has it.
    pub fn column(&self, name: &str) -> Option<usize> {
        let exact = self.columns.iter().position(|column| column.name == name);
        exact.or_else(|| {
            let mut same = (0..self.columns.len())
                .filter(|&i| self.columns[i].name.to_lowercase() == name.to_lowercase());
            same.next().filter(|_| same.next().is_none())
        })
    }

    /// Column and element of `NAME` or `NAME[2]`; `None` where there is no such column or element.
    pub fn find(&self, reference: &str) -> Option<(usize, usize)> {
        // A text table may have a column whose very name is `FLUX[2]`.
        if let Some(column) = self.column(reference) {
            return (self.columns[column].len == 1).then_some((column, 0));
        }
        let (name, element) = reference.strip_suffix(']')?.rsplit_once('[')?;
        self.element(name, element.parse().ok()?)
    }

    pub fn element(&self, name: &str, element: usize) -> Option<(usize, usize)> {
        let column = self.column(name)?;
        (element < self.columns[column].len).then_some((column, element))
    }

    pub fn choose(&mut self, column: usize, element: usize) -> Cell {
        let slot = self.chosen.iter().position(|&chosen| chosen == column).unwrap_or_else(|| {
            self.chosen.push(column);
            self.chosen.len() - 1
        });
        Cell { slot, element, len: self.columns[column].len }
    }

    /// The first of the alternatives that is there.
    pub fn first(&self, alternatives: &[String]) -> Option<(usize, usize)> {
        alternatives.iter().find_map(|reference| self.find(reference))
    }

    /// Names that are like the one that is missing, else the first few there are.
    pub fn like(&self, wanted: &str) -> String {
        let stem = wanted.split('[').next().unwrap_or(wanted).to_lowercase();
        let part: String = stem.chars().take(4).collect();
        let show = |column: &ColumnInfo| match column.len {
            1 => column.name.clone(),
            n => format!("{}[{n}]", column.name),
        };
        let like: Vec<_> =
            self.columns.iter().filter(|c| c.name.to_lowercase().contains(&part)).map(show).collect();
        let shown = if like.is_empty() { self.columns.iter().map(show).collect() } else { like };
        let more = if shown.len() > 20 { format!(" and {} more", shown.len() - 20) } else { String::new() };
        format!("{}{more}", shown.into_iter().take(20).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ColumnType;

    #[test]
    fn columns_are_found_by_name_case_and_element() {
        let vector = ColumnInfo { len: 5, ..ColumnInfo::new("FLUX", ColumnType::Float32) };
        let columns =
            [vector, ColumnInfo::new("z", ColumnType::Float64), ColumnInfo::new("a[0]", ColumnType::Float64)];
        let mut selection = Selection::new(&columns);
        assert_eq!(selection.find("flux[4]"), Some((0, 4)));
        assert_eq!(selection.find("FLUX[5]"), None);
        assert_eq!(selection.find("FLUX"), None);
        assert_eq!(selection.find("Z"), Some((1, 0)));
        assert_eq!(selection.find("z[0]"), Some((1, 0)));
        assert_eq!(selection.find("a[0]"), Some((2, 0)));
        assert_eq!(selection.first(&["no".into(), "z".into()]), Some((1, 0)));
        assert_eq!(selection.choose(1, 0), Cell { slot: 0, element: 0, len: 1 });
        assert_eq!(selection.choose(0, 3), Cell { slot: 1, element: 3, len: 5 });
        assert_eq!(selection.choose(1, 0).slot, 0);
        assert_eq!(selection.like("fluxes"), "FLUX[5]");
    }

    #[test]
    fn a_name_two_columns_share_in_other_case_is_ambiguous() {
        let columns = [ColumnInfo::new("ID", ColumnType::Int), ColumnInfo::new("id", ColumnType::Int)];
        let selection = Selection::new(&columns);
        assert_eq!(selection.find("id"), Some((1, 0)));
        assert_eq!(selection.find("Id"), None);
    }
}
