//! What the benchmarks share: JSON lines on standard output, a table on standard error.

use std::io::Write;
use std::time::Instant;

use serde_json::Value;

use crate::flow::train::Clock;

/// Rows for machines, which are printed as they come, and a table for people at the end.
pub struct Report {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    lines: Vec<Value>,
}

impl Report {
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), lines: Vec::new() }
    }

    pub fn row(&mut self, line: Value, cells: Vec<String>) {
        self.line(line);
        self.cells(cells);
    }

    /// A row for machines alone.
    pub fn line(&mut self, line: Value) {
        self.lines.push(line);
    }

    /// A row for people alone.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// JSON lines to standard output; the table to standard error unless `quiet`.
    pub fn print(&self, quiet: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        for line in &self.lines {
            writeln!(out, "{line}")?;
        }
        if quiet {
            return Ok(());
        }
        let width =
            |i: usize| self.rows.iter().map(|r| r[i].len()).chain([self.header[i].len()]).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let print = |cells: &[&str]| {
            let line: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            eprintln!("{}", line.join("  "));
        };
        print(&self.header);
        for row in &self.rows {
            print(&row.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Ok(())
    }
}

/// Runs `work` with a pool of `threads` threads.
pub fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, rayon::ThreadPoolBuildError> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(work))
}

/// Processor time for one thread, so that a busy machine shows the same; time on the wall for more.
pub fn clock_for(threads: usize) -> Clock {
    if threads == 1 { Clock::Processor } else { Clock::Wall }
}

/// The rate of the machine's matrix products now, on one thread: 496 x 496 x 496, best of several. (Rows a
/// power of two apart, as of 512, would fall into a few sets of the caches and show half of it.)
pub fn gemm_gflops() -> f64 {
    let n = 496;
    let a = vec![0.5; n * n];
    let b = vec![0.25; n * n];
    let mut out = vec![0.0; n * n];
    let mut best: f64 = 0.0;
    for _ in 0..12 {
        let started = Instant::now();
        crate::flow::matrix_product(&mut out, &a, &b, n);
        best = best.max(2.0 * (n * n * n) as f64 / started.elapsed().as_secs_f64() * 1e-9);
    }
    best
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
