//! A report as one file that needs nothing else: HTML with figures as inline SVG, or Markdown with
//! figures as data.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A part of a document.
#[derive(Debug, Clone)]
pub enum Block {
    /// Level 2 or 3.
    Heading(u8, String),
    Text(String),
    /// Headings and rows; all but the first column are numbers.
    Table {
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    Figure {
        svg: String,
        caption: String,
    },
}

#[derive(Debug, Clone, Default)]
pub struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

impl Document {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: vec![] }
    }

    pub fn heading(&mut self, level: u8, text: impl Into<String>) {
        self.blocks.push(Block::Heading(level, text.into()));
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        self.blocks.push(Block::Table { head: head.iter().map(|&cell| cell.to_owned()).collect(), rows });
    }

    pub fn figure(&mut self, svg: String, caption: impl Into<String>) {
        self.blocks.push(Block::Figure { svg, caption: caption.into() });
    }

    pub fn html(&self) -> String {
        let mut body = format!("<h1>{}</h1>\n", escaped(&self.title));
        for block in &self.blocks {
            body += &match block {
                Block::Heading(level, text) => format!("<h{level}>{}</h{level}>\n", escaped(text)),
                Block::Text(text) => format!("<p>{}</p>\n", escaped(text)),
                Block::Table { head, rows } => {
                    let cells = |row: &[String], tag: &str| -> String {
                        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
                    };
                    let rows: String =
                        rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row, "td"))).collect();
                    format!("<table>\n<tr>{}</tr>\n{rows}</table>\n", cells(head, "th"))
                }
                Block::Figure { svg, caption } => format!(
                    "<figure>\n{}\n<figcaption>{}</figcaption>\n</figure>\n",
                    inline(svg),
                    escaped(caption)
                ),
            };
        }
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n\
             </html>\n",
            escaped(&self.title)
        )
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for block in &self.blocks {
            text += &match block {
                Block::Heading(level, heading) => {
                    format!("\n{} {heading}\n", "#".repeat(usize::from(*level)))
                }
                Block::Text(paragraph) => format!("\n{paragraph}\n"),
                Block::Table { head, rows } => {
                    let line = |row: &[String]| {
                        format!(
                            "| {} |\n",
                            row.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | ")
                        )
                    };
                    let rule = format!("|---|{}\n", "---:|".repeat(head.len().saturating_sub(1)));
                    format!("\n{}{rule}{}", line(head), rows.iter().map(|row| line(row)).collect::<String>())
                }
                Block::Figure { svg, caption } => {
                    format!("\n![{caption}](data:image/svg+xml;base64,{})\n", BASE64_STANDARD.encode(svg))
                }
            };
        }
        text
    }
}

/// SVG without what belongs to a file of its own, fitting the width of the page.
fn inline(svg: &str) -> &str {
    svg.find("<svg").map_or(svg, |start| svg[start..].trim_end())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "\
body { font: 15px/1.5 'DejaVu Sans', Helvetica, Arial, sans-serif; color: #141414; max-width: 1040px; margin: 2em auto; \
padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1em 0; font-size: 0.9em; }
th, td { padding: 0.2em 0.7em; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5em 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 0.9em; max-width: 48em; }
p { max-width: 48em; }
";

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let mut document = Document::new("A < B & \"C\"");
        document.heading(2, "Numbers");
        document.text("x > 1");
        document
            .table(&["name", "value"], vec![vec!["a|b".into(), "1".into()], vec!["<i>".into(), "2".into()]]);
        document.figure(
            "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>\n".into(),
            "one",
        );
        document
    }

    #[test]
    fn html_escapes_text_and_holds_its_figures() {
        let html = document().html();
        assert!(html.contains("<h1>A &lt; B &amp; &quot;C&quot;</h1>") && html.contains("<p>x &gt; 1</p>"));
        assert!(html.contains("<td>&lt;i&gt;</td>") && !html.contains("<?xml") && html.contains("<svg"));
        // Nothing is fetched: the one address is the name of a namespace.
        let addresses = html.matches("http").count();
        assert_eq!((addresses, html.contains("src="), html.contains("href=")), (1, false, false));
    }

    #[test]
    fn markdown_holds_its_figures_as_data() {
        let text = document().markdown();
        assert!(text.contains("| a\\|b | 1 |") && text.contains("|---|---:|\n"));
        assert!(text.contains("![one](data:image/svg+xml;base64,PD94bWwg"));
    }
}
