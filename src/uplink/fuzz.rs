//! For `make fuzz`.

use super::{page, s3_sign, s3_text};
use stint_wire::bootagent::{Job, register, servers, status};
use stint_wire::json;

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
