//! A screen as a picture or text. Blocks and dots are drawn as shapes, so that the picture needs no font for them.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::theme::Kind;

/// Pixels of a cell.
const CELL: (f64, f64) = (8.4, 17.0);

/// The screen as plain text, one line per row.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
            if skip > 0 {
                skip -= 1;
                continue;
            }
            line.push_str(symbol);
            skip = super::text::width(symbol).saturating_sub(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn colors(kind: Kind) -> ((u8, u8, u8), (u8, u8, u8)) {
    match kind {
        Kind::Dark => ((0xd8, 0xdc, 0xe4), (0x16, 0x19, 0x20)),
        Kind::Light | Kind::Plain => ((0x1c, 0x1e, 0x22), (0xfd, 0xfd, 0xfb)),
    }
}

fn rgb(color: Color, none: (u8, u8, u8)) -> (u8, u8, u8) {
    match color {
        Color::Rgb(r, g, b) => (r, g, b),
        Color::Black => (0, 0, 0),
        Color::White => (255, 255, 255),
        Color::Red | Color::LightRed => (205, 49, 49),
        Color::Green | Color::LightGreen => (13, 188, 121),
        Color::Yellow | Color::LightYellow => (229, 229, 16),
        Color::Blue | Color::LightBlue => (36, 114, 200),
        Color::Gray | Color::DarkGray => (128, 128, 128),
        _ => none,
    }
}

/// One shape of a picture.
enum Shape {
    Rect(f64, f64, f64, f64, (u8, u8, u8)),
    Dot(f64, f64, f64, (u8, u8, u8)),
    Text { x: f64, y: f64, cells: usize, text: String, color: (u8, u8, u8), bold: bool, underlined: bool },
}

fn shapes(buffer: &Buffer, kind: Kind) -> Vec<Shape> {
    let (fore, back) = colors(kind);
    let (w, h) = CELL;
    let mut shapes = Vec::new();
    for y in 0..buffer.area.height {
        let top = f64::from(y) * h;
        let mut run: Option<Shape> = None;
        let mut background: Option<Shape> = None;
        for x in 0..buffer.area.width {
            let Some(cell) = buffer.cell((x, y)) else { continue };
            let left = f64::from(x) * w;
            let reversed = cell.modifier.contains(Modifier::REVERSED);
            let (mut fg, mut bg) = (rgb(cell.fg, fore), rgb(cell.bg, back));
            if reversed {
                (fg, bg) = (bg, fg);
            }
            if cell.modifier.contains(Modifier::DIM) {
                let mix = |a: u8, b: u8| ((u16::from(a) * 6 + u16::from(b) * 4) / 10) as u8;
                fg = (mix(fg.0, bg.0), mix(fg.1, bg.1), mix(fg.2, bg.2));
            }
            match &mut background {
                Some(Shape::Rect(from, _, width, _, color))
                    if *color == bg && (*from + *width - left).abs() < 1e-6 =>
                {
                    *width += w
                }
                _ => {
                    shapes
                        .extend(background.take().filter(|s| !matches!(s, Shape::Rect(.., c) if *c == back)));
                    background = Some(Shape::Rect(left, top, w, h, bg));
                }
            }
            let symbol = cell.symbol();
            let first = symbol.chars().next().unwrap_or(' ');
            if let Some(drawn) = block(first, left, top, fg) {
                shapes.extend(background.take().filter(|s| !matches!(s, Shape::Rect(.., c) if *c == back)));
                shapes.extend(run.take());
                shapes.extend(drawn);
                continue;
            }
            if symbol.trim().is_empty() {
                shapes.extend(run.take());
                continue;
            }
            let (bold, under) =
                (cell.modifier.contains(Modifier::BOLD), cell.modifier.contains(Modifier::UNDERLINED));
            match &mut run {
                Some(Shape::Text { x: from, cells, text, color, bold: b, underlined, .. })
                    if *color == fg
                        && *b == bold
                        && *underlined == under
                        && (*from + *cells as f64 * w - left).abs() < 1e-6 =>
                {
                    text.push_str(symbol);
                    *cells += super::text::width(symbol).max(1);
                }
                _ => {
                    shapes.extend(run.take());
                    run = Some(Shape::Text {
                        x: left,
                        y: top,
                        cells: super::text::width(symbol).max(1),
                        text: symbol.to_owned(),
                        color: fg,
                        bold,
                        underlined: under,
                    });
                }
            }
        }
        shapes.extend(background.filter(|s| !matches!(s, Shape::Rect(.., c) if *c == back)));
        shapes.extend(run);
    }
    // backgrounds first, so that no cell's ground covers its neighbour's letters
    let (grounds, rest): (Vec<Shape>, Vec<Shape>) = shapes
        .into_iter()
        .partition(|shape| matches!(shape, Shape::Rect(_, _, _, height, _) if *height == h));
    grounds.into_iter().chain(rest).collect()
}

/// Braille dots and block elements as shapes; none for any other character.
fn block(c: char, left: f64, top: f64, color: (u8, u8, u8)) -> Option<Vec<Shape>> {
    let (w, h) = CELL;
    let code = c as u32;
    let part = |x0: f64, y0: f64, x1: f64, y1: f64| {
        // a hair less than the cell, to be told from its background
        Shape::Rect(left + x0 * w, top + y0 * h, (x1 - x0) * w, (y1 - y0) * h - 1e-3, color)
    };
    Some(match c {
        '\u{2800}'..='\u{28ff}' => {
            const DOTS: [(u8, u8); 8] = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
            let bits = code - 0x2800;
            let on = DOTS.into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
            on.map(|(_, (x, y))| {
                Shape::Dot(
                    left + w * (0.25 + 0.5 * f64::from(x)),
                    top + h * (0.125 + 0.25 * f64::from(y)),
                    1.25,
                    color,
                )
            })
            .collect()
        }
        '█' => vec![part(0.0, 0.0, 1.0, 1.0)],
        '▀' => vec![part(0.0, 0.0, 1.0, 0.5)],
        '▁'..='▇' => {
            let eighths = f64::from(code - 0x2580);
            vec![part(0.0, 1.0 - eighths / 8.0, 1.0, 1.0)]
        }
        '─' => vec![part(0.0, 0.48, 1.0, 0.55)],
        '│' => vec![part(0.44, 0.0, 0.56, 1.0)],
        '░' | '▒' | '▓' => {
            let step = match c {
                '░' => 4,
                '▒' => 2,
                _ => 1,
            };
            let dots = (0..16_u32).filter(|i| (i + i / 4) % step == 0);
            dots.map(|i| {
                Shape::Dot(
                    left + w * (0.125 + 0.25 * f64::from(i % 4)),
                    top + h * (0.125 + 0.25 * f64::from(i / 4)),
                    1.0,
                    color,
                )
            })
            .collect()
        }
        _ => return None,
    })
}

fn hex((r, g, b): (u8, u8, u8)) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// The screen as SVG.
pub fn svg(buffer: &Buffer, kind: Kind) -> String {
    let (w, h) = CELL;
    let (width, height) = (f64::from(buffer.area.width) * w, f64::from(buffer.area.height) * h);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{:.0}\" viewBox=\"-10 -10 {:.1} {:.1}\" \
         font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect x=\"-10\" y=\"-10\" width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{}\"/>\n",
        width + 20.0,
        height + 20.0,
        width + 20.0,
        height + 20.0,
        hex(colors(kind).1)
    );
    for shape in shapes(buffer, kind) {
        // writing to a String does not fail
        let _ = match shape {
            Shape::Rect(x, y, w, h, color) => {
                writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{}\"/>",
                    hex(color)
                )
            }
            Shape::Dot(x, y, r, color) => {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" fill=\"{}\"/>", hex(color))
            }
            Shape::Text { x, y, cells, text, color, bold, underlined } => {
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let bold = if bold { " font-weight=\"bold\"" } else { "" };
                let under = if underlined { " text-decoration=\"underline\"" } else { "" };
                writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" xml:space=\"preserve\" fill=\"{}\"{bold}{under}>{escaped}</text>",
                    y + 13.0,
                    cells as f64 * w,
                    hex(color)
                )
            }
        };
    }
    svg + "</svg>\n"
}

