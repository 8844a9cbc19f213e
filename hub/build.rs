//! Puts the browser terminal's packages into the hub, if `scripts/console` has fetched them. A hub
//! without them is built as well; its page says what is missing.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// What a browser gets of them, and their licences.
const FILES: [&str; 5] =
    ["xterm.mjs", "xterm.css", "addon-fit.mjs", "xterm-license.txt", "addon-fit-license.txt"];

fn main() {
    if let Err(error) = generate() {
        eprintln!("the console's packages can't be put into the hub: {error}");
        process::exit(1);
    }
}

fn generate() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let out = PathBuf::from(out);
    let folder = target_folder(&out).join("console");
    // cargo builds what waits for a path that isn't there again each time.
    fs::create_dir_all(&folder)?;
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
    let complete = FILES.iter().all(|name| folder.join(name).is_file());
    let mut text = "const PACKAGES: &[(&str, &[u8])] = &[".to_owned();
    for name in FILES.iter().filter(|_| complete) {
        let path = folder.join(name).display().to_string();
        write!(text, "({name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    text.push_str("];\n");
    fs::write(out.join("console.rs"), text)
}

/// cargo's target folder, which `scripts/console` is given, too: the outermost one with its mark.
/// Between the two are the triple, if one is named, the profile, `build` and the package's folder.
fn target_folder(out: &Path) -> &Path {
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    let outermost = out.ancestors().skip(1).take(5).filter(marked).last();
    outermost.or_else(|| out.ancestors().nth(4)).unwrap_or(out)
}
