//! Readers of foreign bytes against mutated files: an error or rows, never a panic, never long.
//!
//! The targets are those of `fuzz/`, whose README says how they are fuzzed by coverage. Here each takes its seeds,
//! the committed corpus, and for a second mutations of them that a seed repeats; for longer
//!
//!     SEDFLOW_FUZZ_SECONDS=600 cargo test --release --test fuzz -- fits --nocapture
//!
//! What fails is kept in `fuzz/corpus/<target>/` and is part of the corpus from then on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::Rng;
use sedflow::hash::ContentHash;
use sedflow::rng::Streams;
use targets::Target;

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, reason = "what libFuzzer alone uses")]
mod targets;

/// Time for mutations where no other is given.
const SECONDS: u64 = 1;
/// Longer than any of these small inputs may take, on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(10);

fn folder(kind: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", kind].iter().collect()
}

/// Lines `"word"` with `\\`, `\"` and `\xNN`, as libFuzzer reads them.
fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let text =
        std::fs::read_to_string(folder("dictionaries").join(format!("{target}.dict"))).unwrap_or_default();
    let unescape = |line: &str| {
        let (mut word, mut rest) = (Vec::new(), line);
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match (c, rest.as_bytes()) {
                ('\\', [b'x', ..]) => {
                    word.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                    rest = &rest[3..];
                }
                ('\\', [escaped, ..]) => {
                    word.push(*escaped);
                    rest = &rest[1..];
                }
                _ => word.extend(c.to_string().bytes()),
            }
        }
        word
    };
    text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).map(unescape).collect()
}

fn fuzz(name: &str) {
    let target = targets::target(name);
    let words = dictionary(name);
    let mut corpus = (target.seeds)();
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder("corpus").join(name))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort();
    corpus.extend(names.iter().map(|path| std::fs::read(path).unwrap()));
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(number("SEDFLOW_FUZZ_SECONDS").unwrap_or(SECONDS));
    let streams = Streams::new(number("SEDFLOW_FUZZ_SEED").unwrap_or(1), name);
    for input in &corpus {
        check(target, input);
    }
    let started = Instant::now();
    let mut n = 0;
    while started.elapsed() < time {
        let mut random = Random(streams.at(n));
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut input, &words, &corpus, &mut random);
        }
        check(target, &input);
        n += 1;
    }
    eprintln!("{name}: {} inputs of the corpus, {n} mutations of them", corpus.len());
}

fn check(target: &Target, input: &[u8]) {
    let started = Instant::now();
    let result = quietly(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let elapsed = started.elapsed();
    if result.is_err() || elapsed > TOO_LONG {
        let folder = folder("corpus").join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("crash-{}", ContentHash::of_bytes(input).short()));
        std::fs::write(&path, input).unwrap();
        panic!(
            "{}: {} after {elapsed:.1?}: {}",
            target.name,
            if result.is_err() { "panic" } else { "slow" },
            path.display()
        );
    }
}

/// Without the messages of panics that are caught (the parquet crate's are part of reading).
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = HOOK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = work();
    std::panic::set_hook(hook);
    result
}

struct Random(rand_chacha::ChaCha8Rng);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b' ', b'\n', b'"', b'\'', b'<', b'9', b'-'];
        if self.below(2) == 0 { EDGES[self.below(EDGES.len())] } else { self.below(256) as u8 }
    }
}

fn mutate(input: &mut Vec<u8>, words: &[Vec<u8>], corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let magnitude = random.below(8);
    let span = 1 + random.below(1 << magnitude);
    let end = (at + span).min(input.len());
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.byte(),
        2 => drop(input.drain(at..end)),
        3 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => input.truncate(at),
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let to = (from + span).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        6 if !words.is_empty() => {
            let word = words[random.below(words.len())].iter().copied();
            // Fixed-width headers keep their width more often than not.
            let end = if random.below(3) == 0 { at } else { (at + word.len()).min(input.len()) };
            input.splice(at..end, word);
        }
        7 => {
            // A number becomes another one of the same width.
            if let Some(digit) = (at..input.len()).find(|&i| input[i].is_ascii_digit()) {
                let stop = (digit..input.len()).find(|&i| !input[i].is_ascii_digit()).unwrap_or(input.len());
                (digit..stop).for_each(|i| input[i] = b"0123456789999"[random.below(13)]);
            }
        }
        _ => {
            let bytes: Vec<u8> = (0..random.below(9)).map(|_| random.byte()).collect();
            input.splice(at..at, bytes);
        }
    }
    input.truncate(1 << 20);
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(targets::TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
        }
    };
}

tests! { blob checkpoint csv_map draws ecsv expression fits parquet recipe ssp votable }
