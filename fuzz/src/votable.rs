//! VOTable documents: TABLEDATA, BINARY, BINARY2.

use sedflow::tables::VoTable;

use super::drain;

pub fn run(bytes: &[u8]) {
    if let Ok(table) = VoTable::new(bytes, None) {
        drain(table);
    }
}

const HEAD: &str = "<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE name='t' nrows='2'><FIELD name='id' datatype='char' arraysize='*'/>\
        <FIELD name='f' datatype='float' arraysize='2' unit='nJy'/><FIELD name='n' datatype='short'><VALUES null='-1'/></FIELD>\
        <FIELD name='b' datatype='bit' arraysize='9'/><DATA>";
const TAIL: &str = "</DATA></TABLE></RESOURCE></VOTABLE>";
const ROWS: &str =
    "<TABLEDATA><TR><TD>a&amp;b</TD><TD>1 2</TD><TD>-1</TD><TD>1 0 1 0 1 0 1 0 1</TD></TR></TABLEDATA>";
const BINARY: &str = "<BINARY><STREAM encoding='base64'>AAAAAWE/gAAAQAAAAAABgIA=</STREAM></BINARY>";
const BINARY2: &str = "<BINARY2><STREAM encoding='base64'>AAAAAAFhP4AAAEAAAAAAAYCA</STREAM></BINARY2>";

pub fn seeds() -> Vec<Vec<u8>> {
    [ROWS, BINARY, BINARY2].map(|data| format!("{HEAD}{data}{TAIL}").into_bytes()).to_vec()
}
