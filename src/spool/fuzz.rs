//! For `make fuzz`.

use super::job::{Job, Outcome, Report};
use super::journal;
use super::{file_name, text};
use miniserde::{Deserialize, Serialize, json};

/// Any file of the spool or the outbox.
pub fn spool(content: &str) {
    let _ = journal::parse(content);
    entry::<Job>(content);
    entry::<Report>(content);
    entry::<Outcome>(content);
    let name = file_name(content);
    assert!(!name.is_empty() && !name.contains(['/', '.', '\0']));
    let _ = text::sha256_hex(name.as_bytes());
}

/// What can be read must be written and read again as the same.
fn entry<T: Serialize + Deserialize + PartialEq>(content: &str) {
    if let Ok(entry) = json::from_str::<T>(content) {
        let again = json::from_str::<T>(&json::to_string(&entry));
        assert!(again.is_ok_and(|again| again == entry), "an entry changes on its way");
    }
}
