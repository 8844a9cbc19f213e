//! The real agent's captured requests, and every way to spoil one.

use super::*;
use crate::auth::request::testing::parse;

const SECRET: &str = "stubSecretKeystubSecretKeystubSecretKey1";

macro_rules! capture {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../../tests/fixtures/amazon-ssm-agent/", $name, ".http")),
        )
    };
}

fn ping() -> Request {
    parse(capture!("session-0003-updateinstanceinformation").1)
}

fn at_signing(request: &Request) -> Utc {
    Utc::parse_amz(request.header(DATE).unwrap()).unwrap()
}

fn set(request: &mut Request, name: &str, value: &str) {
    request.headers.retain(|(header, _)| header != name);
    request.headers.push((name.to_owned(), value.to_owned()));
}

fn refusal(request: &Request, now: Utc) -> String {
    read(request, "ssm", Coverage::All, now).unwrap_err().to_string()
}

#[test]
fn every_captured_request_of_the_real_agent_verifies() {
    for (name, text) in [
        capture!("session-0003-updateinstanceinformation"),
        capture!("session-0004-getmessages"),
        capture!("session-0005-updateinstanceinformation"),
        capture!("session-0006-listinstanceassociations"),
        capture!("session-0007-sendreply"),
        capture!("session-0008-acknowledgemessage"),
        capture!("session-0010-sendreply"),
        capture!("session-0011-sendreply"),
        capture!("session-0012-acknowledgemessage"),
        capture!("session-0013-sendreply"),
        capture!("session-0016-sendreply"),
        capture!("session-0017-acknowledgemessage"),
        capture!("session-0019-sendreply"),
    ] {
        let request = parse(text);
        let target = request.header("x-amz-target").unwrap();
        let service = if target.starts_with("AmazonSSM.") { "ssm" } else { "ec2messages" };
        let claim = read(&request, service, Coverage::All, at_signing(&request)).unwrap();
        assert_eq!(claim.key, "ASIASTUBSTUBSTUBSTUB");
        assert_eq!(claim.token, Some("stubSessionToken=="));
        assert!(claim.is_signed_with(SECRET), "{name}");
        assert!(!claim.is_signed_with("stubSecretKeystubSecretKeystubSecretKey2"), "{name}");
    }
}

#[test]
fn a_changed_body_or_header_does_not_verify() {
    let mut body = ping();
    body.body = body.body.iter().chain(b" ").copied().collect::<Vec<u8>>().into();
    let mut target = ping();
    set(&mut target, "x-amz-target", "AmazonSSM.ListInstanceAssociations");
    for request in [body, target] {
        let claim = read(&request, "ssm", Coverage::All, at_signing(&request)).unwrap();
        assert!(!claim.is_signed_with(SECRET));
    }
}

#[test]
fn a_signature_is_good_for_five_minutes_either_way() {
    let request = ping();
    let signed = at_signing(&request).0;
    let limit = SKEW_MINUTES * MILLIS_PER_MINUTE;
    for now in [signed - limit, signed, signed + limit, signed + limit + 999] {
        assert!(read(&request, "ssm", Coverage::All, Utc(now)).is_ok());
    }
    assert_eq!(
        refusal(&request, Utc(signed + limit + 1000)),
        "InvalidSignatureException: Signature expired: 20261122T083420Z is now earlier than \
         20261122T083421Z (20261122T083921Z - 5 min.)"
    );
    assert!(
        refusal(&request, Utc(signed - limit - 1))
            .starts_with("InvalidSignatureException: Signature not yet current: ")
    );
}

#[test]
fn the_scope_must_name_the_service_and_the_day() {
    let request = ping();
    let now = at_signing(&request);
    let wrong = read(&request, "ec2messages", Coverage::All, now).unwrap_err();
    assert!(wrong.message.contains("correct service: 'ec2messages'"));
    let mut other_day = ping();
    let header = other_day.header("authorization").unwrap().replace("/20261122/", "/20261121/");
    set(&mut other_day, "authorization", &header);
    assert!(refusal(&other_day, now).contains("'20261121' != '20261122'"));
}

#[test]
fn what_could_change_the_meaning_must_be_signed() {
    let now = at_signing(&ping());
    let mut added = ping();
    set(&mut added, "x-amz-extra", "1");
    assert!(refusal(&added, now).contains("'x-amz-extra'"));
    for name in ["host;", "x-amz-date;", "content-type;"] {
        let mut dropped = ping();
        let header = dropped.header("authorization").unwrap().replace(name, "");
        set(&mut dropped, "authorization", &header);
        assert!(refusal(&dropped, now).contains(name.trim_end_matches(';')));
    }
    let mut absent = ping();
    absent.headers.retain(|(name, _)| name != "content-length");
    assert!(refusal(&absent, now).contains("'content-length' is not in the request"));
    let mut hash = ping();
    set(&mut hash, CONTENT_HASH, &text::sha256_hex(b"other"));
    assert!(read(&hash, "ssm", Coverage::AllButContentHash, now).is_err());
}

#[test]
fn a_missing_or_malformed_authorization_says_which() {
    let now = at_signing(&ping());
    let mut missing = ping();
    missing.headers.retain(|(name, _)| name != "authorization");
    assert!(refusal(&missing, now).starts_with("MissingAuthenticationTokenException"));
    let mut basic = ping();
    set(&mut basic, "authorization", "Basic abc");
    assert!(refusal(&basic, now).starts_with("IncompleteSignatureException"));
    for date in ["yesterday", ""] {
        let mut bad_date = ping();
        set(&mut bad_date, DATE, date);
        assert!(refusal(&bad_date, now).starts_with("IncompleteSignatureException"));
    }
}

proptest::proptest! {
    #[test]
    fn no_header_makes_a_request_pass_or_panic(name in "[a-z-]{1,20}", value: String, date: String) {
        let now = at_signing(&ping());
        for (header, text) in [(name.as_str(), &value), ("authorization", &value), (DATE, &date)] {
            let mut request = ping();
            set(&mut request, header, text);
            if let Ok(claim) = read(&request, "ssm", Coverage::All, now) {
                let unsigned = ["user-agent", "accept-encoding"].contains(&header);
                let same = ping().header(header) == Some(text) || ping().header(header).is_none();
                proptest::prop_assert!(unsigned || same || !claim.is_signed_with(SECRET));
            }
        }
    }
}
