//! What is queued for the server, as it is kept on disk: as it crosses the wire.

use super::queue::Entry;
use stint_wire::bootagent::{Event, JobResult};
use stint_wire::json::Node;

impl Entry for Event {
    fn to_text(&self) -> String {
        self.write()
    }

    fn from_node(number: u64, node: &Node) -> Option<Event> {
        Some(Event { local_id: number, ..Event::read(node)? })
    }
}

impl Entry for JobResult {
    fn to_text(&self) -> String {
        self.write()
    }

    fn from_node(_number: u64, node: &Node) -> Option<JobResult> {
        JobResult::read(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::json;

    #[test]
    fn an_event_gets_the_number_under_which_it_is_queued() {
        let event = Event {
            timestamp: 1_700_000_000,
            local_id: 0,
            category: "exit".into(),
            subject: "BasicAgent".into(),
            extra: "exit:1".into(),
            message: "it \"ended\"".into(),
        };
        let node = json::parse(&event.to_text()).unwrap();
        assert_eq!(Event::from_node(7, &node), Some(Event { local_id: 7, ..event }));
    }
}
