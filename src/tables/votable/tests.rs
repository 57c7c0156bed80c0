use super::*;

fn document(data: &str) -> String {
    format!(
        r#"<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
<TABLE name="first"><FIELD name="x" datatype="int"/><DATA><TABLEDATA/></DATA></TABLE>
<TABLE name="galaxies" nrows="3">
<FIELD name="id" datatype="char" arraysize="*" ucd="meta.id;meta.main"/>
<FIELD name="flux" datatype="float" arraysize="2" unit="nJy"><DESCRIPTION>two bands</DESCRIPTION></FIELD>
<FIELD name="n" datatype="short"><VALUES null="-99"/></FIELD>
<FIELD name="z" datatype="double"/>
<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"#
    )
}

fn read(text: &str) -> (Block, Option<TableError>) {
    let mut table = VoTable::new(text.as_bytes(), Some("galaxies")).unwrap();
    let block = table.next_block(100).unwrap().unwrap();
    (block, table.next_block(100).err())
}

#[test]
fn fields_carry_unit_ucd_and_description() {
    let table = VoTable::new(document("<TABLEDATA></TABLEDATA>").as_bytes(), Some("2")).map(|t| t.columns);
    let columns = table.unwrap();
    assert_eq!(columns[0].ucd.as_deref(), Some("meta.id;meta.main"));
    assert_eq!((columns[1].unit.as_deref(), columns[1].len), (Some("nJy"), 2));
    assert_eq!(columns[1].description.as_deref(), Some("two bands"));
}

#[test]
fn tabledata_keeps_entities_nulls_and_reports_bad_rows() {
    let (block, failure) = read(&document(
        "<TABLEDATA><TR><TD>a&amp;&#98;<![CDATA[<c>]]></TD><TD>1.5 NaN</TD><TD>-99</TD><TD>0.1</TD></TR>
        <TR><TD>b</TD><TD>1</TD><TD>1</TD><TD>0.1</TD></TR>
        <TR><TD>c</TD><TD/><TD>7</TD><TD></TD></TR><TR><TD>d</TD></TR>
        <TR><TD>e</TD><TD/><TD>x</TD><TD/></TR></TABLEDATA>",
    ));
    assert!(failure.is_none());
    assert_eq!(block.row_numbers, [1, 3]);
    assert_eq!(block.columns[0].text(0).as_deref(), Some("a&b<c>"));
    assert_eq!(block.columns[1].number(0), Ok(Some(1.5)));
    assert_eq!(block.columns[1].number(2), Ok(None));
    assert_eq!((block.columns[2].number(0), block.columns[2].number(1)), (Ok(None), Ok(Some(7.0))));
    assert_eq!((block.columns[3].number(0), block.columns[3].number(1)), (Ok(Some(0.1)), Ok(None)));
    let reasons: Vec<_> = block.bad.iter().map(|bad| (bad.row, bad.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (2, "column flux: 1 values instead of 2"),
            (4, "1 cells, the table has 4 columns"),
            (5, "column n: `x` is not of type integer")
        ]
    );
}

fn binary_row(flags: Option<u8>, id: &str, flux: [f32; 2], n: i16, z: f64) -> Vec<u8> {
    let mut row: Vec<u8> = flags.into_iter().collect();
    row.extend((id.len() as u32).to_be_bytes());
    row.extend(id.as_bytes());
    flux.iter().for_each(|flux| row.extend(flux.to_be_bytes()));
    row.extend(n.to_be_bytes());
    row.extend(z.to_be_bytes());
    row
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.as_bytes()
        .chunks(60)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn binary_and_binary2_hold_the_same_rows() {
    for (tag, flags) in [("BINARY", [None, None]), ("BINARY2", [Some(0), Some(0b0100_0000)])] {
        let mut bytes = binary_row(flags[0], "NGC 1;--", [1.5, 2.5], -99, 0.1);
        bytes.extend(binary_row(flags[1], "", [f32::NAN, 2.5], 7, 0.2));
        let data = format!("<{tag}><STREAM encoding=\"base64\">\n{}\n</STREAM></{tag}>", encode(&bytes));
        let (block, failure) = read(&document(&data));
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(block.n_rows(), 2);
        assert_eq!(block.columns[0].text(0).as_deref(), Some("NGC 1;--"));
        assert_eq!(block.columns[1].number(1), Ok(Some(2.5)));
        assert_eq!(block.columns[1].is_valid(2), tag == "BINARY");
        assert_eq!((block.columns[2].number(0), block.columns[2].number(1)), (Ok(None), Ok(Some(7.0))));
        assert_eq!(block.columns[3].number(1), Ok(Some(0.2)));
    }
}

#[test]
fn what_is_cut_short_keeps_its_whole_rows() {
    let mut bytes = binary_row(None, "a", [1.0, 2.0], 1, 0.1);
    bytes.extend(&binary_row(None, "b", [1.0, 2.0], 1, 0.1)[..9]);
    let data = format!("<BINARY><STREAM encoding='base64'>{}</STREAM></BINARY>", encode(&bytes));
    let (block, failure) = read(&document(&data));
    assert_eq!(block.n_rows(), 1);
    assert!(matches!(failure, Some(TableError::Truncated { expected: 3, found: 1 })), "{failure:?}");

    let text = document("<TABLEDATA><TR><TD>a</TD><TD>1 2</TD><TD>1</TD><TD>1</TD></TR><TR><TD>b");
    let cut = &text[..text.find("<TD>b").unwrap() + 5];
    let (block, failure) = read(cut);
    assert_eq!(block.n_rows(), 1);
    assert!(failure.is_some());
}

#[test]
fn what_cannot_be_read_is_named() {
    let cases = [
        (document("<BINARY><STREAM href='http://a/b'/></BINARY>"), "elsewhere"),
        (document("<FITS></FITS>"), "FITS form"),
        (document("<TABLEDATA>").replace("\"short\"", "\"quark\""), "unknown datatype"),
        (document("<TABLEDATA>").replace("arraysize=\"2\"", "arraysize=\"0x\""), "arraysize"),
        (document("<TABLEDATA>").replace("\"2\" unit", "\"999999x999999x999999\" unit"), "arraysize"),
        ("<VOTABLE></VOTABLE>".to_owned(), "without a table"),
        ("<VOTABLE><TABLE name='other'></TABLE></VOTABLE>".to_owned(), "it has other"),
        ("<VOTABLE><TABLE".to_owned(), "at byte"),
    ];
    for (text, word) in cases {
        let message = VoTable::new(text.as_bytes(), Some("galaxies")).err().unwrap().to_string();
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn an_endless_text_is_an_error_not_memory() {
    let text = document("<TABLEDATA><TR><TD>");
    let head = std::io::Cursor::new(text[..text.find("<TD>").unwrap() + 4].to_owned());
    let endless = std::io::BufReader::new(std::io::Read::chain(head, std::io::repeat(b'x')));
    let error = VoTable::new(endless, Some("galaxies")).and_then(|mut t| t.next_block(1));
    let message = error.err().unwrap().to_string();
    assert!(message.contains("16 MiB"), "{message}");
}
