//! What the control channel brings, and what is said on it.

use super::*;

const ID: MessageId = MessageId([7; 16]);

fn job(topic: &str, content: &str) -> Vec<u8> {
    let job = AgentJob {
        content: content.to_owned(),
        job_id: "aws.ssm.c-1.mi-1".to_owned(),
        topic: topic.to_owned(),
    };
    Message::new(kind::AGENT_JOB, ID, Utc(5), job.write().as_bytes()).write()
}

fn heard(frame: &[u8]) -> (Vec<Delivery>, Vec<Vec<u8>>) {
    let control = Control::new(true);
    let (_reader, writer) = pipe().unwrap();
    control.desk().wake = Some(writer);
    control.hear(frame, "mi-1");
    let mut desk = control.desk();
    (std::mem::take(&mut desk.arrived), std::mem::take(&mut desk.outgoing))
}

#[test]
fn a_job_on_the_channel_is_the_same_as_a_polled_one_but_for_its_receipt() {
    let (arrived, _) = heard(&job("aws.ssm.sendCommand.x", r#"{"DocumentContent":{}}"#));
    let [Delivery::Job(job)] = &arrived[..] else { panic!("{arrived:?}") };
    assert_eq!((job.id.as_str(), job.created.as_str()), ("c-1", "1970-01-01T00:00:00.005Z"));
    assert_eq!(read_receipt(&job.receipt), Some((ID, Utc(5), "aws.ssm.c-1.mi-1")));
    assert_eq!(job_of(&job.receipt), "aws.ssm.c-1.mi-1");
    assert_eq!(job_of("aws.ssm.c-1.mi-1"), "aws.ssm.c-1.mi-1");
}

#[test]
fn a_topic_that_nobody_knows_is_declined_at_once() {
    let (arrived, outgoing) = heard(&job("other", "{}"));
    assert!(matches!(&arrived[..], [Delivery::Unknown { .. }]));
    let ack = Message::parse(&outgoing[0]).unwrap();
    let ack = AgentJobAck::read(ack.payload).unwrap();
    assert_eq!((ack.acknowledged, ack.created), (ID, Utc(5)));
    assert_eq!(ack.code, AckCode::AgentJobMessageParseError);
}

#[test]
fn nonsense_on_the_channel_is_passed_over() {
    for frame in [
        b"".to_vec(),
        Message::new("agent_weather", ID, Utc(1), b"{}").write(),
        Message::new(kind::AGENT_JOB, ID, Utc(1), b"{").write(),
        Message::new(kind::AGENT_JOB_REPLY_ACK, ID, Utc(1), b"{}").write(),
    ] {
        let (arrived, outgoing) = heard(&frame);
        assert!(arrived.is_empty() && outgoing.is_empty());
    }
}

#[test]
fn what_comes_for_the_node_before_is_nobodys() {
    let control = Control::new(true);
    let (_reader, writer) = pipe().unwrap();
    assert!(control.goes_up(writer, &|| true));
    let job = job("aws.ssm.sendCommand.x", r#"{"DocumentContent":{}}"#);
    control.hear(&job, "mi-1");
    assert_eq!(control.desk().arrived.len(), 1);
    control.quit();
    assert!(control.desk().arrived.is_empty());
    // The socket may have held more of it.
    control.hear(&job, "mi-1");
    assert!(control.desk().arrived.is_empty() && control.desk().quits);
}

#[test]
fn a_channel_that_was_opened_for_the_node_before_never_goes_up() {
    let control = Control::new(true);
    let (_reader, writer) = pipe().unwrap();
    // There is nothing to be ended yet.
    control.quit();
    assert!(!control.goes_up(writer, &|| false));
    assert!(!control.is_up() && !control.desk().quits);
}

#[test]
fn only_its_own_acknowledgement_ends_the_wait_for_it() {
    let control = Control::new(true);
    control.desk().awaited = Some((ID, false));
    control.told(MessageId([8; 16]));
    assert_eq!(control.desk().awaited, Some((ID, false)));
    control.told(ID);
    assert_eq!(control.desk().awaited, Some((ID, true)));
    assert!(!control.put(Vec::new()), "nothing is put where there is no channel");
}

#[test]
fn pauses_between_channels_that_cannot_be_had_grow_to_minutes_and_are_uneven() {
    let of = |failures, chance| pause(failures, chance).as_millis();
    assert_eq!([of(0, 0.0), of(0, 1.0), of(1, 1.0)], [2500, 5000, 10_000]);
    assert_eq!(of(u32::MAX, 1.0), 300_000);
}
