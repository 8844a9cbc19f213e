//! Whole messages as the original and its client send them, read and written byte for byte.

use super::jobs::{AckCode, AgentJob, AgentJobAck, AgentJobReply, AgentJobReplyAck};
use super::message::{Message, MessageId, SYN, SYN_FIN, is_intact, kind};
use super::sessions::{
    ChannelClosed, InteractiveShell, SessionOrder, TaskAcknowledge, TaskComplete,
};
use super::stream::{
    Acknowledge, Flag, HandshakeComplete, HandshakeRequest, HandshakeResponse, PayloadType,
    SessionState, Size, exit_code,
};
use crate::time::Utc;

const CREATED: Utc = Utc(1_700_000_000_000);

/// The vector with this letter.
fn vector(letter: &str) -> Vec<u8> {
    let line = include_str!("vectors.txt").lines().find(|line| line.starts_with(letter)).unwrap();
    let digits = line.split_once(' ').unwrap().1;
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap())
        .collect()
}

/// The payload of the vector, which is of this type, has these numbers, and comes out of the writer as
/// it went into the reader.
fn payload(letter: &str, kind: &str, sequence: i64, flags: u64, payload_type: u32) -> Vec<u8> {
    let frame = vector(letter);
    let message = Message::parse(&frame).unwrap();
    assert_eq!((message.kind, message.created), (kind, CREATED), "{letter}");
    assert_eq!((message.sequence, message.flags), (sequence, flags), "{letter}");
    assert_eq!(message.payload_type, payload_type, "{letter}");
    assert!(is_intact(&frame), "{letter}");
    assert_eq!(message.write(), frame, "{letter}");
    message.payload.to_vec()
}

fn control(letter: &str, kind: &str) -> Vec<u8> {
    payload(letter, kind, 0, 0, 0)
}

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

const COMMAND: &str = "aws.ssm.2b196342-d7d4-436e-8f09-3883a1116ac3.mi-0123456789abcdef0";
const NODE: &str = "mi-0123456789abcdef0";
const SESSION: &str = "alice-0a1b2c3d4e5f60718";

#[test]
fn every_vector_is_a_whole_message_and_is_written_as_it_was_read() {
    let letters: String =
        include_str!("vectors.txt").lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(letters, "ABCDEFGHIJKLMNOPQRSTUV");
    for letter in letters.chars() {
        let frame = vector(&letter.to_string());
        assert_eq!(Message::parse(&frame).unwrap().write(), frame, "{letter}");
    }
}

