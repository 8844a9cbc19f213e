//! The hub's readers of documents as a libFuzzer target (`scripts/fuzz.py`, decision 0020): `STINT_FUZZ` names the
//! reader. The modules are the hub's own files, without its database and its network. Without the feature `fuzz` it
//! gives the reader what comes on standard input, once.
#![cfg_attr(feature = "fuzz", no_main)]
#![allow(dead_code, missing_docs, unsafe_code, unused_imports)]

#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/model/mod.rs"]
mod model;

#[path = "../../src/tools/documents"]
mod documents {
    pub mod check;
    pub mod format;
    mod texts;
    pub mod yaml;
}

use documents::check;
use documents::format::Format;
use documents::yaml;

fn target() -> fn(&str) {
    match std::env::var("STINT_FUZZ").as_deref() {
        Ok("hub-yaml") => read_yaml,
        Ok("hub-check") => check_document,
        _ => {
            eprintln!("STINT_FUZZ must be hub-yaml or hub-check");
            std::process::exit(2);
        }
    }
}

/// YAML that was read is written as YAML that means the same.
fn read_yaml(text: &str) {
    let Ok(read) = yaml::read(text) else { return };
    for (pointer, plain) in &read.plain {
        let meant = read.value.pointer(pointer);
        assert!(meant.is_some_and(|value| !value.is_string()), "{pointer} {plain}");
    }
    let written = yaml::block(&read.value);
    let again = yaml::read(&written).map(|again| again.value);
    assert_eq!(again, Ok(read.value), "{written}");
}

/// A document is found good or bad in a sentence, and is as good in the other format. Its type is the first line,
/// the rest is JSON, or YAML if the type ends with a full stop.
fn check_document(text: &str) {
    let Some((kind, text)) = text.split_once('\n') else { return };
    let (kind, format) = match kind.strip_suffix('.') {
        Some(kind) => (kind, Format::Yaml),
        None if kind == "ChangeCalendar" => (kind, Format::Text),
        None => (kind, Format::Json),
    };
    let value = match check::check(kind, format, text) {
        Ok(value) => value,
        Err(error) => return assert!(error.message.ends_with('.'), "{}", error.message),
    };
    if format == Format::Text {
        return;
    }
    for (format, text) in [(Format::Json, value.to_string()), (Format::Yaml, yaml::block(&value))] {
        match check::check(kind, format, &text) {
            Ok(again) => assert_eq!(again, value, "{text}"),
            Err(error) => assert_eq!(error.code, "MaxDocumentSizeExceeded", "{text}"),
        }
    }
}

#[cfg(feature = "fuzz")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: std::sync::OnceLock<fn(&str)> = std::sync::OnceLock::new();
    // Requests are read as text; what is none is refused before.
    if let Ok(text) = std::str::from_utf8(data) {
        TARGET.get_or_init(target)(text);
    }
});

#[cfg(not(feature = "fuzz"))]
fn main() -> std::io::Result<()> {
    let reader = target();
    reader(&std::io::read_to_string(std::io::stdin())?);
    Ok(())
}
