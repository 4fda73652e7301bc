//! Trace contexts as SDKs write them: `version-trace-span-flags` in hex digits. Source: W3C Trace Context, level 1.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The span that `traceparent` names; `None` if it names none.
pub(super) fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
    let trace = TraceId::from(hex(parts.next()?, 32)?);
    let span = SpanId::from(u64::try_from(hex(parts.next()?, 16)?).ok()?);
    let flags = TraceFlags::new(u8::try_from(hex(parts.next()?, 2)?).ok()?);
    // Later versions may have more parts, the first must not; 255 is none.
    let whole = match version {
        0 => parts.next().is_none(),
        1..=254 => true,
        255 => false,
    };
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    (whole && context.is_valid()).then_some(context)
}

fn hex(digits: &str, count: usize) -> Option<u128> {
    let valid = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != count || !digits.bytes().all(valid) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn context_names_a_span_and_whether_it_is_sampled() {
        for (flags, sampled) in [("01", true), ("00", false), ("03", true)] {
            let context = parse(&format!("00-{TRACE}-{SPAN}-{flags}")).expect("valid");
            assert_eq!(context.trace_id().to_string(), TRACE);
            assert_eq!(context.span_id().to_string(), SPAN);
            assert_eq!(context.is_sampled(), sampled);
            assert!(context.is_remote());
        }
        let later = parse(&format!("01-{TRACE}-{SPAN}-01-more"));
        assert!(later.is_some());
    }

    #[test]
    fn what_is_malformed_names_nothing() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
        ] {
            assert_eq!(parse(&bad), None, "{bad:?}");
        }
    }
}
