//! What callers say in headers.

use std::time::Duration;

use longhaul_types::HubName;
use tonic::metadata::MetadataMap;

use crate::refusals::Refusal;
use crate::refusals::rows::HUB;
use crate::refusals::rules::{HUB_SEVERAL, HUB_UNREADABLE};

/// The task hub the call names; `None` if it names none.
///
/// # Errors
/// [`Refusal`] if the name is none, or if there are several different ones.
pub(crate) fn task_hub(metadata: &MetadataMap) -> Result<Option<HubName>, Refusal> {
    let mut named = metadata.get_all("taskhub").iter();
    let Some(first) = named.next() else {
        return Ok(None);
    };
    if named.any(|other| other != first) {
        return Err(HUB.refuse(&HUB_SEVERAL, ""));
    }
    let name = first
        .to_str()
        .map_err(|_| HUB.refuse(&HUB_UNREADABLE, ""))?;
    HUB.hub_name(name).map(Some)
}

/// The worker's name for itself. Informational: whatever cannot be read is left out.
pub(crate) fn worker_id(metadata: &MetadataMap) -> Option<String> {
    text(metadata, "workerid").map(str::to_owned)
}

/// The SDK and its version. Informational.
pub(crate) fn user_agent(metadata: &MetadataMap) -> Option<&str> {
    text(metadata, "x-user-agent").or_else(|| text(metadata, "user-agent"))
}

fn text<'a>(metadata: &'a MetadataMap, name: &'static str) -> Option<&'a str> {
    metadata
        .get(name)?
        .to_str()
        .ok()
        .filter(|text| !text.is_empty())
}

/// How long the caller waits for an answer; `None` if it did not say, or not in the form of the gRPC protocol.
pub(crate) fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;
    use crate::refusals::rules::{HUB_CHARACTER, HUB_EMPTY, HUB_LENGTH};

    fn with(entries: &[(&'static str, &str)]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (name, value) in entries {
            metadata.append(*name, value.parse().expect("a header value"));
        }
        metadata
    }

    #[test]
    fn the_hub_is_absent_named_once_or_refused() {
        let hub = |entries: &[_]| task_hub(&with(entries)).map(|hub| hub.map(|it| it.to_string()));
        assert_eq!(hub(&[]), Ok(None));
        assert_eq!(hub(&[("taskhub", "Orders")]), Ok(Some("Orders".to_owned())));
        assert_eq!(
            hub(&[("taskhub", "a"), ("taskhub", "a")]),
            Ok(Some("a".to_owned()))
        );
        assert_eq!(
            hub(&[("taskhub", "a"), ("taskhub", "b")]),
            Err(HUB.refuse(&HUB_SEVERAL, ""))
        );
        let long = "x".repeat(2048);
        let cases = [
            ("", &HUB_EMPTY),
            ("a b", &HUB_CHARACTER),
            (&long, &HUB_LENGTH),
        ];
        for (bad, rule) in cases {
            let refusal = hub(&[("taskhub", bad)]).expect_err(bad);
            assert!(refusal.is(&HUB, rule), "{refusal}");
        }
        let mut foreign = MetadataMap::new();
        foreign.insert(
            "taskhub",
            MetadataValue::try_from(&b"h\xC3\xBCb"[..]).expect("opaque bytes"),
        );
        let unreadable = HUB.refuse(&HUB_UNREADABLE, "");
        assert_eq!(task_hub(&foreign), Err(unreadable));
    }

    #[test]
    fn workers_and_sdks_may_be_silent_about_themselves() {
        assert_eq!(worker_id(&with(&[])), None);
        assert_eq!(
            worker_id(&with(&[("workerid", "host,1,ab")])),
            Some("host,1,ab".to_owned())
        );
        let both = with(&[("user-agent", "grpc/1"), ("x-user-agent", "sdk/2")]);
        assert_eq!(user_agent(&both), Some("sdk/2"));
        assert_eq!(
            user_agent(&with(&[("user-agent", "grpc/1")])),
            Some("grpc/1")
        );
    }

    #[test]
    fn timeouts_have_eight_digits_and_a_unit() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("1n", Some(Duration::from_nanos(1))),
            ("123456789m", None),
            ("m", None),
            ("5", None),
            ("-5m", None),
            ("5x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                timeout(&with(&[("grpc-timeout", text)])),
                expected,
                "{text:?}"
            );
        }
    }
}
