//! When policies become due, and what is no policy.

use super::*;
use proptest::prelude::*;

/// 2026-11-22T00:00:00Z
const NOW: Utc = Utc(1_795_305_600_000);

fn policy(kind: &str, attributes: &Value) -> Value {
    json!({"Type": kind, "Version": "1.0", "Attributes": attributes})
}

fn expires(at: &str) -> Value {
    policy(EXPIRATION, &json!({"Timestamp": at}))
}

fn parse(policies: &Value) -> ApiResult<Policies> {
    Policies::parse(&policies.to_string(), NOW)
}

#[test]
fn each_policy_becomes_due_at_its_own_time_and_once() {
    let mut policies = parse(&json!([
        expires("2026-11-24T01:00:00.000+01:00"),
        policy(EXPIRATION_NOTIFICATION, &json!({"Before": "12", "Unit": "Hours"})),
        policy(NO_CHANGE_NOTIFICATION, &json!({"After": "1", "Unit": "Days"})),
    ]))
    .unwrap();
    let at = |hours: u64| Utc(NOW.0 + hours * 3_600_000);
    assert_eq!(policies.next_due(), Some(at(24).0 as i64));
    assert_eq!(policies.take_due(at(23)), Due::Notices(vec![]));
    let notices = |kind: &str| Due::Notices(vec![kind.to_owned()]);
    assert_eq!(policies.take_due(at(24)), notices(NO_CHANGE_NOTIFICATION));
    assert_eq!(policies.take_due(at(24)), Due::Notices(vec![]));
    assert_eq!(policies.next_due(), Some(at(36).0 as i64));
    let mut changed = Policies::from_row(&policies.to_row()).renewed(at(30));
    assert_eq!(changed.take_due(at(40)), notices(EXPIRATION_NOTIFICATION));
    assert_eq!(changed.next_due(), Some(at(48).0 as i64));
    assert_eq!(policies.take_due(at(48)), Due::Expired);
}

#[test]
fn each_mistake_has_its_own_code() {
    let soon = || expires("2026-12-24T18:00:00Z");
    let before = |number: &str, unit: &str| {
        policy(EXPIRATION_NOTIFICATION, &json!({"Before": number, "Unit": unit}))
    };
    let attribute = "InvalidPolicyAttributeException";
    for (policies, code) in [
        (json!("x"), attribute),
        (json!([1]), attribute),
        (json!({"Type": EXPIRATION}), attribute),
        (json!([expires("tomorrow")]), attribute),
        (json!([expires("2020-01-01T00:00:00Z")]), attribute),
        (json!([policy(EXPIRATION, &json!({"Time": "x"}))]), attribute),
        (json!([{"Type": EXPIRATION, "Attributes": {}}]), attribute),
        (json!([soon(), before("0", "Days")]), attribute),
        (json!([soon(), before("3", "Weeks")]), attribute),
        (json!([soon(), before("9999999999999999", "Days")]), attribute),
        (json!([policy("Retention", &json!({}))]), "InvalidPolicyTypeException"),
        (json!([before("3", "Days")]), "IncompatiblePolicyException"),
        (json!([soon(), soon()]), "IncompatiblePolicyException"),
        (json!(vec![soon(); 11]), "PoliciesLimitExceededException"),
    ] {
        assert_eq!(parse(&policies).unwrap_err().code, code, "{policies}");
    }
    for none in ["[]", "{}"] {
        assert!(Policies::parse(none, NOW).unwrap().is_empty());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String, at: String, number: String) {
        let _ = Policies::parse(&text, NOW);
        let _ = Policies::from_row(&text);
        let before = policy(EXPIRATION_NOTIFICATION, &json!({"Before": number, "Unit": "Days"}));
        let _ = parse(&json!([expires(&at), before]));
    }
}
