//! Payloads about commands, on the control channel.

use super::{MessageId, PayloadError, may, must, parse};
use crate::json::ObjectWriter;
use crate::time::Utc;

/// `agent_job`: a command to run or to cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentJob {
    /// The same JSON text as the payload of a polled message.
    pub content: String,
    /// `aws.ssm.<command>.<node>`, what a polled message has as its id.
    pub job_id: String,
    /// Begins as the topics of [`crate::ec2messages`] do.
    pub topic: String,
}

impl AgentJob {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or has no id.
    pub fn read(payload: &[u8]) -> Result<AgentJob, PayloadError> {
        let node = parse(payload)?;
        let job_id = must(&node, "JobId")?;
        Ok(AgentJob { content: may(&node, "Content"), job_id, topic: may(&node, "Topic") })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("Content", &self.content)
            .string("JobId", &self.job_id)
            .string("Topic", &self.topic)
            .raw("SchemaVersion", "1")
            .finish()
    }
}

/// What an agent says to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckCode {
    /// It is taken, and will be done.
    Successful,
    /// No job is taken now.
    ClosedProcessor,
    /// Too many wait already.
    ProcessorBufferFull,
    /// The document is of another kind.
    UnexpectedDocumentType,
    /// The agent has an error that it has no word for.
    ProcessorErrorCodeTranslationFailed,
    /// It is known already.
    DuplicateCommand,
    /// The document can't be read.
    InvalidDocument,
    /// Not in a container.
    ContainerNotSupported,
    /// The message can't be read.
    AgentJobMessageParseError,
    /// Something else.
    UnexpectedError,
}

impl AckCode {
    const ALL: [(AckCode, &'static str, &'static str); 10] = [
        (AckCode::Successful, "200", "Successful"),
        (AckCode::ClosedProcessor, "51401", "ClosedProcessor"),
        (AckCode::ProcessorBufferFull, "51402", "ProcessorBufferFull"),
        (AckCode::UnexpectedDocumentType, "51403", "UnexpectedDocumentType"),
        (
            AckCode::ProcessorErrorCodeTranslationFailed,
            "51404",
            "ProcessorErrorCodeTranslationFailed",
        ),
        (AckCode::DuplicateCommand, "51405", "DuplicateCommand"),
        (AckCode::InvalidDocument, "51406", "InvalidDocument"),
        (AckCode::ContainerNotSupported, "51407", "ContainerNotSupported"),
        (AckCode::AgentJobMessageParseError, "51408", "AgentJobMessageParseError"),
        (AckCode::UnexpectedError, "51499", "UnexpectedError"),
    ];

    fn words(self) -> (&'static str, &'static str) {
        let mut all = AckCode::ALL.iter();
        all.find(|(code, ..)| *code == self).map_or(("51499", ""), |(_, code, name)| (code, name))
    }

    /// The code on the wire, a string of digits.
    pub fn code(self) -> &'static str {
        self.words().0
    }

    /// Its name, which is what stands as the message.
    pub fn name(self) -> &'static str {
        self.words().1
    }

    /// Of a code on the wire; one that nobody knows is [`AckCode::UnexpectedError`].
    pub fn parse(code: &str) -> AckCode {
        let mut all = AckCode::ALL.iter();
        all.find(|(_, it, _)| *it == code).map_or(AckCode::UnexpectedError, |(code, ..)| *code)
    }

    /// What it means for a server.
    pub fn taken(self) -> Taken {
        match self {
            // Had it before; and one that it can't read, of which a failed reply follows.
            AckCode::Successful
            | AckCode::DuplicateCommand
            | AckCode::AgentJobMessageParseError => Taken::Yes,
            AckCode::ClosedProcessor | AckCode::ProcessorBufferFull => Taken::Later,
            _ => Taken::Never,
        }
    }
}

/// What an acknowledgement means for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The agent has the job and will see to it.
    Yes,
    /// It is to be offered again after a while.
    Later,
    /// The agent will never take it.
    Never,
}

/// `agent_job_ack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentJobAck {
    /// The job's id.
    pub job_id: String,
    /// The id of the message that it came with.
    pub acknowledged: MessageId,
    /// When that message was made.
    pub created: Utc,
    /// What the agent says to it.
    pub code: AckCode,
}

