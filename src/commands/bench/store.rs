//! `sedflow bench store`: what a posterior costs to keep, in several formats, and what keeping does to it.

use std::io::{Read, Write};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::report::{Report, median, on_threads};
use crate::codec::{self, Achieved, EncodeOptions, STEPS_PER_WIDTH, ks_distance};
use crate::commands::draws::{self, Maker};
use crate::commands::{Context, Outcome, infer, ingest, setup};
use crate::infer::{Draws, Recipe, SHIPPED_NAME, packing};
use crate::prior::N_PARAM;
use crate::store::{RunSpec, RunState, Selection, Store};

#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Galaxies of the shipped sample to measure on
    #[arg(long, default_value_t = 30)]
    galaxies: usize,
    /// Draws per galaxy
    #[arg(long, default_value_t = 10_000)]
    draws: u32,
    /// Bins per posterior width
    #[arg(long, default_value_t = STEPS_PER_WIDTH)]
    steps: u32,
    /// Repetitions per galaxy, of which the fastest counts
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

pub fn run(args: StoreArgs, context: &Context) -> anyhow::Result<Outcome> {
    let folder = Folder::new()?;
    let quiet = Context { catalog: folder.0.join("bench.db"), quiet: true };
    drop(Store::create(&quiet.catalog)?);
    ingest::run(ingest::IngestArgs::of_sample(), &quiet)?;
    let mut store = setup::open(&quiet.catalog)?;
    let config = json!({ "galaxies": args.galaxies, "draws": args.draws });
    let spec = RunSpec { command: "bench", config: &config, seed: Some(0), resumes: None };
    let loaded = store.recorded(&spec, |store, run| -> anyhow::Result<_> {
        Ok((setup::load_checkpoint(store, run, SHIPPED_NAME)?, RunState::Done))
    })?;
    let maker = Maker { npe: &loaded.npe, checkpoint: loaded.hash, derived: &loaded.derived };
    // Spread over the sample, which is in no order.
    let ids = store.select_galaxies(&Selection::default())?;
    let step = (ids.len() / args.galaxies.max(1)).max(1);
    let mut posteriors: Vec<(Recipe, Draws)> = Vec::new();
    for id in ids.into_iter().step_by(step) {
        let (galaxy, measured) = infer::measured_for(&store, &loaded, id)?;
        let zred = galaxy.redshift.unwrap_or(f64::NAN);
        let Ok(recipe) = draws::recipe_for(maker, &measured, zred, (0, id.0 as u64), args.draws) else {
            continue;
        };
        let n = args.draws as usize;
        if let Ok(drawn) = loaded.npe.draw(&recipe.features, zred, n, (0, id.0 as u64), &loaded.derived) {
            posteriors.push((recipe, drawn));
        }
    }
    let report = on_threads(1, || measure(&args, maker, &posteriors)).context("cannot start threads")??;
    report.print(context.quiet)?;
    Ok(Outcome::Done)
}

/// A folder that goes when the benchmark ends.
pub struct Folder(pub std::path::PathBuf);

