//! For `make fuzz`.

use super::definition::Definition;
use super::record::Record;
use stint_wire::json;

/// Definitions, which operators and jobs give, and records. What is read is the same when it is
/// read again, as after a restart.
pub fn children(text: &str) {
    match Definition::parse(text) {
        Ok(definition) => assert!(Definition::parse(text).as_ref() == Ok(&definition)),
        Err(error) => assert!(error.line > 0 && !error.what.is_empty()),
    }
    if let Ok(node) = json::parse(text) {
        let record = Record::read(&node);
        let again = json::parse(&record.write()).map(|node| Record::read(&node));
        assert!(again.as_ref() == Ok(&record));
    }
}
