//! A column map (or a file of cuts), a line of three percent signs, and a CSV table read through it.

use sedflow::ingest::convert::convert;
use sedflow::ingest::map::{ColumnMap, CutFile};
use sedflow::ingest::plan::Plan;
use sedflow::tables::{DelimitedTable, Table};

use super::drain;

const SEPARATOR: &[u8] = b"\n%%%\n";

pub fn run(bytes: &[u8]) {
    let at = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR).unwrap_or(bytes.len());
    let (map, table) = (&bytes[..at], bytes.get(at + SEPARATOR.len()..).unwrap_or_default());
    let text = String::from_utf8_lossy(map);
    let _ = CutFile::parse(&text);
    let Ok(mut table) = DelimitedTable::new(table, None) else { return };
    let Ok(map) = ColumnMap::parse(&text) else { return drain(table) };
    let Ok(plan) = Plan::new(&map, table.columns()) else { return drain(table) };
    table.select(&plan.selected);
    while let Ok(Some(block)) = table.next_block(64) {
        let converted = convert(&plan, &block);
        assert_eq!(converted.galaxies.len() + converted.rejected.len(), block.n_rows() + block.bad.len());
        for phot in converted.galaxies.iter().flat_map(|galaxy| &galaxy.photometry) {
            assert!(phot.flux_nmgy.is_none_or(f64::is_finite));
            assert!(phot.ivar_nmgy.is_none_or(|ivar| ivar.is_finite() && ivar > 0.0));
            assert!(phot.flux_nmgy.is_some() || phot.ivar_nmgy.is_none());
        }
    }
}

const MAP: &str = "name = 'm'\nsurvey = 's'\n[columns]\nid = 'id'\nra = 'ra'\ndec = 'dec'\nredshift = ['z']\n[photometry]\n\
        quantity = 'flux'\nunit = 'nmgy'\nerror = 'sigma'\nnegative_error_is_limit = true\n[extinction]\nkind = 'a-band'\n\
        [[band]]\nname = 'r'\nfilter = 'sdss2010-r'\nflux = 'f'\nerror = 'e'\nextinction = 'A'\nab_offset = 0.01\n\
        error_floor = 0.02\n[[cut]]\nname = 'c'\nrequire = \"redshift > 0.1 and snr_r > 3 or name = 'x'\"\n";
const CSV: &str = "id,ra,dec,z,f,e,A,name\n1,2,3,0.1,5,1,0.1,x\n\"a\"\"b\",2,3,,-99,-1,nan,\"two\nlines\"\nbad,400,3,0.1,5\n";
const CUTS: &str = include_str!("../../src/ingest/layouts/cuts/sdss-photo.toml");
const KCORRECT: &str = include_str!("../../src/ingest/layouts/kcorrect-sdss.toml");

pub fn seeds() -> Vec<Vec<u8>> {
    let joined = |map: &str, csv: &str| [map.as_bytes(), SEPARATOR, csv.as_bytes()].concat();
    vec![
        joined(MAP, CSV),
        joined(KCORRECT, "RA,DEC,Z,MODELFLUX[0],MODELFLUX_IVAR[0],EXTINCTION[0]\n1,2,3,4,5,6\n"),
        joined(CUTS, "# id z\n1 2\n"),
        joined(MAP, &CSV.replace(',', "\t")),
    ]
}