impl AgentJobAck {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or lacks one of the ids or the code.
    pub fn read(payload: &[u8]) -> Result<AgentJobAck, PayloadError> {
        let node = parse(payload)?;
        Ok(AgentJobAck {
            job_id: must(&node, "jobId")?,
            acknowledged: acknowledged(&must(&node, "acknowledgedMessageId")?)?,
            created: Utc::parse_iso(&may(&node, "createdDate")).unwrap_or_default(),
            code: AckCode::parse(&must(&node, "statusCode")?),
        })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("jobId", &self.job_id)
            .string("acknowledgedMessageId", &self.acknowledged.to_string())
            .string("createdDate", &self.created.iso())
            .string("statusCode", self.code.code())
            .string("errorMessage", self.code.name())
            .finish()
    }
}

/// `agent_job_reply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentJobReply {
    /// The job's id.
    pub job_id: String,
    /// A [`crate::reply::Reply`] as JSON text.
    pub content: String,
    /// The topic of the job, up to its second dot's word: [`crate::ec2messages::SEND_COMMAND`].
    pub topic: String,
}

impl AgentJobReply {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or lacks the id or the content.
    pub fn read(payload: &[u8]) -> Result<AgentJobReply, PayloadError> {
        let node = parse(payload)?;
        let (job_id, content) = (must(&node, "jobId")?, must(&node, "content")?);
        Ok(AgentJobReply { job_id, content, topic: may(&node, "topic") })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .raw("schemaVersion", "1")
            .string("jobId", &self.job_id)
            .string("content", &self.content)
            .string("topic", &self.topic)
            .finish()
    }
}

/// `agent_job_reply_ack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentJobReplyAck {
    /// The job's id.
    pub job_id: String,
    /// The id of the message with the reply.
    pub acknowledged: MessageId,
}

impl AgentJobReplyAck {
    /// Reads it. Only the message's id matters.
    ///
    /// # Errors
    /// It isn't JSON, or lacks that id.
    pub fn read(payload: &[u8]) -> Result<AgentJobReplyAck, PayloadError> {
        let node = parse(payload)?;
        let acknowledged = acknowledged(&must(&node, "acknowledgedMessageId")?)?;
        Ok(AgentJobReplyAck { job_id: may(&node, "jobId"), acknowledged })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("jobId", &self.job_id)
            .string("acknowledgedMessageId", &self.acknowledged.to_string())
            .finish()
    }
}

fn acknowledged(text: &str) -> Result<MessageId, PayloadError> {
    MessageId::parse(text).ok_or(PayloadError::Member("acknowledgedMessageId"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_and_an_unknown_one_is_an_error() {
        for (code, text, name) in AckCode::ALL {
            assert_eq!((code.code(), code.name()), (text, name));
            assert_eq!(AckCode::parse(text), code);
        }
        assert_eq!(AckCode::parse("51500"), AckCode::UnexpectedError);
    }

    #[test]
    fn every_code_says_whether_the_job_is_to_be_offered_again() {
        for (code, taken) in [
            ("200", Taken::Yes),
            ("51401", Taken::Later),
            ("51402", Taken::Later),
            ("51403", Taken::Never),
            ("51404", Taken::Never),
            ("51405", Taken::Yes),
            ("51406", Taken::Never),
            ("51407", Taken::Never),
            ("51408", Taken::Yes),
            ("51499", Taken::Never),
            ("51500", Taken::Never),
        ] {
            assert_eq!(AckCode::parse(code).taken(), taken, "{code}");
        }
    }

    #[test]
    fn members_are_read_in_any_case_and_what_is_missing_is_named() {
        let job = AgentJob::read(br#"{"content":"c","jobId":"j","topic":"t","new":[]}"#).unwrap();
        assert_eq!((job.content.as_str(), job.topic.as_str()), ("c", "t"));
        assert_eq!(AgentJob::read(b"{}"), Err(PayloadError::Member("JobId")));
        assert_eq!(AgentJob::read(&[0xff]), Err(PayloadError::NoText));
        let ack = br#"{"jobId":"j","acknowledgedMessageId":"x"}"#;
        assert_eq!(
            AgentJobReplyAck::read(ack).unwrap_err().to_string(),
            "the payload has no good acknowledgedMessageId"
        );
    }
}
