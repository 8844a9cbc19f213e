//! The entry of `make fuzz` (`scripts/fuzz.py`, decision 0020): with `--cfg fuzzing` this program is a
//! libFuzzer target, and `STINT_FUZZ` names the parser. It is in no other build.
//!
//! Each folder with a parser has a `fuzz.rs` that calls it, so that nothing has to be made public.
#![allow(unsafe_code, missing_docs)]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&str)> = OnceLock::new();

fn target() -> fn(&str) {
    match std::env::var("STINT_FUZZ").as_deref() {
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
        Ok("update") => crate::update::fuzz::update,
        _ => {
            eprintln!(
                "STINT_FUZZ must be document, payload, reply, spool, config, answers, bootagent, \
                 children, ftp, packages or update"
            );
            std::process::exit(2);
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Files are read as text everywhere; what is none is refused before any parser sees it.
    if let Ok(text) = std::str::from_utf8(data) {
        TARGET.get_or_init(target)(text);
    }
});
