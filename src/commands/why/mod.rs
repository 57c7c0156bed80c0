//! `sedflow why`: from a thing back to the files and seeds it was made from, as a tree or as PROV-JSON.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::Args;

use super::log::typed;
use super::{Context, Outcome};
use crate::output::for_eyes;
use crate::store::{Artifact, Mode, Product, Run, RunId, Store, StoreError, Thing};

mod prov;

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// A galaxy's identifier, a survey, a product's name or hash; or kind:name, such as checkpoint:default,
    /// galaxy:nsa/140, run:3
    thing: String,
    /// How it is told
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    format: Telling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Telling {
    /// A tree, for reading
    Tree,
    /// W3C PROV-JSON, for other programs
    ProvJson,
}

pub fn run(args: WhyArgs, context: &Context) -> anyhow::Result<Outcome> {
    let store = context.open(Mode::Read)?;
    let thing = store.find_thing(&args.thing)?;
    let mut out = io::stdout().lock();
    if args.format == Telling::ProvJson {
        writeln!(out, "{:#}", prov::document(&store, &thing)?)?;
        return Ok(Outcome::Done);
    }
    let mut walk = Walk { store: &store, told: BTreeSet::new(), lines: Vec::new() };
    walk.thing(&thing)?;
    walk.lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(Outcome::Done)
}

struct Walk<'a> {
    store: &'a Store,
    /// Runs and products whose branches were printed already.
    told: BTreeSet<String>,
    lines: Vec<String>,
}

enum Node {
    Run(RunId),
    Product(Product),
    Leaf(Artifact),
}

impl Walk<'_> {
    fn thing(&mut self, thing: &Thing) -> Result<(), StoreError> {
        let (title, children): (String, Vec<Node>) = match thing {
            Thing::Run(run) => return self.nodes("", vec![Node::Run(*run)]),
            Thing::Product(product) => return self.nodes("", vec![Node::Product(product.clone())]),
            Thing::Survey { id, .. } => {
                (thing.handle(), self.store.products_of_survey(*id)?.into_iter().map(Node::Product).collect())
            }
            Thing::Galaxy { id, .. } => {
                (thing.handle(), self.store.products_of_galaxy(*id)?.into_iter().map(Node::Product).collect())
            }
        };
        self.lines.push(for_eyes(title.as_bytes()));
        self.nodes("", children)
    }

    fn nodes(&mut self, indent: &str, nodes: Vec<Node>) -> Result<(), StoreError> {
        let top = self.lines.is_empty();
        let n = nodes.len();
        for (i, node) in nodes.into_iter().enumerate() {
            let (branch, below) = match (top, i + 1 == n) {
                (true, _) => ("", ""),
                (false, true) => ("└─ ", "   "),
                (false, false) => ("├─ ", "│  "),
            };
            let (key, text) = self.title(&node)?;
            let again = key.as_ref().is_some_and(|key| self.told.contains(key));
            let suffix = if again { " (as above)" } else { "" };
            self.lines.push(format!("{indent}{branch}{}{suffix}", for_eyes(text.as_bytes())));
            if !again && let Some(key) = key {
                self.told.insert(key);
                let children = self.children(&node)?;
                self.nodes(&format!("{indent}{below}"), children)?;
            }
        }
        Ok(())
    }

    /// What identifies a node that has children, and what it reads as.
    fn title(&self, node: &Node) -> Result<(Option<String>, String), StoreError> {
        Ok(match node {
            Node::Run(id) => (Some(format!("run:{id}")), run_title(&self.store.run(*id)?)),
            Node::Product(product) => {
                let name = product.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
                let text = format!(
                    "{}{name} [{}] {}",
                    product.kind.as_str(),
                    product.handle(),
                    product.hash.short()
                );
                (Some(product.handle()), text)
            }
            Node::Leaf(artifact) => {
                let gone = if artifact.kind == "file" { "" } else { ", no longer in this catalog" };
                let size = artifact.n_bytes.map_or(String::new(), |n| format!(", {n} bytes"));
                let text =
                    format!("{} {} {}{size}{gone}", artifact.kind, artifact.name, artifact.hash.short());
                (None, text)
            }
        })
    }

    fn children(&self, node: &Node) -> Result<Vec<Node>, StoreError> {
        Ok(match node {
            Node::Product(product) => {
                let parts = self.store.parts_of(product)?.into_iter().map(Node::Product);
                self.store.runs_of(product)?.into_iter().map(Node::Run).chain(parts).collect()
            }
            Node::Run(id) => {
                let inputs = self.store.run_inputs(*id)?.into_iter();
                inputs
                    .map(|input| {
                        let product = if input.kind == "file" {
                            None
                        } else {
                            self.store.product_of_hash(input.hash)?
                        };
                        Ok(product.map_or(Node::Leaf(input), Node::Product))
                    })
                    .collect::<Result<_, StoreError>>()?
            }
            Node::Leaf(_) => vec![],
        })
    }
}

fn run_title(run: &Run) -> String {
    let seed = run.seed.map_or(String::new(), |seed| format!(", seed {seed}"));
    let commit = if run.git_commit == "unknown" { String::new() } else { format!(" ({})", run.git_commit) };
    format!(
        "run {} {}: sedflow {}{seed}, version {}{commit}, {}",
        run.id,
        run.state,
        typed(&run.arguments),
        run.program_version,
        run.started_utc
    )
}
