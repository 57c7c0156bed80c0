//! Lines, areas and text in pixels, written as SVG or PNG by kuva.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use kuva::backend::svg::SvgBackend;
use kuva::render::color::Color as KuvaColor;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::PlotError;

/// An RGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// Colours told apart by everyone (Okabe & Ito 2008), darkest first.
pub mod palette {
    use super::Color;

    pub const BLACK: Color = Color(20, 20, 20);
    pub const BLUE: Color = Color(0, 114, 178);
    pub const VERMILION: Color = Color(213, 94, 0);
    pub const GREEN: Color = Color(0, 158, 115);
    pub const PURPLE: Color = Color(204, 121, 167);
    pub const ORANGE: Color = Color(230, 159, 0);
    pub const SKY: Color = Color(86, 180, 233);
    pub const GREY: Color = Color(120, 120, 120);
    pub const PALE: Color = Color(225, 225, 225);

    /// For curves beside each other.
    pub const SERIES: [Color; 7] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK];
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub color: Color,
    pub width: f64,
    pub dashed: bool,
}

impl Stroke {
    pub fn new(color: Color, width: f64) -> Self {
        Self { color, width, dashed: false }
    }

    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A figure being drawn; x to the right, y down, in pixels.
#[derive(Debug)]
pub struct Canvas {
    scene: Scene,
    /// Text that reads upwards, as it would stand on a canvas turned by a quarter to the right.
    turned: Vec<Text>,
}

#[derive(Debug, Clone)]
struct Text {
    at: (f64, f64),
    content: String,
    size: u32,
    anchor: Anchor,
    color: Color,
}

impl Text {
    fn primitive(&self, (x, y): (f64, f64), rotate: Option<f64>) -> Primitive {
        Primitive::Text {
            x,
            y,
            content: self.content.clone(),
            size: self.size,
            anchor: match self.anchor {
                Anchor::Start => TextAnchor::Start,
                Anchor::Middle => TextAnchor::Middle,
                Anchor::End => TextAnchor::End,
            },
            rotate,
            bold: false,
            color: Some(kuva(self.color)),
        }
    }
}

/// Pixels of a PNG figure per pixel of the canvas, for print.
const PNG_SCALE: f32 = 2.0;

impl Canvas {
    pub fn new(width: f64, height: f64) -> Self {
        Self { scene: scene(width, height), turned: vec![] }
    }

    pub fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        if points.len() > 1 {
            self.scene.add(Primitive::PolyLine {
                points: points.to_vec(),
                stroke: kuva(stroke.color),
                stroke_width: stroke.width,
                stroke_dasharray: stroke.dashed.then(|| "5,3".into()),
            });
        }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.polyline(&[from, to], stroke);
    }

    /// Fills closed outlines together; an outline that runs the other way round cuts a hole.
    pub fn fill(&mut self, outlines: &[Vec<(f64, f64)>], color: Color, opacity: f64) {
        let mut d = String::new();
        for outline in outlines.iter().filter(|outline| outline.len() > 2) {
            for (i, (x, y)) in outline.iter().enumerate() {
                d.push_str(&format!("{} {x:.2} {y:.2} ", if i == 0 { 'M' } else { 'L' }));
            }
            d.push_str("Z ");
        }
        if !d.is_empty() {
            self.scene.add(Primitive::Path(Box::new(PathData {
                d: d.trim_end().to_owned(),
                fill: Some(kuva(color)),
                stroke: KuvaColor::None,
                stroke_width: 0.0,
                opacity: Some(opacity),
                stroke_dasharray: None,
            })));
        }
    }

    pub fn circle(&mut self, (cx, cy): (f64, f64), r: f64, fill: Option<Color>, stroke: Option<Stroke>) {
        self.scene.add(Primitive::Circle {
            cx,
            cy,
            r,
            fill: fill.map_or(KuvaColor::None, kuva),
            fill_opacity: None,
            stroke: stroke.map(|s| kuva(s.color)),
            stroke_width: stroke.map(|s| s.width),
        });
    }

    /// Text whose baseline starts, is centred or ends at the point; `turned` reads upwards.
    pub fn text(&mut self, (x, y): (f64, f64), content: &str, size: u32, anchor: Anchor, turned: bool) {
        self.colored_text((x, y), content, size, anchor, turned, palette::BLACK);
    }

    pub fn colored_text(
        &mut self,
        (x, y): (f64, f64),
        content: &str,
        size: u32,
        anchor: Anchor,
        turned: bool,
        color: Color,
    ) {
        let text = Text { at: (x, y), content: content.to_owned(), size, anchor, color };
        if turned {
            self.turned.push(text);
        } else {
            self.scene.add(text.primitive((x, y), None));
        }
    }

    pub fn svg(&self) -> String {
        let mut scene = scene(self.scene.width, self.scene.height);
        scene.elements.clone_from(&self.scene.elements);
        self.turned.iter().for_each(|text| scene.add(text.primitive(text.at, Some(-90.0))));
        SvgBackend::new().with_pretty(true).render_scene(&scene)
    }