#[test]
fn a_job_its_acknowledgement_its_reply_and_that_ones_acknowledgement() {
    let text = control("A", kind::AGENT_JOB);
    let job = AgentJob::read(&text).unwrap();
    assert_eq!(job.job_id, COMMAND);
    assert_eq!(job.topic, format!("{}.{NODE}", crate::ec2messages::SEND_COMMAND));
    assert!(job.content.starts_with(r#"{"Parameters":{"commands":["id"]},"#));
    assert_eq!(job.write().as_bytes(), text);

    let text = control("B", kind::AGENT_JOB_ACK);
    let ack = AgentJobAck {
        job_id: COMMAND.into(),
        acknowledged: id("00112233-4455-4677-8899-aabbccddeeff"),
        created: CREATED,
        code: AckCode::Successful,
    };
    assert_eq!(AgentJobAck::read(&text).as_ref(), Ok(&ack));
    assert_eq!(ack.write().as_bytes(), text);

    let text = control("C", kind::AGENT_JOB_REPLY);
    let reply = AgentJobReply::read(&text).unwrap();
    assert_eq!((reply.job_id.as_str(), reply.topic.as_str()), (COMMAND, "aws.ssm.sendCommand"));
    assert!(reply.content.contains(r#""documentStatus":"InProgress""#));
    assert_eq!(reply.write().as_bytes(), text);

    let text = control("D", kind::AGENT_JOB_REPLY_ACK);
    let ack = AgentJobReplyAck {
        job_id: COMMAND.into(),
        acknowledged: id("22222222-3333-4444-8555-666666666666"),
    };
    assert_eq!(AgentJobReplyAck::read(&text).as_ref(), Ok(&ack));
    assert_eq!(ack.write().as_bytes(), text);
    assert_eq!(Message::parse(&vector("C")).unwrap().id, ack.acknowledged);
}

#[test]
fn a_session_is_ordered_closed_completed_and_acknowledged() {
    let text = control("E", kind::INTERACTIVE_SHELL);
    let shell = InteractiveShell::read(&text).unwrap();
    assert_eq!(shell.task_id, SESSION);
    assert_eq!(shell.write().as_bytes(), text);
    let order = SessionOrder::read(&shell.content).unwrap();
    assert_eq!((order.session_id.as_str(), order.run_as_user.as_str()), (SESSION, ""));
    assert_eq!(order.document.get("sessionType").unwrap().as_str(), Some("Standard_Stream"));
    assert_eq!(order.write(), shell.content);

    let text = control("S", kind::CHANNEL_CLOSED);
    let closed = ChannelClosed {
        message_id: "55555555-6666-4777-8888-999999999999".into(),
        destination: NODE.into(),
        session_id: SESSION.into(),
        created: CREATED,
        output: String::new(),
    };
    assert_eq!(ChannelClosed::read(&text).as_ref(), Ok(&closed));
    assert_eq!(closed.write().as_bytes(), text);

    let text = control("T", kind::AGENT_TASK_COMPLETE);
    let complete = TaskComplete {
        session_id: SESSION.into(),
        status: "Success".into(),
        node: NODE.into(),
        output: String::new(),
        retry: 1,
    };
    assert_eq!(TaskComplete::read(&text).as_ref(), Ok(&complete));
    assert_eq!(complete.write().as_bytes(), text);

    let text = control("U", kind::AGENT_TASK_ACKNOWLEDGE);
    let acknowledge = TaskAcknowledge {
        message_id: id("66666666-7777-4888-8999-aaaaaaaaaaaa"),
        session_id: SESSION.into(),
    };
    assert_eq!(TaskAcknowledge::read(&text).as_ref(), Ok(&acknowledge));
    assert_eq!(acknowledge.write().as_bytes(), text);
}

#[test]
fn what_goes_over_a_data_channel_beside_the_stream() {
    let text = payload("F", kind::AGENT_SESSION_STATE, 0, SYN_FIN, 0);
    let state = SessionState { state: "Connected".into(), session_id: SESSION.into() };
    assert_eq!(SessionState::read(&text).as_ref(), Ok(&state));
    assert_eq!(state.write().as_bytes(), text);

    let text = payload("H", kind::ACKNOWLEDGE, 0, SYN_FIN, 0);
    let acknowledge = Acknowledge {
        kind: kind::OUTPUT_STREAM_DATA.into(),
        id: Message::parse(&vector("G")).unwrap().id,
        sequence: 0,
    };
    assert_eq!(Acknowledge::read(&text).as_ref(), Ok(&acknowledge));
    assert_eq!(acknowledge.write().as_bytes(), text);

    assert!(control("Q", kind::PAUSE_PUBLICATION).is_empty());
    assert!(control("R", kind::START_PUBLICATION).is_empty());
}

#[test]
fn the_data_of_streams_both_ways() {
    let (input, output) = (kind::INPUT_STREAM_DATA, kind::OUTPUT_STREAM_DATA);
    assert_eq!(payload("G", output, 0, SYN, PayloadType::Output as u32), b"$ ");
    let text = payload("I", input, 0, 0, PayloadType::Size as u32);
    let size = Size { columns: 101, rows: 33 };
    assert_eq!(Size::read(&text), Ok(size));
    assert_eq!(size.write().as_bytes(), text);
    assert_eq!(payload("J", input, 1, 0, PayloadType::Output as u32), b"ls\n");
    assert_eq!(payload("N", output, 2, 0, PayloadType::StdErr as u32), b"ERR\n");
    let text = payload("O", output, 3, 0, PayloadType::ExitCode as u32);
    assert_eq!(exit_code(7).as_bytes(), text);
    let bytes = payload("P", input, 3, 0, PayloadType::Flag as u32);
    assert_eq!(Flag::read(&bytes), Some(Flag::TerminateSession));
    assert_eq!(Flag::TerminateSession.write().as_slice(), bytes);
    let mux = payload("V", input, 1, 0, PayloadType::Output as u32);
    assert!(mux.ends_with(b"ping!"));
}

#[test]
fn a_handshake() {
    let kind = (kind::OUTPUT_STREAM_DATA, kind::INPUT_STREAM_DATA);
    let text = payload("K", kind.0, 0, SYN, PayloadType::HandshakeRequest as u32);
    let request = HandshakeRequest::read(&text).unwrap();
    assert_eq!(
        (request.agent_version.as_str(), request.session_type.as_str()),
        ("3.3.0.0", "Port")
    );
    let port = request.properties.as_ref().unwrap().get("portNumber").unwrap();
    assert_eq!(port.as_str(), Some("22"));
    assert_eq!(request.write().as_bytes(), text);

    let text = payload("L", kind.1, 0, 0, PayloadType::HandshakeResponse as u32);
    let response = HandshakeResponse::read(&text).unwrap();
    assert_eq!(response.client_version, "1.2.650.0");
    assert!(response.failed().is_none() && response.actions.len() == 1);
    assert_eq!(response.write().as_bytes(), text);

    let text = payload("M", kind.0, 1, 0, PayloadType::HandshakeComplete as u32);
    let complete = HandshakeComplete { nanoseconds: 43_724_949, message: String::new() };
    assert_eq!(HandshakeComplete::read(&text).as_ref(), Ok(&complete));
    assert_eq!(complete.write().as_bytes(), text);
}
