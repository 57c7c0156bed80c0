//! Lines, areas and text in pixels, written as SVG or PNG by kuva.

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
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Self {
        let mut scene = Scene::new(width, height);
        scene.font_family = Some("DejaVu Sans, Helvetica, Arial, sans-serif".into());
        Self { scene }
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
        self.scene.add(Primitive::Text {
            x,
            y,
            content: content.to_owned(),
            size,
            anchor: match anchor {
                Anchor::Start => TextAnchor::Start,
                Anchor::Middle => TextAnchor::Middle,
                Anchor::End => TextAnchor::End,
            },
            rotate: turned.then_some(-90.0),
            bold: false,
            color: Some(kuva(color)),
        });
    }

    pub fn svg(&self) -> String {
        SvgBackend::new().with_pretty(true).render_scene(&self.scene)
    }

    /// PNG bytes, at twice the pixels for print.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        kuva::PngBackend::new().with_scale(2.0).render_scene(&self.scene).map_err(PlotError::Raster)
    }
}

fn kuva(color: Color) -> KuvaColor {
    KuvaColor::Rgb(color.0, color.1, color.2)
}
