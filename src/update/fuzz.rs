//! What `make fuzz` does to the parsers of updates.

use super::State;
use stint_wire::manifest::{Manifest, signatures};

/// A manifest, its signatures, and the file of the state.
pub fn update(text: &str) {
    if let Ok(manifest) = Manifest::parse(text, "f") {
        for release in &manifest.releases {
            let url = manifest.uri("https://h/u/manifest.json", &release.name, "f");
            assert!(url.contains("://"));
            assert_eq!(release.sha256.len(), 64);
        }
    }
    let _ = signatures(text);
    if let Some(state) = State::parse(text) {
        assert_eq!(State::parse(&state.write()), Some(state));
    }
}
