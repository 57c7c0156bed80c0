//! Forms that put a command line together; the line is shown while it is filled in, and is all that is run.

use super::line::Line;

/// Label, option (empty for a word by itself), value, help.
type FieldSpec = (&'static str, &'static str, &'static str, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Train,
    Resume,
    Validate,
    Infer,
    Ingest,
    Release,
}

impl Kind {
    /// Those that the view of runs offers.
    pub const RUNS: [Kind; 4] = [Kind::Ingest, Kind::Infer, Kind::Validate, Kind::Release];

    pub const fn title(self) -> &'static str {
        match self {
            Kind::Train => "train a flow",
            Kind::Resume => "go on with a training",
            Kind::Validate => "validate a checkpoint",
            Kind::Infer => "infer posteriors",
            Kind::Ingest => "take in a table of galaxies",
            Kind::Release => "build a release",
        }
    }

    /// The words of the command, and its fields: label, option (empty for a word by itself), value, help.
    fn fields(self) -> (&'static [&'static str], Vec<FieldSpec>) {
        match self {
            Kind::Train => (
                &["train"],
                vec![
                    ("name", "--name", "model", "of the checkpoint"),
                    ("budget", "--budget", "30m", "time to train: 90s, 30m, 2h"),
                    ("training set", "--set", "", "empty: simulate while training"),
                    ("search", "--search", "", "settings to try first"),
                    ("members", "--members", "", "flows of an ensemble"),
                    ("bands", "--bands", "", "empty: those of the noise model"),
                    ("prior", "--prior", "", "empty: default"),
                    ("seed", "--seed", "", "empty: 0"),
                ],
            ),
            Kind::Resume => (
                &["train", "--resume"],
                vec![
                    ("name", "--name", "", "of the training"),
                    ("budget", "--budget", "60m", "the whole time, with what was spent"),
                    ("training set", "--set", "", "as before"),
                    ("members", "--members", "", "as before"),
                    ("seed", "--seed", "", "as before"),
                ],
            ),
            Kind::Validate => (
                &["validate"],
                vec![
                    ("checkpoint", "--checkpoint", "sdss-ugriz", "name, hash or file"),
                    ("mocks", "--mocks", "1000", "simulated galaxies to look at"),
                    ("draws", "--draws", "1000", "per mock"),
                    ("galaxies", "--galaxies", "", "real galaxies for predictive checks"),
                    ("report", "--report", "", "write all of it to this .html or .md"),
                ],
            ),
            Kind::Infer => (
                &["infer"],
                vec![
                    ("where", "--where", "", "a condition; empty: all galaxies"),
                    ("checkpoint", "--checkpoint", "sdss-ugriz", "name or file"),
                    ("name", "--name", "", "of the posterior set"),
                    ("draws", "--draws", "10000", "per galaxy"),
                    ("method", "--method", "auto", "npe, is, auto or mcmc"),
                ],
            ),
            Kind::Ingest => (
                &["ingest"],
                vec![
                    ("file", "", "", "FITS, CSV, TSV, ECSV, VOTable or Parquet"),
                    ("layout", "--layout", "", "empty: found from the columns"),
                    ("survey", "--survey", "", "empty: as the layout says"),
                    ("cuts", "--cuts", "", "such as sdss-photo"),
                ],
            ),
            Kind::Release => (
                &["release", "build"],
                vec![
                    ("set", "", "", "the posterior set"),
                    ("file", "--out", "release.db", "must not exist"),
                    ("where", "--where", "", "a condition; empty: all galaxies"),
                    ("profile", "--profile", "full", "full or small"),
                    ("licence", "--licence", "", "such as CC-BY-4.0"),
                    ("citation", "--citation", "", "how to cite it"),
                    ("describe", DESCRIBE, "", "COLUMN=UNIT: TEXT; COLUMN=-: TEXT, of your own columns"),
                ],
            ),
        }
    }
}

/// The option that may be given several times, in one field with semicolons between.
const DESCRIBE: &str = "--describe";

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub label: &'static str,
    option: &'static str,
    pub line: Line,
    pub help: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub kind: Kind,
    words: &'static [&'static str],
    pub fields: Vec<Field>,
    pub cursor: usize,
}

impl Form {
    /// With values for some labels.
    pub fn new(kind: Kind, values: &[(&str, &str)]) -> Self {
        let (words, fields) = kind.fields();
        let fields = fields
            .into_iter()
            .map(|(label, option, value, help)| {
                let given = values.iter().find(|(name, _)| *name == label).map(|(_, value)| *value);
                Field { label, option, line: Line::new(given.unwrap_or(value)), help }
            })
            .collect();
        Self { kind, words, fields, cursor: 0 }
    }

    /// The arguments after the catalog; words by themselves come last, after `--`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = self.words.iter().map(|word| (*word).to_owned()).collect();
        let filled = || self.fields.iter().filter(|field| !field.line.text().trim().is_empty());
        for field in filled().filter(|field| !field.option.is_empty()) {
            let text = field.line.text();
            let values = if field.option == DESCRIBE { text.split(';').collect() } else { vec![text] };
            // one word, so that a value cannot become an option
            let given = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty());
            arguments.extend(given.map(|value| format!("{}={value}", field.option)));
        }
        let words: Vec<String> = filled()
            .filter(|field| field.option.is_empty())
            .map(|field| field.line.text().trim().to_owned())
            .collect();
        if !words.is_empty() {
            arguments.push("--".to_owned());
            arguments.extend(words);
        }
        arguments
    }

    /// What is lacking to run it.
    pub fn lacks(&self) -> Option<&'static str> {
        let needed = |field: &&Field| {
            field.option.is_empty()
                || matches!((self.kind, field.label), (Kind::Train | Kind::Resume, "name"))
        };
        self.fields
            .iter()
            .filter(needed)
            .find(|field| field.line.text().trim().is_empty())
            .map(|field| field.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn every_form_makes_a_command_line_that_the_program_takes() {
        let values =
            [("file", "-x.fits"), ("set", "s"), ("name", "m"), ("where", "z < 1 -- x"), ("report", "r.html")];
        for kind in [Kind::Train, Kind::Resume, Kind::Validate, Kind::Infer, Kind::Ingest, Kind::Release] {
            let form = Form::new(kind, &values);
            let words =
                ["sedflow".to_owned(), "-C".into(), "c.db".into()].into_iter().chain(form.arguments());
            let parsed = crate::cli::Cli::try_parse_from(words);
            assert!(
                parsed.is_ok(),
                "{kind:?}: {}",
                parsed.err().map(|error| error.to_string()).unwrap_or_default()
            );
            assert_eq!(form.lacks(), None);
        }
        assert_eq!(Form::new(Kind::Ingest, &[]).lacks(), Some("file"));
        let described =
            Form::new(Kind::Release, &[("set", "s"), ("describe", "A=log(solMass): mass; B=-: a flag;")]);
        let arguments = described.arguments();
        assert!(arguments.contains(&"--describe=A=log(solMass): mass".to_owned()), "{arguments:?}");
        assert!(arguments.contains(&"--describe=B=-: a flag".to_owned()), "{arguments:?}");
    }
}
