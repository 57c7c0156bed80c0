//! What `FILE-metadata.json` says of the columns of a CSV file (W3C, "Metadata Vocabulary for Tabular Data").

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::column::{ColumnInfo, ColumnType};

/// A description longer than this is none of a table.
const MOST_BYTES: u64 = 32 << 20;

/// The columns as the file beside describes them; `None` where there is none, or it is of another table.
pub(super) fn described(csv: &Path, columns: &[ColumnInfo]) -> Option<Vec<ColumnInfo>> {
    let mut name = csv.as_os_str().to_owned();
    name.push("-metadata.json");
    let path = PathBuf::from(name);
    if std::fs::metadata(&path).ok()?.len() > MOST_BYTES {
        return None;
    }
    let document: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let described = document["tableSchema"]["columns"].as_array()?;
    if described.len() != columns.len() {
        return None;
    }
    columns.iter().zip(described).map(|(column, described)| describe(column, described)).collect()
}

fn describe(column: &ColumnInfo, described: &Value) -> Option<ColumnInfo> {
    let text = |key: &str| described[key].as_str().map(str::to_owned);
    let title = text("titles").or_else(|| text("name"))?;
    if title.trim() != column.name {
        return None;
    }
    let kind = match described["datatype"].as_str() {
        Some("integer" | "long" | "int") => ColumnType::Int,
        Some("double" | "number" | "decimal" | "float") => ColumnType::Float64,
        Some("string") => ColumnType::Text,
        _ => ColumnType::Untyped,
    };
    Some(ColumnInfo {
        unit: text("unit"),
        ucd: text("ucd"),
        description: text("dc:description"),
        ..ColumnInfo::new(column.name.clone(), kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_described_by_the_file_beside_if_it_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("a.csv");
        let columns = [ColumnInfo::new("id", ColumnType::Untyped), ColumnInfo::new("f", ColumnType::Untyped)];
        assert_eq!(described(&csv, &columns), None);
        let text = r#"{"tableSchema": {"columns": [{"titles": "id", "datatype": "string"},
            {"titles": "f", "datatype": "double", "unit": "nJy", "dc:description": "flux"}]}}"#;
        std::fs::write(folder.path().join("a.csv-metadata.json"), text).unwrap();
        let found = described(&csv, &columns).unwrap();
        assert_eq!((found[0].kind, found[1].kind), (ColumnType::Text, ColumnType::Float64));
        assert_eq!(found[1].unit.as_deref(), Some("nJy"));
        assert_eq!(described(&csv, &columns[..1]), None);
        assert_eq!(described(&csv, &[columns[1].clone(), columns[0].clone()]), None);
    }
}
