//! The object `network`: what a metered link may carry.

use super::super::{ConfigError, Network};
use super::Reader;
use stint_wire::json::Node;

const KEYS: &[&str] = &["bytesPerDay"];

/// Less than 100 kB wouldn't do for a few commands and signs of life.
const BYTES: std::ops::RangeInclusive<u64> = 100_000..=1_000_000_000_000;

/// Reads the object into `to`.
pub fn read(reader: &Reader<'_>, node: &Node, to: &mut Network) -> Result<(), ConfigError> {
    for (_, node) in reader.members("network", node, KEYS)? {
        let wanted = "0, or a whole number of bytes from 100000 to 1000000000000";
        let number = node.as_u64().filter(|number| *number == 0 || BYTES.contains(number));
        to.bytes_per_day = number.ok_or_else(|| reader.bad("network.bytesPerDay", node, wanted))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stint_wire::json;

    #[test]
    fn a_budget_is_a_number_of_bytes_and_nothing_is_none() {
        let ask = |text: &str| {
            let mut network = Network::default();
            let reader = Reader { path: Path::new("agent.json") };
            read(&reader, &json::parse(text).unwrap(), &mut network)
                .map(|()| network.bytes_per_day)
                .map_err(|error| error.to_string())
        };
        assert_eq!(ask(r#"{"bytesPerDay": 5000000}"#), Ok(5_000_000));
        assert_eq!(ask(r#"{"bytesPerDay": 0}"#), Ok(0));
        assert_eq!(ask("{}"), Ok(crate::board::BOARD.bytes_per_day));
        for bad in ["99999", "\"5M\"", "-1", "null"] {
            let error = ask(&format!("{{\"bytesPerDay\": {bad}}}")).unwrap_err();
            assert!(error.contains("\"network.bytesPerDay\" must be 0, or"), "{error}");
        }
    }
}
