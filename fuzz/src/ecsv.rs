//! ECSV tables: the YAML header and the rows below it.

use sedflow::tables::DelimitedTable;

use super::drain;

pub fn run(bytes: &[u8]) {
    if let Ok(table) = DelimitedTable::ecsv(bytes) {
        drain(table);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: id, datatype: int64}\n\
        # - {name: f, unit: nJy, datatype: string, subtype: 'float64[2]'}\n# - {name: ok, datatype: bool}\n\
        # schema: astropy-2.0\nid,f,ok\n1,\"[1.5,2]\",True\n,\"[null,2]\",\n";
    vec![text.into()]
}
