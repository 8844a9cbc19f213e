//! For `make fuzz`.

use super::parse;
use std::path::Path;

/// Our configuration file, or the original's.
pub fn config(text: &str) {
    match parse(Path::new("fuzz"), text) {
        Ok(loaded) => drop(loaded),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