impl Folder {
    pub fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("sedflow-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Columns<'a> = Vec<(&'static str, &'a [f32])>;

type Encoder = Box<dyn Fn(&Columns<'_>) -> anyhow::Result<Vec<u8>>>;
type Decoder = Box<dyn Fn(&[u8], usize) -> anyhow::Result<Vec<Vec<f32>>>>;
type OneColumn = fn(&[u8], &str) -> anyhow::Result<Vec<f32>>;

/// A way to keep draws: bytes of some columns, and the columns of bytes.
struct Format {
    name: &'static str,
    n_columns: usize,
    encode: Encoder,
    decode: Decoder,
    /// One column alone, where the format can.
    one: Option<OneColumn>,
}

fn measure(args: &StoreArgs, maker: Maker<'_>, posteriors: &[(Recipe, Draws)]) -> anyhow::Result<Report> {
    let mut report = Report::new(&[
        "format",
        "columns",
        "kB/galaxy",
        "encode ms",
        "decode ms",
        "one column ms",
        "KS",
        "mean/sd",
        "sd",
        "corr",
    ]);
    for format in formats(args.steps) {
        let (mut bytes, mut encode, mut decode, mut one) = (vec![], vec![], vec![], vec![]);
        let (mut worst, mut largest_ks) = (Achieved::default(), 0.0f64);
        for (_, drawn) in posteriors {
            let columns: Columns = drawn.named().into_iter().take(format.n_columns).collect();
            let (seconds, packed) = best(args.repeat, || (format.encode)(&columns))?;
            bytes.push(packed.len() as f64);
            encode.push(1e3 * seconds);
            let (seconds, back) = best(args.repeat, || (format.decode)(&packed, drawn.n))?;
            decode.push(1e3 * seconds);
            for ((_, old), new) in columns.iter().zip(&back) {
                largest_ks = largest_ks.max(ks_distance(old, new));
            }
            if let Some(column) = format.one {
                let (seconds, _) = best(args.repeat, || column(&packed, "tau_ism"))?;
                one.push(1e3 * seconds);
                let header = codec::Header::parse(&packed)?;
                worst.mean = worst.mean.max(header.achieved.mean);
                worst.sd = worst.sd.max(header.achieved.sd);
                worst.correlation = worst.correlation.max(header.achieved.correlation);
            }
        }
        let kb = bytes.iter().sum::<f64>() / bytes.len().max(1) as f64 / 1e3;
        let [encode, decode, one] = [&mut encode, &mut decode, &mut one].map(|times| median(times));
        let number = |x: f64| if x.is_nan() { "-".to_owned() } else { format!("{x:.2}") };
        let small = |x: f64| format!("{x:.4}");
        report.row(
            json!({
                "bench": "store", "format": format.name, "columns": format.n_columns, "draws": args.draws,
                "galaxies": posteriors.len(), "kb_per_galaxy": kb, "encode_ms": encode, "decode_ms": decode,
                "one_column_ms": if one.is_nan() { None } else { Some(one) }, "largest_ks": largest_ks,
                "mean_error": worst.mean, "sd_error": worst.sd, "correlation_error": worst.correlation,
            }),
            vec![
                format.name.to_owned(),
                format.n_columns.to_string(),
                number(kb),
                number(encode),
                number(decode),
                number(one),
                small(largest_ks),
                small(worst.mean),
                small(worst.sd),
                small(worst.correlation),
            ],
        );
    }
    recipes(args, maker, posteriors, &mut report)?;
    Ok(report)
}

fn recipes(
    args: &StoreArgs,
    maker: Maker<'_>,
    posteriors: &[(Recipe, Draws)],
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut times, mut bytes) = (vec![], 0);
    for (recipe, drawn) in posteriors {
        let (hash, _) = drawn.quantised_hash(recipe.steps_per_width)?;
        bytes = recipe.to_bytes().len() + 2 * hash.as_bytes().len();
        let again = || Ok(recipe.draws(maker.npe, maker.checkpoint, maker.derived, hash).map(drop)?);
        times.push(1e3 * best(args.repeat, again)?.0);
    }
    let ms = median(&mut times);
    report.row(
        json!({
            "bench": "store", "format": "recipe", "columns": crate::infer::N_COLUMNS, "draws": args.draws,
            "galaxies": posteriors.len(), "kb_per_galaxy": bytes as f64 / 1e3, "decode_ms": ms,
        }),
        [
            "recipe",
            &crate::infer::N_COLUMNS.to_string(),
            &format!("{:.3}", bytes as f64 / 1e3),
            "-",
            &format!("{ms:.2}"),
            "-",
            "-",
            "-",
            "-",
            "-",
        ]
        .map(str::to_owned)
        .to_vec(),
    );
    Ok(())
}

/// Seconds of the fastest of some repetitions, and what it gave.
fn best<T>(repeat: usize, mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<(f64, T)> {
    let mut time = || {
        let started = Instant::now();
        let value = work()?;
        Ok::<_, anyhow::Error>((started.elapsed().as_secs_f64(), value))
    };
    let mut fastest = time()?;
    for _ in 1..repeat {
        let next = time()?;
        if next.0 < fastest.0 {
            fastest = next;
        }
    }
    Ok(fastest)
}

fn formats(steps: u32) -> Vec<Format> {
    let packed = move |options: EncodeOptions| {
        move |columns: &Columns<'_>| -> anyhow::Result<Vec<u8>> {
            Ok(codec::encode(columns, &options)?.bytes)
        }
    };
    let lossless = EncodeOptions { lossless: true, ..packing(steps) };
    let unpack = |bytes: &[u8], _: usize| -> anyhow::Result<Vec<Vec<f32>>> {
        let back = codec::decode(bytes)?;
        Ok((0..back.names.len()).map(|i| back.column(i).to_vec()).collect())
    };
    let column = |bytes: &[u8], name: &str| Ok(codec::decode_column(bytes, name)?);
    let all = crate::infer::N_COLUMNS;
    let own = |name, n_columns, options| Format {
        name,
        n_columns,
        encode: Box::new(packed(options)),
        decode: Box::new(unpack),
        one: Some(column),
    };
    #[allow(unused_mut, reason = "grows by what the build has")]
    let mut formats = vec![
        own("sdp1", N_PARAM, packing(steps)),
        own("sdp1", all, packing(steps)),
        own("sdp1 lossless", N_PARAM, lossless),
        Format {
            name: "npy float32",
            n_columns: N_PARAM,
            encode: Box::new(npy),
            decode: Box::new(|bytes, n| Ok(floats(&bytes[NPY_HEADER..], n))),
            one: None,
        },
        Format {
            name: "shuffle + gzip 4",
            n_columns: N_PARAM,
            encode: Box::new(shuffled_gzip),
            decode: Box::new(unshuffled_gzip),
            one: None,
        },
    ];
    #[cfg(feature = "pco")]
    formats.push(Format {
        name: "pcodec float32",
        n_columns: N_PARAM,
        encode: Box::new(pcodec::encode),
        decode: Box::new(pcodec::decode),
        one: None,
    });
    formats
}

const NPY_HEADER: usize = 128;

/// As `numpy.save` writes `[columns, n]` float32.
fn npy(columns: &Columns<'_>) -> anyhow::Result<Vec<u8>> {
    let n = columns.first().map_or(0, |(_, values)| values.len());
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {n}), }}", columns.len());
    while header.len() < NPY_HEADER - 11 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for (_, values) in columns {
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    }
    Ok(bytes)
}

