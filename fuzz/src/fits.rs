//! FITS files: headers, images, binary tables, the heap; alone and as a table to ingest.

use sedflow::fits::FitsFile;
use sedflow::tables::{ReadOptions, open};

use super::{Boxed, drain, through_a_file};

pub fn run(bytes: &[u8]) {
    through_a_file(bytes, |path| {
        if let Ok(mut file) = FitsFile::open(path) {
            for hdu in 0..file.hdus().len() {
                let _ = file.read_image(hdu);
                let Ok(table) = file.table(hdu).cloned() else { continue };
                let Ok(block) = file.read_rows(hdu, 0, 100) else { continue };
                let variable = table.columns.iter().enumerate().filter(|(_, info)| info.variable.is_some());
                for (column, _) in variable {
                    for row in 0..block.rows() {
                        let _ = (file.read_array(&block, row, column), file.read_text(&block, row, column));
                    }
                }
            }
        }
        if let Ok(table) = open(path, &ReadOptions::default()) {
            drain(Boxed(table));
        }
    });
}

pub fn seeds() -> Vec<Vec<u8>> {
    let sample = include_bytes!("../../samples/sdss_1000.fits");
    vec![
        include_bytes!("../../tests/data/fits/types.fits").to_vec(),
        include_bytes!("../../tests/data/fits/heap.fits").to_vec(),
        include_bytes!("../../tests/data/fits/images.fits").to_vec(),
        sample[..5760 + 95 * 20].to_vec(),
    ]
}
