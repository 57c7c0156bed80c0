//! Worker threads. Each owns a read-only connection of its own, takes requests from a channel and answers by
//! messages; the thread that draws never waits for any of them.

pub mod children;
pub mod galaxy;
pub mod list;
pub mod products;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::message::Msg;
use crate::store::{Mode, Store, StoreError};

/// The threads, and the way to ask them.
pub struct Workers {
    list: list::Handle,
    galaxy: Sender<galaxy::GalaxyAsk>,
    products: Sender<products::ProductsAsk>,
    catalog: PathBuf,
    answers: Sender<Msg>,
}

impl Workers {
    /// Starts them on a catalog, which may not be there (yet).
    pub fn start(catalog: PathBuf, answers: &Sender<Msg>) -> Self {
        let galaxy = galaxy::start(catalog.clone(), answers.clone());
        let list = list::start(catalog.clone(), answers.clone());
        let products = products::start(catalog.clone(), answers.clone());
        Self { list, galaxy, products, catalog, answers: answers.clone() }
    }

    pub fn list(&self, ask: list::ListAsk) {
        self.list.ask(ask);
    }

    /// Runs this program on the catalog with these arguments and says how it went.
    pub fn make(&self, arguments: Vec<String>, what: String) {
        let (catalog, answers) = (self.catalog.clone(), self.answers.clone());
        std::thread::spawn(move || {
            let run = || -> std::io::Result<std::process::Output> {
                let mut command = std::process::Command::new(std::env::current_exe()?);
                command.arg("--quiet").arg("-C").arg(catalog).args(arguments);
                command.stdin(std::process::Stdio::null()).output()
            };
            let said = match run() {
                Ok(output) if output.status.success() => Ok(format!("wrote {what}")),
                Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(error) => Err(format!("cannot run sedflow: {error}")),
            };
            let _ = answers.send(Msg::Said(said));
        });
    }

    /// Writes a file on a thread of its own, as a disk may be slow, and says how it went.
    pub fn write(
        &self,
        path: PathBuf,
        write: impl FnOnce(&std::path::Path) -> Result<(), String> + Send + 'static,
    ) {
        let answers = self.answers.clone();
        std::thread::spawn(move || {
            let _ = answers.send(Msg::Said(write(&path).map(|()| format!("wrote {}", path.display()))));
        });
    }

    pub fn products(&self, ask: products::ProductsAsk) {
        let _ = self.products.send(ask);
    }

    pub fn start_job(&self, job: u64, arguments: &[String]) {
        children::start(job, &self.catalog, arguments, &self.answers);
    }

    pub fn galaxy(&self, ask: galaxy::GalaxyAsk) {
        // a worker that has ended has said so
        let _ = self.galaxy.send(ask);
    }
}

/// Pages each worker keeps; what is looked at together is near together.
const CACHE_KIB: i64 = 8 << 10;

/// The receiving end of a worker: a store that is opened when first needed.
pub struct Desk {
    catalog: PathBuf,
    store: Option<Store>,
    pub answers: Sender<Msg>,
}

impl Desk {
    pub fn new(catalog: PathBuf, answers: Sender<Msg>) -> Self {
        Self { catalog, store: None, answers }
    }

    /// The catalog; opened again if it could not be opened before.
    pub fn store(&mut self) -> Result<&Store, StoreError> {
        if self.store.is_none() {
            let store = Store::open(&self.catalog, Mode::Read)?;
            store.limit_cache(CACHE_KIB)?;
            self.store = Some(store);
        }
        match &self.store {
            Some(store) => Ok(store),
            None => Err(StoreError::Missing { path: self.catalog.clone() }),
        }
    }

    pub fn close(&mut self) {
        self.store = None;
    }

    pub fn answer(&self, msg: Msg) {
        // the receiver is gone only when the program ends
        let _ = self.answers.send(msg);
    }
}

/// Runs `work` on a thread of its own for every request. A panic is told and ends that thread only.
pub fn worker<A: Send + 'static>(
    name: &'static str,
    answers: Sender<Msg>,
    mut work: impl FnMut(&Receiver<A>, A) + Send + 'static,
) -> Sender<A> {
    let (send, receive) = channel::<A>();
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while let Ok(ask) = receive.recv() {
                work(&receive, ask);
            }
        }));
        if ended.is_err() {
            let _ = answers.send(Msg::WorkerDied(name));
        }
    });
    // without the thread every request goes unanswered, which the views show as waiting
    drop(spawned);
    send
}
