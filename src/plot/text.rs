//! How wide text is, and labels with subscripts.
//!
//! Widths are those of DejaVu Sans, the font of PNG figures and the first choice of SVG ones.

use super::canvas::{Anchor, Canvas};

/// Advances of the printable ASCII characters, in 2048ths of the font size.
const ASCII: [u16; 95] = [
    651, 821, 942, 1716, 1303, 1946, 1597, 563, 799, 799, 1024, 1716, 651, 739, 651, 690, 1303, 1303, 1303,
    1303, 1303, 1303, 1303, 1303, 1303, 1303, 690, 690, 1716, 1716, 1716, 1087, 2048, 1401, 1405, 1430, 1577,
    1294, 1178, 1587, 1540, 604, 604, 1343, 1141, 1767, 1532, 1612, 1235, 1612, 1423, 1300, 1251, 1499, 1401,
    2025, 1403, 1251, 1403, 799, 690, 799, 1716, 1024, 1024, 1255, 1300, 1126, 1300, 1260, 721, 1300, 1298,
    569, 569, 1186, 569, 1995, 1298, 1253, 1300, 1300, 842, 1067, 803, 1298, 1212, 1675, 1212, 1212, 1075,
    1303, 690, 1303, 1716,
];

fn advance(c: char) -> u16 {
    if let Some(&known) = (c as usize).checked_sub(32).and_then(|i| ASCII.get(i)) {
        return known;
    }
    match c {
        '₀'..='₉' | '⁰' | '¹' | '²' | '³' | '⁴'..='⁹' => 821,
        '−' | '×' | '±' => 1716,
        'α'..='ω' => 1280,
        _ => 1400,
    }
}

/// Width of a line of text in pixels; exact for ASCII, close for the other characters of our labels.
pub fn width(text: &str, size: u32) -> f64 {
    text.chars().map(|c| f64::from(advance(c))).sum::<f64>() * f64::from(size) / 2048.0
}

/// A label cut into pieces: text, and whether it is a subscript. `τ_ISM [x]` has the subscript `ISM`.
fn pieces(label: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let mut rest = label;
    while let Some(at) = rest.find('_') {
        pieces.push((&rest[..at], false));
        let after = &rest[at + 1..];
        let end = after.find([' ', '=', '_', '/', ']', ')']).unwrap_or(after.len());
        pieces.push((&after[..end], true));
        rest = &after[end..];
    }
    pieces.push((rest, false));
    pieces.retain(|(text, _)| !text.is_empty());
    pieces
}

fn small(size: u32) -> u32 {
    (size * 3 / 4).max(7)
}

/// Width of a label with its subscripts.
pub fn label_width(label: &str, size: u32) -> f64 {
    pieces(label).iter().map(|(text, sub)| width(text, if *sub { small(size) } else { size })).sum()
}

/// The largest size, 9 at least, at which a label is no wider than `room`.
pub fn fitting_size(label: &str, largest: u32, room: f64) -> u32 {
    (9..=largest).rev().find(|&size| label_width(label, size) <= room).unwrap_or(9)
}

/// Draws a label in which `_` begins a subscript that ends at the next space, slash or bracket; `turned` reads upwards.
pub fn draw_label(
    canvas: &mut Canvas,
    (x, y): (f64, f64),
    label: &str,
    size: u32,
    anchor: Anchor,
    turned: bool,
) {
    let total = label_width(label, size);
    let mut pen = match anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * total,
        Anchor::End => -total,
    };
    for (text, sub) in pieces(label) {
        let (size, drop) = if sub { (small(size), 0.22 * f64::from(size)) } else { (size, 0.0) };
        let at = if turned { (x + drop, y - pen) } else { (x + pen, y + drop) };
        canvas.text(at, text, size, Anchor::Start, turned);
        pen += width(text, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_at_their_subscripts() {
        assert_eq!(pieces("log M⋆"), [("log M⋆", false)]);
        assert_eq!(pieces("τ_ISM"), [("τ", false), ("ISM", true)]);
        assert_eq!(pieces("t_burst [Gyr]"), [("t", false), ("burst", true), (" [Gyr]", false)]);
        assert_eq!(pieces("SFR [M_☉/yr]"), [("SFR [M", false), ("☉", true), ("/yr]", false)]);
        assert_eq!(pieces("_"), []);
    }

    #[test]
    fn widths_add_up_and_scale() {
        assert!((width("0123", 2048) - 4.0 * 1303.0).abs() < 1e-9);
        assert!((width("ab", 20) - 2.0 * width("ab", 10)).abs() < 1e-9);
        assert!(label_width("τ_ISM", 12) < width("τISM", 12));
    }
}
