//! Names of columns and units of logarithms as readers of other programs expect them.

use super::columns::Column;
use super::fields::Field;
use crate::store::SUMMARY_PARAMETERS;

/// How the unit of a logarithm is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogUnits {
    /// In the description, as log(solMass); the unit itself is left out
    None,
    /// log(solMass), as the standards of FITS and the VO have it; astropy does not know it and warns
    Log,
    /// dex(solMass), as astropy writes it; it knows that in ECSV alone, and warns where a QTable has missing values
    Dex,
}

/// Whose names the columns have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Names {
    /// Those of the catalog
    #[default]
    Catalog,
    /// id, bayes.P, bayes.P_err, best.P of every parameter P, best.chi_square
    Cigale,
    /// P_16, P_50, P_84 of every parameter P, log_evidence, chisq_phot
    Bagpipes,
    /// All in capital letters
    Desi,
}

/// Writes the units of logarithms in this way.
pub fn write_log_units(columns: &mut [Column], how: LogUnits) {
    for field in columns.iter_mut().map(|column| &mut column.field) {
        let inner = field.unit.as_deref().and_then(|unit| unit.strip_prefix("log(")?.strip_suffix(')'));
        match (how, inner) {
            (LogUnits::Log, _) | (_, None) => {}
            (LogUnits::Dex, Some(inner)) => {
                let dex = format!("dex({inner})");
                keep_if_extra(field, false);
                field.unit = Some(dex);
            }
            (LogUnits::None, Some(_)) => {
                keep_if_extra(field, true);
                field.unit_in_words = field.unit.take();
            }
        }
    }
}

/// Notes unit and description of a column of the survey's table, which must come back as they were.
fn keep_if_extra(field: &mut Field, description_changes: bool) {
    if field.notes.extra {
        field.notes.unit.clone_from(&field.unit);
        field.notes.words = description_changes.then(|| field.description.clone());
    }
}

/// Renames the columns, noting the names they had.
pub fn rename(columns: &mut [Column], names: Names) {
    for field in columns.iter_mut().map(|column| &mut column.field) {
        let new = match names {
            Names::Catalog => continue,
            Names::Cigale => cigale(&field.name),
            Names::Bagpipes => bagpipes(&field.name),
            Names::Desi => Some(field.name.to_uppercase()),
        };
        if let Some(new) = new.filter(|new| *new != field.name) {
            field.notes.name = Some(std::mem::replace(&mut field.name, new));
        }
    }
}

/// Parameter and statistic of a column of summaries.
fn summary(name: &str) -> Option<(&str, &str)> {
    SUMMARY_PARAMETERS.iter().find_map(|parameter| {
        Some((*parameter, name.strip_prefix(parameter)?.strip_prefix('_')?))
            .filter(|(_, statistic)| !statistic.contains('_') || *statistic == "edge_frac")
    })
}

fn cigale(name: &str) -> Option<String> {
    match (name, summary(name)) {
        ("object_id", _) => Some("id".to_owned()),
        ("chi2_best", _) => Some("best.chi_square".to_owned()),
        (_, Some((parameter, "mean"))) => Some(format!("bayes.{parameter}")),
        (_, Some((parameter, "std"))) => Some(format!("bayes.{parameter}_err")),
        (_, Some((parameter, "map"))) => Some(format!("best.{parameter}")),
        _ => None,
    }
}

fn bagpipes(name: &str) -> Option<String> {
    match (name, summary(name)) {
        ("ln_evidence", _) => Some("log_evidence".to_owned()),
        ("ln_evidence_err", _) => Some("log_evidence_err".to_owned()),
        ("chi2_best", _) => Some("chisq_phot".to_owned()),
        (_, Some((parameter, quantile @ ("q16" | "q50" | "q84")))) => {
            Some(format!("{parameter}_{}", &quantile[1..]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Origin;
    use super::super::fields::Kind;
    use super::*;

    fn column(name: &str, unit: Option<&str>) -> Column {
        let field = Field::new(name, Kind::Float, "x").unit(unit);
        Column { field, origin: Origin::Draws { name: name.to_owned() } }
    }

    #[test]
    fn every_program_finds_its_names() {
        let ours = ["object_id", "log_mstar_mean", "log_mstar_surviving_std", "log_mstar_q50", "chi2_best"];
        let named = |names| -> Vec<String> {
            let mut columns: Vec<Column> = ours.iter().map(|name| column(name, None)).collect();
            rename(&mut columns, names);
            for (column, ours) in columns.iter().zip(ours) {
                assert_eq!(column.field.catalog_name(), ours);
            }
            columns.into_iter().map(|column| column.field.name).collect()
        };
        assert_eq!(named(Names::Catalog), ours);
        assert_eq!(
            named(Names::Cigale),
            ["id", "bayes.log_mstar", "bayes.log_mstar_surviving_err", "log_mstar_q50", "best.chi_square"]
        );
        let bagpipes = named(Names::Bagpipes);
        assert_eq!(bagpipes[3..], ["log_mstar_50", "chisq_phot"]);
        assert_eq!(named(Names::Desi)[1], "LOG_MSTAR_MEAN");
    }

    #[test]
    fn the_unit_of_a_logarithm_is_never_lost() {
        let mut columns = [column("m", Some("log(solMass)")), column("age", Some("Gyr"))];
        columns[0].field.notes.extra = true;
        write_log_units(&mut columns, LogUnits::None);
        let field = &columns[0].field;
        assert_eq!((field.unit.as_deref(), field.notes.unit.as_deref()), (None, Some("log(solMass)")));
        assert!(field.full_description().starts_with("x; unit: log(solMass) [sedflow "));
        assert_eq!(columns[1].field.unit.as_deref(), Some("Gyr"));
    }
}