/// The screen as PNG.
pub fn png(buffer: &Buffer, kind: Kind) -> Result<Vec<u8>, crate::plot::PlotError> {
    use crate::plot::canvas::{Anchor, Canvas, Color as Paint};
    let (w, h) = CELL;
    let (width, height) = (f64::from(buffer.area.width) * w, f64::from(buffer.area.height) * h);
    let mut canvas = Canvas::new(width, height);
    let paint = |(r, g, b): (u8, u8, u8)| Paint(r, g, b);
    let area = |x: f64, y: f64, w: f64, h: f64| vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)];
    canvas.fill(&[area(0.0, 0.0, width, height)], paint(colors(kind).1), 1.0);
    for shape in shapes(buffer, kind) {
        match shape {
            Shape::Rect(x, y, w, h, color) => canvas.fill(&[area(x, y, w, h)], paint(color), 1.0),
            Shape::Dot(x, y, r, color) => canvas.circle((x, y), r, Some(paint(color)), None),
            Shape::Text { x, y, text, color, .. } => {
                // the font may be proportional: every letter goes to its own cell
                let mut at = x;
                for c in text.chars() {
                    let cells = super::text::width(c.encode_utf8(&mut [0; 4])) as f64;
                    // letters wider than a cell would lie over their neighbours
                    let size = match c {
                        'W' | '%' | '@' => 11,
                        'M' | 'm' | 'w' => 12,
                        _ => 13,
                    };
                    canvas.colored_text(
                        (at + 0.5 * w * cells, y + 13.0),
                        &c.to_string(),
                        size,
                        Anchor::Middle,
                        false,
                        paint(color),
                    );
                    at += cells * w;
                }
            }
        }
    }
    canvas.small_png()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn a_picture_holds_the_text_escaped_and_the_dots_as_shapes() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        buffer.set_string(0, 0, "a<b 星", Style::new().fg(Color::Rgb(1, 2, 3)));
        buffer.set_string(0, 1, "⡁▄", Style::new());
        assert_eq!(text(&buffer), "a<b 星\n⡁▄\n");
        let svg = svg(&buffer, Kind::Dark);
        assert!(svg.contains("a&lt;b") && svg.contains("#010203"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains('⡁') && !svg.contains('▄'));
    }
}
