//! What the control channel brings, and what is said on it.

use super::super::super::websocket::Request;
use super::super::Service;
use super::*;
use crate::config::Config;
use crate::identity::{KeyPair, Registration};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use stint_wire::keys::KeyType;

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

/// This node, with `more` endpoints.
fn node(more: &[&str]) -> Ssm {
    let registration = Registration {
        instance_id: "mi-0123456789abcdef0".into(),
        region: "eu-west-1".into(),
        endpoint: Some("http://127.0.0.1:1".into()),
        ca_file: None,
        fingerprint: "f".into(),
        registered_at: Utc(0),
        key_made_at: Utc(0),
        hardware: String::new(),
        key: KeyPair::generate(KeyType::Ed25519).unwrap(),
    };
    let mut config = Config::default();
    config.endpoints.more = more.iter().map(|url| (*url).to_owned()).collect();
    Ssm::new(&config, Path::new(""), registration).unwrap()
}

#[test]
fn a_channel_that_ends_while_something_is_told_on_it_counts_as_any_other() {
    const TRIES: usize = 3;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for stream in listener.incoming().take(TRIES) {
            let (mut stream, mut head) = (stream.unwrap(), Vec::new());
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|it| it.strip_prefix("sec-websocket-key: ")).unwrap();
            let key = stint_wire::websocket::accept(key);
            let answer = "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
            write!(stream, "{answer}Sec-WebSocket-Accept: {key}\r\n\r\n").unwrap();
        }
    });
    let ssm = node(&["http://127.0.0.1:2"]);
    let request = Request {
        url: &url,
        target: "/",
        headers: &[],
        limit: 1000,
        patience: Duration::from_secs(20),
    };
    for _ in 0..TRIES {
        assert_eq!(ssm.way(Service::SsmMessages), "http://127.0.0.1:1");
        let socket = WebSocket::open(ssm.http(), &request).unwrap();
        let (reader, writer) = pipe().unwrap();
        *ssm.control.line.lock().unwrap() = Some(Line::new(socket, reader, "mi-1".to_owned()));
        assert!(ssm.control.goes_up(writer, &|| true));
        let told = ssm.control.tell(ID, b"x".to_vec(), Duration::from_secs(20));
        assert!(matches!(told, Err(Untold::NoChannel)));
        assert!(ssm.listen().is_none(), "messages are polled for a while");
    }
    assert_eq!(ssm.way(Service::SsmMessages), "http://127.0.0.1:2");
    server.join().unwrap();
}

#[test]
fn the_health_report_says_by_which_service_commands_come_at_that_moment() {
    let ssm = node(&[]);
    let said = || ssm.report_of_this_node().connection_channel.unwrap();
    assert_eq!(said(), "ec2messages");
    let (_reader, writer) = pipe().unwrap();
    assert!(ssm.control.goes_up(writer, &|| true));
    assert_eq!(said(), "ssmmessages");
    ssm.control.desk().closes();
    assert_eq!(said(), "ec2messages");
    assert!(ssm.control.desk().outgoing.is_empty());
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
