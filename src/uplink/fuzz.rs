//! For `make fuzz`.

use super::{page, s3_sign, s3_text};
use stint_wire::bootagent::{Job, register, servers, status};
use stint_wire::json;
use stint_wire::mgs::{jobs, message, open, sessions, stream};
use stint_wire::smux;
use stint_wire::websocket::{self, Event, Opcode, Reader};

/// What servers other than the hub say, and what documents say of them: URLs, redirects, S3's XML,
/// the AWS CLI's credentials file.
pub fn answers(text: &str) {
    let (url, rest) = text.split_once('\n').unwrap_or((text, ""));
    let _ = s3_text::parse_url(url, None);
    let _ = s3_text::parse_url(url, Some(rest));
    let joined = page::join(url, rest);
    let _ = page::bare(&joined);
    for element in ["Key", "NextContinuationToken", "Code"] {
        let _ = s3_text::texts(rest, element).count();
    }
    s3_sign::fuzz(text);
}

/// What an FTP server says, and URLs of files there.
pub fn ftp(text: &str) {
    super::ftp::fuzz(text);
}

/// Bodies of the BootAgent protocol, of both directions, and lists of servers.
pub fn bootagent(text: &str) {
    if let Ok(answer) = status::Answer::read(text) {
        for job in answer.jobs.iter().flatten() {
            let written = json::parse(&job.write()).ok();
            let again = written.as_ref().and_then(Job::read);
            assert!(
                again.is_some_and(|again| again.as_ref() == Ok(job)),
                "a job changes on its way"
            );
        }
    }
    if let Ok(report) = status::Report::read(text) {
        assert!(status::Report::read(&report.write()).is_ok_and(|again| again == report));
    }
    if let Ok(results) = status::read_results(text) {
        let again = status::read_results(&status::write_results(&results));
        assert!(again.is_ok_and(|again| again == results), "results change on their way");
    }
    if let Ok(request) = register::Request::read(text) {
        assert!(register::Request::read(&request.write()).is_ok_and(|again| again == request));
    }
    if let Ok(answer) = register::Answer::read(text) {
        assert!(register::Answer::read(&answer.write()).is_ok_and(|again| again == answer));
        let _ = register::tags(text);
    }
    if let Ok(list) = servers::parse(text, true) {
        assert!(servers::parse(&list.join(","), false).is_ok_and(|again| again == list));
    }
}

/// What comes over a websocket: the handshake's answer, frames of either side, and in each message first the
/// header, then the payload as each of its types. Both sides of the hub's and the agent's channels read so. And the
/// bytes of a forwarded port, which hold streams.
pub fn channel(bytes: &[u8]) {
    let _ = websocket::answered(bytes, "dGhlIHNhbXBsZSBub25jZQ==");
    for from_client in [false, true] {
        let mut reader = Reader::new(4096, from_client);
        for piece in bytes.chunks(97) {
            reader.push(piece);
            while let Ok(Some(event)) = reader.event() {
                if let Event::Message(read) = event {
                    message_of(&read);
                }
            }
        }
    }
    message_of(bytes);
    streams(bytes);
    // Whatever it is, it comes back over a websocket as it was.
    let (mut written, mut reader) = (Vec::new(), Reader::new(bytes.len(), true));
    websocket::write(Opcode::Binary, bytes, Some([1, 2, 3, 4]), &mut written);
    reader.push(&written);
    assert_eq!(reader.event(), Ok(Some(Event::Message(bytes.to_vec()))));
}

/// However they are cut, the same frames come out, up to what is none.
fn streams(bytes: &[u8]) {
    let (mut cut, mut frames) = (smux::Reader::default(), Vec::new());
    let all_good =
        bytes.chunks(7).all(|piece| cut.feed(piece).map(|read| frames.extend(read)).is_ok());
    match smux::Reader::default().feed(bytes) {
        Ok(whole) => assert!(all_good && whole == frames, "frames depend on how they come"),
        Err(_) => assert!(!all_good),
    }
}

fn message_of(frame: &[u8]) {
    let _ = open::Open::read(frame);
    let Ok(message) = message::Message::parse(frame) else { return };
    let written = message.write();
    let again = message::Message::parse(&written);
    assert!(again.is_ok_and(|again| again.payload == message.payload && again.id == message.id));
    assert!(message::is_intact(&written));
    payload(message.payload);
}

fn payload(payload: &[u8]) {
    macro_rules! both_ways {
        ($($type:ty),*) => {$(
            if let Ok(read) = <$type>::read(payload) {
                let written = read.write();
                let again = <$type>::read(written.as_bytes()).map(|again| again.write());
                assert!(again.is_ok_and(|it| it == written), "a payload changes on its way");
            }
        )*};
    }
    both_ways!(jobs::AgentJob, jobs::AgentJobAck, jobs::AgentJobReply, jobs::AgentJobReplyAck);
    both_ways!(sessions::InteractiveShell, sessions::ChannelClosed, sessions::TaskComplete);
    both_ways!(sessions::TaskAcknowledge, stream::Acknowledge, stream::Size, stream::SessionState);
    both_ways!(stream::HandshakeComplete, stream::HandshakeResponse, stream::HandshakeRequest);
    if let Ok(shell) = sessions::InteractiveShell::read(payload) {
        let _ = sessions::SessionOrder::read(&shell.content);
    }
    let _ = (stream::Flag::read(payload), std::str::from_utf8(payload).map(open::token));
}
