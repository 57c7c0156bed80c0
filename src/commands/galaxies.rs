//! `sedflow galaxies`: list galaxies by conditions on any column or by place on the sky.

use std::io::{self, BufWriter, Write as _};

use clap::Args;

use super::find::selected_by_draws;
use super::{Context, Outcome};
use crate::output::{Format, Writer};
use crate::store::{Cone, Mode, Selection, Store, StoreError};

#[derive(Debug, Args)]
pub struct GalaxiesArgs {
    /// Condition on columns, such as "redshift < 0.05 and mag_r < 17"; extra columns of the input and the
    /// current posterior set's summaries count as columns. What `find` takes is understood too
    #[arg(long = "where", value_name = "EXPR")]
    condition: Option<String>,
    /// Circle on the sky, degrees
    #[arg(long, value_name = "RA,DEC,RADIUS", value_parser = parse_cone, allow_hyphen_values = true)]
    cone: Option<Cone>,
    /// At most so many; a remark says how many there are
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Columns to print, separated by commas; `all` prints every one
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// List the columns there are, and stop
    #[arg(long)]
    list_columns: bool,
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub fn run(args: GalaxiesArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    if args.list_columns {
        let mut out = std::io::stdout().lock();
        for (name, _) in store.galaxy_columns()? {
            writeln!(out, "{}", crate::output::for_eyes(name.as_bytes()))?;
        }
        return Ok(Outcome::Done);
    }
    let columns = match args.columns.as_slice() {
        [] => default_columns(&store)?,
        [all] if all == "all" => store.galaxy_columns()?.into_iter().map(|(name, _)| name).collect(),
        names => {
            let known = store.galaxy_columns()?;
            let is_known = |name: &str| known.iter().any(|(column, _)| column == name);
            names.iter().map(|name| if is_known(name) { name } else { name.trim() }.to_owned()).collect()
        }
    };
    let condition = args.condition.as_deref();
    let all = Selection { condition, cone: args.cone, limit: args.limit, ..Selection::default() };
    let ids = selected_by_draws(&store, condition, &all, Some(context))?;
    let selection = match &ids {
        Some(ids) => Selection { condition: None, cone: None, ids: Some(ids), ..all },
        None => all,
    };
    let mut writer = Writer::new(BufWriter::new(io::stdout().lock()), args.format);
    let n_shown = store.list_galaxies(&selection, &columns, &mut writer)?;
    writer.finish()?;
    if args.limit == Some(n_shown) && !context.quiet {
        let n = store.count_galaxies(&selection)?;
        if n > n_shown {
            context.remark(&format!("{n_shown} of {n} galaxies; --limit asked for no more"));
        }
    }
    Ok(Outcome::Done)
}

/// Who, where, how far and how bright; with a posterior set, also what was found.
pub fn default_columns(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut columns: Vec<String> =
        ["survey", "object_id", "ra_deg", "dec_deg", "redshift"].map(str::to_owned).to_vec();
    let all = store.galaxy_columns()?;
    columns.extend(all.iter().filter(|(name, _)| name.starts_with("mag_")).map(|(name, _)| name.clone()));
    columns.push("cuts_failed".to_owned());
    if store.current_posterior_set()?.is_some() {
        let found = ["log_mstar_surviving_q50", "log_sfr_1gyr_q50", "t_age_mw_gyr_q50", "method", "reason"];
        columns.extend(found.map(str::to_owned));
    }
    Ok(columns)
}

pub fn parse_cone(text: &str) -> Result<Cone, String> {
    let numbers: Vec<f64> = text
        .split(',')
        .map(|part| part.trim().parse().map_err(|_| format!("`{part}` is not a number of degrees")))
        .collect::<Result<_, String>>()?;
    let [ra_deg, dec_deg, radius_deg] = numbers[..] else {
        return Err("expected right ascension, declination and radius, in degrees".to_owned());
    };
    if !(-360.0..=360.0).contains(&ra_deg)
        || !(-90.0..=90.0).contains(&dec_deg)
        || !(0.0..=180.0).contains(&radius_deg)
    {
        return Err("expected -360 <= RA <= 360, -90 <= Dec <= 90 and 0 <= radius <= 180".to_owned());
    }
    Ok(Cone { ra_deg: ra_deg.rem_euclid(360.0), dec_deg, radius_deg })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cone_is_three_numbers_in_range() {
        let cone = |ra_deg, dec_deg, radius_deg| Ok(Cone { ra_deg, dec_deg, radius_deg });
        assert_eq!(parse_cone("187.7, 12.4,0.5"), cone(187.7, 12.4, 0.5));
        assert_eq!(parse_cone("-10,-90,180"), cone(350.0, -90.0, 180.0));
        for bad in ["1,2", "1,2,3,4", "a,2,3", "1,91,3", "1,2,-3", "nan,2,3", "1,2,inf", ""] {
            assert!(parse_cone(bad).is_err(), "{bad}");
        }
    }
}
