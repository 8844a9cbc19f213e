//! For `make fuzz`.

use super::super::{Delivery, reply};
use super::messages;
use super::replies::Told;
use crate::spool::Report;
use miniserde::json;
use stint_wire::ec2messages::{CANCEL_COMMAND, Message, SEND_COMMAND};
use stint_wire::reply::Reply;
use stint_wire::time::Utc;

/// The payload of a command and of a cancellation, and a whole answer of GetMessages.
pub fn payload(text: &str) {
    for topic in [SEND_COMMAND, CANCEL_COMMAND] {
        let message = Message {
            created_date: String::new(),
            destination: "mi-0123456789abcdef0".into(),
            message_id: "aws.ssm.c-1.mi-0123456789abcdef0".into(),
            payload: text.into(),
            topic: topic.into(),
        };
        match messages::read(&message, "mi-0123456789abcdef0", "eu-central-1") {
            Delivery::Job(job) => assert!(job.id == "c-1" && !job.document.is_empty()),
            other => assert!(!matches!(other, Delivery::Unknown { .. }), "{topic} is unknown"),
        }
    }
    for message in messages::list(text).unwrap_or_default() {
        let _ = messages::read(&message, "mi-0123456789abcdef0", "eu-central-1");
    }
}

/// A reply as the hub reads it, and the reply that is made of any report.
pub fn reply(text: &str) {
    let _ = json::from_str::<Reply>(text);
    if let Ok(report) = json::from_str::<Report>(text) {
        let mut steps = 0;
        for part in Told::default().rest(&report) {
            let made = reply::text(part.status, &part.trace, &part.steps, "stint", Utc(0));
            steps += part.steps.len();
            assert!(
                json::from_str::<Reply>(&made).is_ok_and(|it| it.document_status == part.status)
            );
        }
        assert_eq!(steps, report.outcome.steps.len(), "each step is in a reply");
    }
}
