//! Figures for papers and screens, as SVG and PNG.
//!
//! [`canvas`] draws shapes and is the only place that names the plotting crate; [`axes`] maps data to
//! it; each figure is one function from plain numbers to a [`Canvas`].

pub mod axes;
pub mod canvas;
mod contour;
pub mod corner;
pub mod curves;
pub mod diagnostics;
pub mod sed;
pub mod shifts;
pub mod spectrum;
pub mod text;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use canvas::Canvas;

#[derive(Debug, Error)]
pub enum PlotError {
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path}: the name of a figure ends in .png or .svg")]
    Extension { path: PathBuf },
    #[error("cannot draw {what}: {reason}")]
    Data { what: &'static str, reason: String },
    #[error("cannot make a PNG: {0}")]
    Raster(String),
}

impl Canvas {
    /// Writes the figure to a file whose name ends in `.svg` or `.png`.
    pub fn save(&self, path: &Path) -> Result<(), PlotError> {
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => self.svg().into_bytes(),
            Some("png") => self.png()?,
            _ => return Err(PlotError::Extension { path: path.to_owned() }),
        };
        std::fs::write(path, bytes).map_err(|source| PlotError::Write { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests;