fn floats(bytes: &[u8], n: usize) -> Vec<Vec<f32>> {
    let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    bytes.chunks_exact(4 * n.max(1)).map(|column| column.chunks_exact(4).map(value).collect()).collect()
}

/// HDF5's usual filters: bytes by significance, then deflate at its default level, one chunk per column.
fn shuffled_gzip(columns: &Columns<'_>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (_, values) in columns {
        let mut planes = vec![0; 4 * values.len()];
        for (i, value) in values.iter().enumerate() {
            for (plane, byte) in value.to_le_bytes().into_iter().enumerate() {
                planes[plane * values.len() + i] = byte;
            }
        }
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(4));
        encoder.write_all(&planes)?;
        let chunk = encoder.finish()?;
        bytes.extend((chunk.len() as u32).to_le_bytes());
        bytes.extend(chunk);
    }
    Ok(bytes)
}

fn unshuffled_gzip(mut bytes: &[u8], n: usize) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut columns = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (chunk, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let mut planes = Vec::with_capacity(4 * n);
        flate2::read::ZlibDecoder::new(chunk).read_to_end(&mut planes)?;
        let value = |i: usize| f32::from_le_bytes(std::array::from_fn(|plane| planes[plane * n + i]));
        columns.push((0..n).map(value).collect());
        bytes = rest;
    }
    Ok(columns)
}

#[cfg(feature = "pco")]
mod pcodec {
    use super::Columns;

    /// One chunk per column, at the default level.
    pub fn encode(columns: &Columns<'_>) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (_, values) in columns {
            let chunk = pco::standalone::simple_compress(values, &pco::ChunkConfig::default())?;
            bytes.extend((chunk.len() as u32).to_le_bytes());
            bytes.extend(chunk);
        }
        Ok(bytes)
    }

    pub fn decode(mut bytes: &[u8], _: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut columns = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let (chunk, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
            columns.push(pco::standalone::simple_decompress(chunk)?);
            bytes = rest;
        }
        Ok(columns)
    }
}
