//! Built-in column maps, recognised by the columns of a table.

use super::columns::Selection;
use super::map::{ColumnMap, CutFile, MapError};
use crate::tables::ColumnInfo;

/// Name and text of every layout; where several fit a table, the first one is taken.
pub const LAYOUTS: &[(&str, &str)] = &[
    ("nsa-v1", include_str!("layouts/nsa-v1.toml")),
    ("nsa-v1-elpetro", include_str!("layouts/nsa-v1-elpetro.toml")),
    ("nsa-v0", include_str!("layouts/nsa-v0.toml")),
    ("isedfit-nsa", include_str!("layouts/isedfit-nsa.toml")),
    ("kcorrect-sdss", include_str!("layouts/kcorrect-sdss.toml")),
    ("legacy-surveys", include_str!("layouts/legacy-surveys.toml")),
    ("prospector", include_str!("layouts/prospector.toml")),
    ("cigale", include_str!("layouts/cigale.toml")),
];

/// Name and text of every built-in file of cuts.
pub const CUTS: &[(&str, &str)] = &[("sdss-photo", include_str!("layouts/cuts/sdss-photo.toml"))];

/// The layout of this name.
pub fn built_in(name: &str) -> Option<Result<ColumnMap, MapError>> {
    LAYOUTS.iter().find(|(known, _)| *known == name).map(|(_, text)| ColumnMap::parse(text))
}

pub fn built_in_cuts(name: &str) -> Option<Result<CutFile, MapError>> {
    CUTS.iter().find(|(known, _)| *known == name).map(|(_, text)| CutFile::parse(text))
}

/// The first layout that fits the columns: those it is recognised by, and the bands that are not optional.
pub fn detect(columns: &[ColumnInfo]) -> Result<Option<ColumnMap>, MapError> {
    for (_, text) in LAYOUTS {
        let map = ColumnMap::parse(text)?;
        if fits(&map, columns) {
            return Ok(Some(map));
        }
    }
    Ok(None)
}

fn fits(map: &ColumnMap, columns: &[ColumnInfo]) -> bool {
    let selection = Selection::new(columns);
    let there = |name: &String| selection.column(name).is_some() || selection.find(name).is_some();
    if !map.detect.all.iter().all(there) || map.detect.none.iter().any(there) {
        return false;
    }
    let mut any = false;
    for band in &map.bands {
        let there = selection.first(band.flux.names()).is_some()
            && band.error.as_ref().is_none_or(|error| selection.first(error.names()).is_some());
        if !there && !band.optional {
            return false;
        }
        any |= there;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ColumnType;

    #[test]
    fn every_built_in_file_is_valid_and_named_like_its_file() {
        for (name, text) in LAYOUTS {
            let map = ColumnMap::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(map.name, *name);
            assert!(!map.description.is_empty() && map.reference.is_some(), "{name}");
            for band in &map.bands {
                let filter =
                    band.filter.as_deref().unwrap_or_else(|| panic!("{name}: {} has no filter", band.name));
                crate::filters::resolve(filter).unwrap();
                assert!(band.ucd.is_some(), "{name}: {}", band.name);
            }
        }
        for (name, text) in CUTS {
            assert_eq!(CutFile::parse(text).unwrap().name, *name);
        }
    }

    #[test]
    fn the_example_maps_are_valid() {
        for text in [
            include_str!("../../samples/maps/sdss-2mass.toml"),
            include_str!("../../samples/maps/magnitudes.toml"),
        ] {
            ColumnMap::parse(text).unwrap();
        }
    }

    fn columns(list: &[(&str, usize)]) -> Vec<ColumnInfo> {
        let info =
            |&(name, len): &(&str, usize)| ColumnInfo { len, ..ColumnInfo::new(name, ColumnType::Float32) };
        list.iter().map(info).collect()
    }

    #[test]
    fn layouts_are_recognised_by_their_columns() {
        let nsa0 = [("NSAID", 1), ("RA", 1), ("NMGY", 7), ("NMGY_IVAR", 7), ("Z", 1)];
        let sdss = [("MODELFLUX", 5), ("MODELFLUX_IVAR", 5), ("EXTINCTION", 5), ("RA", 1), ("Z", 1)];
        let nsa1 = [("NSAID", 1), ("ELPETRO_FLUX", 7), ("ELPETRO_FLUX_IVAR", 7), ("EXTINCTION", 7)];
        let nsa1_nmgy = [("NSAID", 1), ("ELPETRO_NMGY", 7), ("ELPETRO_NMGY_IVAR", 7), ("ELPETRO_FLUX", 7)];
        let sweep = [
            ("release", 1),
            ("flux_g", 1),
            ("flux_ivar_g", 1),
            ("mw_transmission_g", 1),
            ("flux_r", 1),
            ("flux_ivar_r", 1),
            ("mw_transmission_r", 1),
            ("flux_z", 1),
            ("flux_ivar_z", 1),
            ("mw_transmission_z", 1),
        ];
        let cigale = [("id", 1), ("redshift", 1), ("sloan.sdss.r", 1), ("sloan.sdss.r_err", 1)];
        let prospector = [("id", 1), ("maggies_sdss_r0", 1), ("maggies_unc_sdss_r0", 1)];
        for (list, expected) in [
            (nsa0.as_slice(), Some("nsa-v0")),
            (&nsa0[..3], None),
            (&[("NSAID", 1), ("NMGY", 5), ("NMGY_IVAR", 5)], None),
            (&sdss, Some("kcorrect-sdss")),
            (&sdss[..2], None),
            (&nsa1, Some("nsa-v1-elpetro")),
            (&nsa1_nmgy, Some("nsa-v1")),
            (&sweep, Some("legacy-surveys")),
            (&cigale, Some("cigale")),
            (&prospector, Some("prospector")),
            (&[("id", 1), ("mag_r", 1)], None),
        ] {
            let found = detect(&columns(list)).unwrap();
            assert_eq!(found.map(|map| map.name).as_deref(), expected, "{list:?}");
        }
    }
}
