//! The entry of `make fuzz` (`scripts/fuzz.py`, decision 0020): with `--cfg fuzzing` this program is a
//! libFuzzer target, and `STINT_FUZZ` names the parser. It is in no other build.
//!
//! Each folder with a parser has a `fuzz.rs` that calls it, so that nothing has to be made public.
#![allow(unsafe_code, missing_docs)]

use std::sync::OnceLock;

/// A parser.
#[derive(Clone, Copy)]
enum Target {
    /// Of text, as most are.
    Text(fn(&str)),
    /// Of bytes.
    Bytes(fn(&[u8])),
}

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    let text = match std::env::var("STINT_FUZZ").as_deref() {
        Ok("document") => crate::document::fuzz::document,
        Ok("payload") => crate::uplink::ssm::fuzz::payload,
        Ok("reply") => crate::uplink::ssm::fuzz::reply,
        Ok("spool") => crate::spool::fuzz::spool,
        Ok("config") => crate::config::fuzz::config,
        Ok("answers") => crate::uplink::fuzz::answers,
        Ok("bootagent") => crate::uplink::fuzz::bootagent,
        Ok("children") => crate::supervise::fuzz::children,
        Ok("ftp") => crate::uplink::fuzz::ftp,
        Ok("packages") => crate::supervise::install::fuzz::packages,
        Ok("session") => crate::session::fuzz::session,
        Ok("update") => crate::update::fuzz::update,
        Ok("channel") => return Target::Bytes(crate::uplink::fuzz::channel),
        _ => {
            eprintln!(
                "STINT_FUZZ must be document, payload, reply, spool, config, answers, bootagent, \
                 children, ftp, packages, session, update or channel"
            );
            std::process::exit(2);
        }
    };
    Target::Text(text)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match TARGET.get_or_init(target) {
        // Files are read as text everywhere; what is none is refused before any parser sees it.
        Target::Text(target) => {
            if let Ok(text) = std::str::from_utf8(data) {
                target(text);
            }
        }
        Target::Bytes(target) => target(data),
    }
});
