//! Tells the program which commit it was built from.
//!
//! Only release builds look: a development build would be compiled anew after each commit.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = if release { git_commit() } else { None };
    println!("cargo:rustc-env=SEDFLOW_GIT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit checked out, with `-modified` where the sources differ from it.
fn git_commit() -> Option<String> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A package inside somebody else's repository (a vendored copy) is not described by its commits.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    // the log of HEAD grows with each commit and checkout
    for name in ["HEAD", "logs/HEAD"] {
        let path = root.join(git(&["rev-parse", "--git-path", name])?);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    for source in ["src", "schema", "filters", "models", "Cargo.toml", "Cargo.lock"] {
        if root.join(source).exists() {
            println!("cargo:rerun-if-changed={source}");
        }
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { commit } else { format!("{commit}-modified") })
}
