//! What is queued for the server, as it is kept on disk.

use super::queue::Entry;
use stint_wire::bootagent::{Event, JobResult};
use stint_wire::json::{Node, ObjectWriter};

/// The text of a member; empty if there is none.
pub fn text(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

impl Entry for Event {
    fn write(&self) -> String {
        ObjectWriter::new()
            .raw("timestamp", &self.timestamp.to_string())
            .string("category", &self.category)
            .string("subject", &self.subject)
            .string("extra", &self.extra)
            .string("message", &self.message)
            .finish()
    }

    fn read(number: u64, node: &Node) -> Option<Event> {
        Some(Event {
            timestamp: node.get("timestamp")?.as_u64()?,
            local_id: number,
            category: text(node, "category"),
            subject: text(node, "subject"),
            extra: text(node, "extra"),
            message: text(node, "message"),
        })
    }
}

impl Entry for JobResult {
    fn write(&self) -> String {
        ObjectWriter::new()
            .string("id", &self.id)
            .raw("errcode", &self.errcode.to_string())
            .string("message", &self.message)
            .finish()
    }

    fn read(_number: u64, node: &Node) -> Option<JobResult> {
        Some(JobResult {
            id: node.get("id")?.as_str()?.to_owned(),
            // Ours are never below 0.
            errcode: node.get("errcode")?.as_u64()?.try_into().ok()?,
            message: text(node, "message"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::json;

    #[test]
    fn events_and_results_come_back_as_they_went() {
        let event = Event {
            timestamp: 1_700_000_000,
            local_id: 7,
            category: "exit".into(),
            subject: "BasicAgent".into(),
            extra: "exit:1".into(),
            message: "it \"ended\"".into(),
        };
        let node = json::parse(&event.write()).unwrap();
        assert_eq!(Event::read(7, &node), Some(event));
        let result = JobResult { id: "a".into(), errcode: 3, message: "no".into() };
        let node = json::parse(&result.write()).unwrap();
        assert_eq!(JobResult::read(1, &node), Some(result));
    }
}