    /// PNG bytes, at twice the pixels for print.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        let render = |scene: &Scene| {
            kuva::PngBackend::new().with_scale(PNG_SCALE).render_scene(scene).map_err(PlotError::Raster)
        };
        let upright = render(&self.scene)?;
        if self.turned.is_empty() {
            return Ok(upright);
        }
        // kuva's raster text loses its smooth edges when turned, so it is drawn straight and its pixels are turned.
        let (width, height) = (self.scene.width, self.scene.height);
        let mut sideways = scene(height, width);
        self.turned
            .iter()
            .for_each(|text| sideways.add(text.primitive((height - text.at.1, text.at.0), None)));
        multiply_turned(&upright, &render(&sideways)?).map_err(PlotError::Raster)
    }

    /// [`Self::png`] in at most 256 colours, a third of the size: right for a drawing of few colours with smooth edges.
    pub fn small_png(&self) -> Result<Vec<u8>, PlotError> {
        let (width, height, pixels) = rgb(&self.png()?).map_err(PlotError::Raster)?;
        indexed(width, height, &pixels).map_err(PlotError::Raster)
    }
}

fn scene(width: f64, height: f64) -> Scene {
    let mut scene = Scene::new(width, height);
    scene.font_family = Some("DejaVu Sans, Helvetica, Arial, sans-serif".into());
    scene
}

/// Two PNGs, the second turned by a quarter to the left, laid over each other as on transparent film.
fn multiply_turned(upright: &[u8], sideways: &[u8]) -> Result<Vec<u8>, String> {
    let (width, height, mut pixels) = rgb(upright)?;
    let (other_width, other_height, other) = rgb(sideways)?;
    if (other_width, other_height) != (height, width) {
        return Err(format!("{width} x {height} and {other_width} x {other_height} pixels do not match"));
    }
    let (w, h) = (width as usize, height as usize);
    for y in 0..h {
        for x in 0..w {
            let (here, there) = (3 * (y * w + x), 3 * (x * h + (h - 1 - y)));
            for k in 0..3 {
                let product = u16::from(pixels[here + k]) * u16::from(other[there + k]);
                pixels[here + k] = (product / 255) as u8;
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(Cursor::new(&mut bytes), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// A PNG with a palette of at most 256 colours: those there are, told apart in as few bits as that takes.
fn indexed(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>, String> {
    // neighbours mostly have the same colour
    let runs: Vec<(&[u8], usize)> =
        pixels.as_chunks::<3>().0.chunk_by(|a, b| a == b).map(|run| (&run[0][..], run.len())).collect();
    let mut colors: BTreeMap<&[u8], u64> = BTreeMap::new();
    runs.iter().for_each(|(color, n)| *colors.entry(color).or_default() += *n as u64);
    let key = |color: &[u8], drop: u32| [color[0] >> drop, color[1] >> drop, color[2] >> drop];
    let drop = (0..8)
        .find(|drop| colors.keys().map(|color| key(color, *drop)).collect::<BTreeSet<_>>().len() <= 256)
        .ok_or("there are too many colours")?;
    // each entry is the mean of the pixels that it stands for
    let mut palette: BTreeMap<[u8; 3], ([u64; 3], u64)> = BTreeMap::new();
    for (color, n) in &colors {
        let (sum, of) = palette.entry(key(color, drop)).or_default();
        (0..3).for_each(|k| sum[k] += n * u64::from(color[k]));
        *of += n;
    }
    let place: BTreeMap<[u8; 3], u8> = palette.keys().enumerate().map(|(i, key)| (*key, i as u8)).collect();
    let places: Vec<u8> =
        runs.iter().flat_map(|(color, n)| std::iter::repeat_n(place[&key(color, drop)], *n)).collect();
    let entries: Vec<u8> =
        palette.values().flat_map(|(sum, n)| sum.map(|sum| ((sum + n / 2) / n) as u8)).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(Cursor::new(&mut bytes), width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(entries);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&places))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Width, height and 8-bit red, green, blue of an opaque PNG.
fn rgb(bytes: &[u8]) -> Result<(u32, u32, Vec<u8>), String> {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().map_err(|e| e.to_string())?;
    let size = reader.output_buffer_size().ok_or("the image is too large")?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(|e| e.to_string())?;
    let channels = info.color_type.samples();
    if info.bit_depth != png::BitDepth::Eight || channels < 3 {
        return Err(format!("{:?} of {:?} bits is not what was drawn", info.color_type, info.bit_depth));
    }
    let rgb = pixels[..info.buffer_size()].chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]]).collect();
    Ok((info.width, info.height, rgb))
}

fn kuva(color: Color) -> KuvaColor {
    KuvaColor::Rgb(color.0, color.1, color.2)
}
